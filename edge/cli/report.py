"""A session's results as they come: a table and a progress bar for a person, JSON lines for a program."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from edge import RESEARCH_USE_ONLY
from edge.cli.output import left, painted, printable, say_error, write, write_json

if TYPE_CHECKING:
    from edge.capture import Failed, Finished, Logged
    from edge.result import FrameResult, SampleResult

COLOURS = {"ALL": "red", "MM": "magenta", "normal": "green", "indeterminate": "yellow"}
_STAGES = ("capture", "scale", "quality", "tile", "infer", "verdict")


class Report(Protocol):
    """Where a session's results go."""

    def logged(self, logged: Logged) -> None:
        """Show a frame."""
        ...

    def failed(self, failed: Failed) -> None:
        """Show what could not be read or kept."""
        ...

    def finished(self, finished: Finished) -> None:
        """Show the sample."""
        ...


class JsonReport:
    """An object a line on standard output; errors for a person on standard error as well."""

    def logged(self, logged: Logged) -> None:
        """Write a frame."""
        write_json(frame_object(logged))

    def failed(self, failed: Failed) -> None:
        """Write an error, with the exit code that it leads to."""
        say_error(failed.error)
        write_json({"frame": failed.frame, "error": str(failed.error), "exit_code": failed.error.exit_code})

    def finished(self, finished: Finished) -> None:
        """Write the sample."""
        write_json(sample_object(finished))


class TableReport:
    """A table that grows by a line a frame.

    Parameters
    ----------
    advance : callable
        Called for each frame, such as to move a progress bar.
    """

    _ROW = "{:>6}  {}  {}  {:>4}  {:>7}  {:>6}  {}"
    _OTHER_COLUMNS = 70

    def __init__(self, advance: Callable[[], None]) -> None:
        self._advance = advance
        self._begun = False
        self._warned = Counter[str]()
        self._name_columns = min(max(20, shutil.get_terminal_size((110, 24)).columns - self._OTHER_COLUMNS), 40)

    def logged(self, logged: Logged) -> None:
        """Write a frame; before the first one the columns' names."""
        if not self._begun:
            self._begun = True
            name, verdict = left("frame", self._name_columns), left("verdict", 13)
            write(self._ROW.format("record", name, verdict, "prob", "tiles", "ms", "quality"))
        result = logged.result
        self._warned.update(result.warnings)
        verdict = result.verdict or "–"
        probability = result.probabilities.get(verdict)
        row = self._ROW.format(
            logged.record,
            left(result.frame, self._name_columns),
            painted(left(verdict, 13), COLOURS.get(verdict)),
            "–" if probability is None else f"{probability:.2f}",
            f"{len(result.tiles)}/{result.tiles_total}",
            f"{_milliseconds(logged)['total']:.0f}",
            printable("; ".join(_remarks(result))),
        )
        write(row)
        self._advance()

    def failed(self, failed: Failed) -> None:
        """Write an error to standard error."""
        say_error(failed.error)
        self._advance()

    def finished(self, finished: Finished) -> None:
        """Write the sample's verdict, what its frames were warned of, and what it is not."""
        decided = finished.decided
        said = f"{finished.frames} frames measured" if decided is None else _sentence(decided)
        warned = [f"Warning, {count} of {finished.frames} frames: {what}" for what, count in self._warned.items()]
        write("\n".join(["", f"Sample {printable(finished.sample)}: {said}", *warned, RESEARCH_USE_ONLY]))


@contextmanager
def report(as_json: bool, expected: int | None) -> Iterator[Report]:
    """Report to a program or to a person.

    Parameters
    ----------
    as_json : bool
        To a program.
    expected : int or None
        How many frames there will be, if known.
    """
    if as_json:
        yield JsonReport()
    elif not sys.stderr.isatty():
        yield TableReport(lambda: None)
    else:
        with _progress_bar(expected) as advance:
            yield TableReport(advance)


def frame_object(logged: Logged) -> dict[str, Any]:
    """Describe a frame to a program; the keys are part of the command line's contract."""
    result = logged.result
    return {
        "frame": result.frame,
        "verdict": result.verdict,
        "reason": result.reason,
        "warnings": result.warnings,
        "probabilities": dict(result.probabilities),
        "novelty": result.novelty,
        "tiles": {"total": result.tiles_total, "used": len(result.tiles)},
        "quality": result.quality,
        "morphology": result.morphology,
        "ms": {stage: round(ms, 3) for stage, ms in _milliseconds(logged).items()},
        "model": result.model,
        "record": logged.record,
    }


def sample_object(finished: Finished) -> dict[str, Any]:
    """Describe a sample to a program; the keys are part of the command line's contract."""
    decided = finished.decided
    return {
        "sample": finished.sample,
        "verdict": None if decided is None else decided.verdict,
        "reason": None if decided is None else decided.reason,
        "probabilities": {} if decided is None else dict(decided.probabilities),
        "frames": finished.frames if decided is None else decided.frames,
        "indeterminate": 0 if decided is None else decided.indeterminate,
    }


def _milliseconds(logged: Logged) -> dict[str, float]:
    """Time each stage; the total is from asking the camera to the record on the disk."""
    stages = {**dict.fromkeys(_STAGES, 0.0), **logged.result.ms, "log": logged.log_ms}
    return {**stages, "total": sum(stages.values())}


def _remarks(result: FrameResult) -> list[str]:
    if not result.quality.usable:
        return [*result.quality.reasons, *result.warnings]
    remarks = [f"focus {result.quality.focus:.2f}"]
    if result.reason:
        likeliest = max(result.probabilities.items(), key=itemgetter(1), default=None)
        remarks.append(f"{result.reason} ({likeliest[0]} {likeliest[1]:.2f})" if likeliest else result.reason)
    return [*remarks, *result.warnings]


def _sentence(decided: SampleResult) -> str:
    verdict = painted(printable(decided.verdict), COLOURS.get(decided.verdict))
    reason = f" ({decided.reason})" if decided.reason else ""
    shares = ", ".join(f"{name} {share:.2f}" for name, share in decided.probabilities.items())
    frames = f"{decided.frames} frames, {decided.indeterminate} of them indeterminate"
    return "; ".join(part for part in (f"{verdict}{printable(reason)}", printable(shares), frames) if part)


@contextmanager
def _progress_bar(expected: int | None) -> Iterator[Callable[[], None]]:
    # Only here, where a terminal is: it takes longer to import than a frame to judge.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("frames"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # No thread that draws: a frame moves it, and nothing else does.
        auto_refresh=False,
        redirect_stdout=sys.stdout.isatty(),
    )
    with bar:
        task = bar.add_task("", total=expected)
        bar.refresh()

        def advance() -> None:
            bar.advance(task)
            bar.refresh()

        yield advance
