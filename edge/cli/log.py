"""``wbc-edge log``: what the journal holds."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from edge import durable
from edge.cli import options
from edge.cli.output import left, painted, printable, say, standard_output, unicode, write, write_json
from edge.cli.report import COLOURS
from edge.errors import JournalCorrupt, OutputError, WbcError

if TYPE_CHECKING:
    from edge.journal import FrameRecord, Journal

_DAYS = options.Number(min=0, max=36500)
_MEGABYTES = options.Number(min=0, max=1e8)
_FRAME = "{:>6}  {}  {}  {}  {}  {:>4}  {}"


def _digest(text: str) -> str:
    """Read a digest, or enough of its beginning to tell it from others: with nothing every digest begins."""
    if not re.fullmatch("[0-9a-f]{8,64}", text.lower()):
        raise click.BadParameter(f"{text!r} is no digest, nor its first 8 hexadecimal digits or more.")
    return text.lower()


def _label(text: str) -> str:
    """Read what somebody sees in a frame, which must be something."""
    if not text.strip():
        raise click.BadParameter("it is empty: say what the frame shows.")
    return text


@click.group("log")
def command() -> None:
    """Show and export what was logged."""


@command.command(
    "list",
    epilog="""
\b
Examples:
  wbc-edge log list
  wbc-edge log list --sample S-17 --verdict indeterminate
""",
)
@click.option("--sample", metavar="ID", help="Only frames of this sample.")
@click.option("--verdict", metavar="CLASS", help="Only frames of this verdict.")
@click.option("--limit", type=options.COUNT, default=20, show_default=True, metavar="N", help="The most recent N.")
@options.journal_option
@options.json_option
def list_frames(sample: str | None, verdict: str | None, limit: int, journal: str | None, as_json: bool) -> None:
    """List frames, the most recent last."""
    from edge.journal.export import to_object

    with options.open_journal_to_read(journal) as log:
        frames = list(log.frames(sample=sample, verdict=verdict, limit=limit))
        if not frames:
            _say_none("frame", log, sample)
    if as_json:
        for record in frames:
            write_json(to_object(record))
    if as_json or not frames:
        return
    write(
        _FRAME.format(
            "record", left("local time", 19), left("sample", 20), left("frame", 32), left("verdict", 13), "prob", ""
        )
    )
    for record in frames:
        write(_line(record))


@command.command(
    "samples",
    epilog="""
\b
Example:
  wbc-edge log samples
""",
)
@options.journal_option
@options.json_option
def list_samples(journal: str | None, as_json: bool) -> None:
    """List samples and their verdicts."""
    with options.open_journal_to_read(journal) as log:
        samples = log.samples()
    if as_json:
        for sample in samples:
            write_json(sample)
        return
    write(f"{left('sample', 24)}  {left('started, local time', 19)}  frames  verdict")
    for sample in samples:
        verdict = sample.result.verdict if sample.result else "–"
        reason = f" ({sample.result.reason})" if sample.result and sample.result.reason else ""
        shown = painted(printable(verdict), COLOURS.get(verdict))
        write(f"{left(sample.name, 24)}  {_time(sample.started_s)}  {sample.frames:>6}  {shown}{printable(reason)}")


@command.command(
    "events",
    epilog="""
\b
Examples:
  wbc-edge log events --sample S-17
  wbc-edge log events --kind model --limit 100     (who changed models, and why)
""",
)
@click.option("--sample", metavar="ID", help="Only events of this sample.")
@click.option("--kind", metavar="KIND", help="Only events of this kind, such as model, configuration, disk or clock.")
@click.option("--limit", type=options.COUNT, default=20, show_default=True, metavar="N", help="The most recent N.")
@options.journal_option
@options.json_option
def list_events(sample: str | None, kind: str | None, limit: int, journal: str | None, as_json: bool) -> None:
    """List what happened beside the frames: unreadable files, lost cameras, verdicts."""
    with options.open_journal_to_read(journal) as log:
        events = log.events(sample=sample, kind=kind, limit=limit)
        if not events:
            _say_none("event", log, sample)
    for event in events:
        if as_json:
            write_json(event)
        else:
            told = printable(f"{event.kind}: {event.detail}")
            write(f"{_time(event.wall_time_s)}  {left(event.sample or '', 20)}  {told}")


@command.command(
    "show",
    epilog="""
\b
Examples:
  wbc-edge log show 17
  wbc-edge log show 17 --json
