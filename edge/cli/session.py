"""What `capture` and `classify` have in common: open, run, report, and end with the right exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli import options
from edge.cli.output import say
from edge.cli.report import report
from edge.cli.signals import Interruptions
from edge.errors import WbcError

if TYPE_CHECKING:
    from edge.camera.guard import GuardedCamera
    from edge.capture import Save
    from edge.model import Model


def observe(
    open_camera: Callable[[], GuardedCamera],
    interruptions: Interruptions,
    *,
    journal: str | None,
    sample: str | None,
    model: Model | None,
    save: Save,
    as_json: bool,
    count: int | None = None,
    expected: int | None = None,
    interval_s: float = 0.0,
    missing: Sequence[WbcError] = (),
) -> int:
    """Run a session and report it as it goes.

    Parameters
    ----------
    open_camera : callable
        Opens the source of the frames.
    interruptions : Interruptions
        What signals do.
    journal : str or None
        The journal's file; None is the usual place.
    sample : str or None
        The sample's identifier; None makes one.
    model : Model or None
        By which frames are judged; None only measures them.
    save : str
        Which pictures are kept.
    as_json : bool
        Report to a program.
    count : int or None
        At most so many frames.
    expected : int or None
        How many frames there will be, if known.
    interval_s : float
        Time from one frame to the next.
    missing : sequence of WbcError
        Paths that named nothing: reported and logged before the first frame.

    Returns
    -------
    int
        Exit code: 0, or that of the first frame that failed.
    """
    from edge.capture import Failed, Logged, Session, run

    exit_code = 0
    with (
        options.open_journal(journal) as log,
        closing(open_camera()) as camera,
        Session(
            log,
            options.sample_name(sample),
            model=model,
            save=save,
            # Where a file lay, whoever reads the journal from another folder must still know.
            logged_as=_whole_path if camera.finite else str,
        ) as session,
        report(as_json, count or expected) as shown,
        interruptions.held(),
    ):
        if not as_json:
            say(f"Logging to {log.path}")
        failures = [session.add_failure(error.what, error) for error in missing]
        frames = run(
            camera,
            session,
            count=count,
            interval_s=interval_s,
            waiting=interruptions.allowed,
            told=lambda kind, detail: say(f"{kind}: {detail}"),
        )
        with closing(frames):
            for result in chain(failures, frames):
                if isinstance(result, Logged):
                    shown.logged(result)
                elif isinstance(result, Failed):
                    exit_code = exit_code or result.error.exit_code
                    shown.failed(result)
                else:
                    shown.finished(result)
    return exit_code


def _whole_path(name: str) -> str:
    from edge.camera.decode import display_name

    path = Path(name)
    # Only of the folder is it known in which bytes it is named: the name is what was made of them already.
    return name if path.is_absolute() else str(Path(display_name(Path.cwd())) / path)