""",
)
@click.argument("record", type=options.COUNT)
@options.journal_option
@options.json_option
def show_frame(record: int, journal: str | None, as_json: bool) -> None:
    """Show what is logged of one frame; with --json, each of its tiles too."""
    from edge.journal.export import to_object

    with options.open_journal_to_read(journal) as log:
        found = to_object(log.frame(record))
    if as_json:
        write_json(found)
        return
    # Hundreds of lines that only a program wants.
    del found["tiles"]["judged"]
    if found["wall_time"]:
        found["wall_time"] = datetime.fromisoformat(found["wall_time"]).astimezone().isoformat(" ", "milliseconds")
    for place, value in _leaves(found):
        write(f"{place:<32}  {printable(value)}")


@command.command(
    "export",
    epilog="""
\b
Examples:
  wbc-edge log export --out frames.csv
  wbc-edge log export --format jsonl --sample S-17 | jq .verdict
""",
)
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option("--out", type=click.Path(), metavar="FILE", help="Where to write.  [default: standard output]")
@click.option("--sample", metavar="ID", help="Only frames of this sample.")
@click.option("--verdict", metavar="CLASS", help="Only frames of this verdict.")
@options.journal_option
def export(form: str, out: str | None, sample: str | None, verdict: str | None, journal: str | None) -> None:
    """Export frames: CSV for spreadsheets, or JSON Lines with every tile."""
    from edge.journal import export as ways_out

    write_to = {"csv": ways_out.to_csv, "jsonl": ways_out.to_json_lines}[form]
    with (
        options.open_journal_to_read(journal) as log,
        standard_output() if out is None else _file(Path(out), log.path) as stream,
    ):
        write_to(log.frames(sample=sample, verdict=verdict), stream)
        if next(log.frames(sample=sample, verdict=verdict, limit=1), None) is None:
            _say_none("frame", log, sample)


@command.command(
    "review",
    epilog="""
\b
Examples:
  wbc-edge log review 17 --as ALL
  wbc-edge log review 17 --as normal --note 'lymphocytes only'
""",
)
@click.argument("record", type=options.COUNT)
@click.option("--as", "label", type=_label, required=True, metavar="CLASS", help="What the frame shows, in your eyes.")
@click.option("--note", default="", metavar="TEXT", help="What else is to be said.")
@options.journal_option
def review(record: int, label: str, note: str, journal: str | None) -> None:
    """Log what you see in a frame; it is shown and exported beside the verdict."""
    with options.open_known_journal(journal) as log:
        log.review(record, label, note)
    write(printable(f"record {record}: {label}"))


@command.command(
    "prune",
    epilog="""
\b
Examples:
  wbc-edge log prune --picture-days 90 --free-mb 2000
  wbc-edge log prune --picture-mb 20000 --frame-days 3650

Pictures go before rows, and the oldest first; of frames that somebody reviewed last.
What went is logged. Where nothing was logged for more than a week, that counts as a
week of age, since clocks jump.
""",
)
@click.option("--picture-days", type=_DAYS, metavar="D", help="Pictures older than this go.")
@click.option("--picture-mb", type=_MEGABYTES, metavar="MB", help="Pictures over this go.")
@click.option("--free-mb", type=_MEGABYTES, metavar="MB", help="Pictures go until so much is free on the disk.")
@click.option(
    "--frame-days", type=_DAYS, metavar="D", help="Frames older than this go, with all that is logged of them."
)
@click.option("--reviewed-first", is_flag=True, help="Pictures of reviewed frames go first, not last.")
@options.journal_option
@options.json_option
def prune(journal: str | None, as_json: bool, **limits: Any) -> None:
    """Throw away what is older or larger than you say; without a limit nothing goes."""
    from edge.journal.retention import Policy
    from edge.journal.retention import prune as throw_away

    with options.open_known_journal(journal) as log:
        gone = throw_away(log, Policy(**limits))
    if as_json:
        write_json(gone)
    else:
        write(f"{gone.pictures} pictures ({gone.picture_bytes / 1e6:.1f} MB) and {gone.frames} frames")
    if gone.problem:
        raise OutputError("Some pictures could not be removed", gone.problem, "Call it as the user whose folder it is")


@command.command(
    "verify",
    epilog="""
\b
Examples:
  wbc-edge log verify
  wbc-edge log verify --expect 3f9a0c41d2

Note the digest that it prints, on paper say: with --expect a later call proves that
no event until then, and no frame or tile logged before it, was changed. Verdicts and
reviews must be as their last event says. The exit code is 45 when something was changed.
Pictures are not covered, nor when a sample was begun and ended or a frame reviewed, nor
the probabilities beside a sample's verdict, which follow from its tiles.
""",
)
@click.option(
    "--expect",
    type=_digest,
    metavar="DIGEST",
    help="A digest noted earlier, or its first 8 digits or more, that must still be there.",
)
@options.journal_option
@options.json_option
def verify(expect: str | None, journal: str | None, as_json: bool) -> None:
    """Check that the journal is sound, and that no frame, verdict, review or event in it was changed later."""
    with options.open_journal_to_read(journal) as log:
        trail = log.audit(expect)
        problems = [*log.check(), *trail.problems]
        path = log.path
    if as_json:
        chained = {"events": trail.events, "frames": trail.frames, "head": trail.head}
        write_json({"journal": str(path), **chained, "problems": problems})
    else:
        for problem in problems:
            write(printable(problem))
        older = f", {trail.unchained} of before the trail was chained" if trail.unchained else ""
        counted = f"{trail.events} events and {trail.frames} frames chained{older}"
        write(printable(f"{path}: {counted}; the last event has the digest {trail.head or '–'}"))
    if problems:
        found = f"{len(problems)} {'thing is' if len(problems) == 1 else 'things are'} wrong"
        raise JournalCorrupt(f"journal {path}", found, "Keep it as it is, and ask who had access")


@command.command(
    "backup",
    epilog="""
\b
Example:
  wbc-edge log backup /media/usb/journal-$(date +%F).sqlite3

It may be called while wbc-edge captures. Pictures are not in it: copy their folder.
""",
)
@click.argument("file", type=click.Path(path_type=Path))
@options.journal_option
@options.json_option
def back_up(file: Path, journal: str | None, as_json: bool) -> None:
    """Copy the journal as it is now to FILE, which must be new."""
    with options.open_known_journal(journal) as log:
        size_bytes = log.back_up(file)
        log.event("backup", f"{file.absolute()}, {size_bytes} bytes")
    if as_json:
        write_json({"backup": str(file), "bytes": size_bytes})
    else:
        write(printable(f"{file}: {size_bytes} bytes"))


def _say_none(what: str, log: Journal, sample: str | None) -> None:
    """Say that nothing was found, and whether that is since the sample was mistyped."""
    if sample is None or unicode(sample) in (known.name for known in log.samples()):
        say(f"No {what} was found")
    else:
        say(f"No sample {sample} is known, see `wbc-edge log samples`")


@contextmanager
def _file(path: Path, journal: Path) -> Iterator[TextIO]:
    try:
        # SQLite keeps two files more beside it while it is open.
        for own in (journal, journal.with_name(f"{journal.name}-wal"), journal.with_name(f"{journal.name}-shm")):
            if path.exists() and own.exists() and path.samefile(own):
                raise OutputError(str(path), "is the journal itself", "Name another file")
        # A link, a pipe or a device stays what it is; a folder refuses to be opened.
        is_in_place = path.is_symlink() or (path.exists() and not path.is_file())
        with path.open("w", encoding="utf-8", newline="") if is_in_place else _new_file(path) as stream:
            yield stream
    except (BrokenPipeError, WbcError):
        raise
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "Free some space there" if is_full else "Name a file that this user can write"
        raise OutputError(str(path), error.strerror or str(error), remedy) from error


@contextmanager
def _new_file(path: Path) -> Iterator[TextIO]:
    """Give a file that is there whole at the end of the block, or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with TextIOWrapper(durable.begin(part), encoding="utf-8", newline="") as stream:
            yield stream
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


def _line(record: FrameRecord) -> str:
    result = record.result
    verdict = result.verdict or "–"
    probability = result.probabilities.get(verdict)
    return _FRAME.format(
        record.record,
        _time(result.wall_time_s),
        left(record.sample, 20),
        left(result.frame, 32),
        painted(left(verdict, 13), COLOURS.get(verdict)),
        "–" if probability is None else f"{probability:.2f}",
        printable(result.reason or ""),
    ).rstrip()


def _time(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # a clock can have said anything
        return left("–", 19)


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(part, f"{place}.{key}" if place else str(key))
    elif value not in (None, [], (), {}):
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        yield place, shown
