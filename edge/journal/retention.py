"""What is thrown away, and in which order, so that a device can be left alone for months.

Pictures go before rows, and of the pictures the oldest first: those that are too old, then as many as the quota and the
space that must stay free demand. A row is forgotten before its file is removed, so that none ever refers to a picture
that is not there; what is to be removed is written down in the same step, so that a power cut between the two leaves
nothing behind. Only what this journal itself forgot is ever removed: a picture that it does not know may be that of
another journal, or of this one's predecessor. Whatever goes is logged.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

from edge import durable
from edge.errors import JournalLocked
from edge.journal import audit
from edge.journal.pictures import FOLDER
from edge.journal.store import Journal

_DAY_S = 86_400.0
_EARLIEST_S = 1_735_689_600.0
"""2025: an earlier time is of a clock that had not been set, and says nothing of age."""

_LONGEST_PAUSE_S = 7 * _DAY_S
"""From one frame to the next no more than this counts: a clock that jumps ten years makes nothing ten years old."""

# Asked of each picture anew: what SQLite puts together at the beginning of a question, it does for each batch.
_IS_TIMED = "EXISTS (SELECT 1 FROM frames WHERE frames.record = pictures.record AND wall_time_s > ?)"
_REVIEW = "(SELECT 1 FROM reviews WHERE reviews.record = pictures.record)"

_LOCK_TIMEOUT_S = 20.0

_BATCH = 200
"""How many pictures or frames go in one step."""

_PAGE = 2000
"""How many frames, or pictures that stay, are looked at in one step."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How much is kept; None is no limit.

    Attributes
    ----------
    picture_days, frame_days : float or None
        Age over which pictures, and frames with all that is logged of them, go. A pause of more than a week counts as
        a week.
    picture_mb : float or None
        Megabytes that all pictures together may take.
    free_mb : float or None
        Megabytes that must stay free on the disk, for which pictures go.
    reviewed_first : bool
        Pictures of frames that somebody reviewed go first; otherwise they go last.
    """

    picture_days: float | None = None
    frame_days: float | None = None
    picture_mb: float | None = None
    free_mb: float | None = None
    reviewed_first: bool = False


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went.

    Attributes
    ----------
    pictures, frames : int
        How many.
    picture_bytes : int
        What the pictures took.
    problem : str
        Why a picture could not be removed, which stays in its row then; empty when none was refused.
    """

    pictures: int = 0
    frames: int = 0
    picture_bytes: int = 0
    problem: str = ""

    def __add__(self, other: Pruned) -> Pruned:
        """Add up."""
        return Pruned(
            self.pictures + other.pictures,
            self.frames + other.frames,
            self.picture_bytes + other.picture_bytes,
            self.problem or other.problem,
        )


def prune(
    journal: Journal,
    policy: Policy,
    *,
    now_s: float | None = None,
    free_mb: Callable[[Path], float] = lambda folder: shutil.disk_usage(folder).free / 1e6,
) -> Pruned:
    """Throw away what a policy no longer keeps.

    Parameters
    ----------
    journal : Journal
        Open for writing.
    policy : Policy
        What is kept.
    now_s : float, optional
        The wall clock, unless another time is given.
    free_mb : callable
        Megabytes that are free on the disk of a folder.

    Returns
    -------
    Pruned
        What went.

    Raises
    ------
    JournalError
        When the journal cannot be written; nothing that it refers to is gone then.
    JournalLocked
        When somebody else throws away for longer than a service needs for it.
    """
    return sum(steps(journal, policy, now_s=now_s, free_mb=free_mb, timeout_s=_LOCK_TIMEOUT_S), Pruned())


def steps(
    journal: Journal,
    policy: Policy,
    *,
    now_s: float | None = None,
    free_mb: Callable[[Path], float] = lambda folder: shutil.disk_usage(folder).free / 1e6,
    timeout_s: float = 0.0,
) -> Generator[Pruned, None, None]:
    """Do as :func:`prune`, a little at a time, so that frames can be logged in between.

    What a step threw away stays thrown away whatever ends the next one. All of them together look at each picture and
    each frame a fixed number of times. From the first step to the last, or until it is closed, nobody else throws away:
    two that make room for the same excess would each do so.

    Yields
    ------
    Pruned
        What went in a step; often nothing.

    Raises
    ------
    JournalLocked
        When somebody else throws away for longer than `timeout_s`.
    """
    with ExitStack() as held:
        try:
            held.enter_context(durable.locked(journal.path.parent, timeout_s))
        except TimeoutError as error:
            raise JournalLocked(f"journal {journal.path}", "is being pruned by another", "Try again later") from error
        yield from _steps(journal, policy, time.time() if now_s is None else now_s, free_mb)


def _steps(
    journal: Journal, policy: Policy, now_s: float, free_mb: Callable[[Path], float]
) -> Generator[Pruned, None, None]:
    yield _remove(journal)
    if policy.picture_days is not None:
        last = yield from _last_older(journal, policy.picture_days, now_s)
        for batch in _pictures(journal, f"pictures.record <= ? AND {_IS_TIMED}", (last, _EARLIEST_S)):
            yield _forget(journal, batch, f"older than {policy.picture_days:g} days")
    if policy.picture_mb is not None:
        excess_bytes = -policy.picture_mb * 1e6
        for batch in _pictures(journal):
            excess_bytes += sum(_size_bytes(journal, picture) for picture in batch)
            yield Pruned()
        yield from _forget_enough(journal, policy, excess_bytes, f"over {policy.picture_mb:g} MB")
    if policy.free_mb is not None:
        missing_bytes = (policy.free_mb - free_mb(journal.path.parent)) * 1e6
        yield from _forget_enough(journal, policy, missing_bytes, f"less than {policy.free_mb:g} MB are free")
    if policy.frame_days is not None:
        last = yield from _last_older(journal, policy.frame_days, now_s)
        yield from _forget_frames(journal, last, policy.frame_days)


def _last_older(journal: Journal, days: float, now_s: float) -> Generator[Pruned, None, int]:
    """Return the last record that is older than so many days, 0 without one: all before it are older too."""
    age_s, later_s = 0.0, now_s
    before = 2**63 - 1
    query = "SELECT record, wall_time_s FROM frames WHERE record < ? ORDER BY record DESC LIMIT ?"
    while page := _rows(journal, query, before, _PAGE):
        for record, wall_time_s in page:
            if wall_time_s is None or wall_time_s <= _EARLIEST_S:
                continue
            age_s += min(max(later_s - wall_time_s, 0.0), _LONGEST_PAUSE_S)
            later_s = wall_time_s
            if age_s > days * _DAY_S:
                return int(record)
        before = page[-1]["record"]
        yield Pruned()
    return 0


def _pictures(journal: Journal, condition: str = "true", wanted: tuple[float, ...] = ()) -> Iterator[list[sqlite3.Row]]:
    """Yield pictures in batches, in the order of their records, each once."""
    query = f"SELECT * FROM pictures WHERE (record, kind) > (?, ?) AND {condition} ORDER BY record, kind LIMIT ?"
    batch = _rows(journal, query, 0, "", *wanted, _BATCH)
    while batch:
        yield batch
        batch = _rows(journal, query, batch[-1]["record"], batch[-1]["kind"], *wanted, _BATCH)


def _forget_enough(journal: Journal, policy: Policy, excess_bytes: float, why: str) -> Iterator[Pruned]:
    """Forget the first pictures until so much is gone: in the place of one that cannot be removed the next goes."""
    reviewed = ("EXISTS", "NOT EXISTS") if policy.reviewed_first else ("NOT EXISTS", "EXISTS")
    for batch in chain.from_iterable(_pictures(journal, f"{each} {_REVIEW}") for each in reviewed):
        left = batch
        while chosen := _enough(journal, left, excess_bytes):
            gone = _forget(journal, chosen, why)
            excess_bytes -= gone.picture_bytes
            left = left[len(chosen) :]
            yield gone
        if excess_bytes <= 0:
            return


def _enough(journal: Journal, pictures: list[sqlite3.Row], excess_bytes: float) -> list[sqlite3.Row]:
    chosen = []
    for picture in pictures:
        if excess_bytes <= 0:
            break
        chosen.append(picture)
        excess_bytes -= _size_bytes(journal, picture)
    return chosen


def _size_bytes(journal: Journal, picture: sqlite3.Row) -> int:
    try:
        return int((journal.path.parent / picture["path"]).stat().st_size)
    except OSError:
        return 0


def _forget(journal: Journal, pictures: list[sqlite3.Row], why: str) -> Pruned:
    batch = [(picture["record"], picture["kind"]) for picture in pictures]
    with journal.transaction() as connection:
        connection.executemany(
            "INSERT INTO removals SELECT record, kind, path, ? FROM pictures WHERE record = ? AND kind = ?",
            [(why, *each) for each in batch],
        )
        connection.executemany("DELETE FROM pictures WHERE record = ? AND kind = ?", batch)
    return _remove(journal)


def _remove(journal: Journal) -> Pruned:
    """Remove the files of forgotten pictures, also those that a power cut left; log what went, keep what cannot go."""
    rows = _rows(journal, "SELECT * FROM removals ORDER BY why, record, kind")
    gone = Pruned()
    for why, forgotten in groupby(rows, key=lambda row: str(row["why"])):
        removed, refused = [], []
        for row in forgotten:
            try:
                gone += Pruned(1, picture_bytes=_unlink(journal.path.parent, row["path"]))
                removed.append((row["record"], row["kind"]))
            except OSError as error:
                gone += Pruned(problem=f"{row['path']}: {error.strerror or error}")
                refused.append((row["record"], row["kind"]))
        with journal.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO pictures SELECT record, kind, path FROM removals"
                " WHERE record = ? AND kind = ? AND record IN (SELECT record FROM frames)",
                refused,
            )
            connection.executemany("DELETE FROM removals WHERE record = ? AND kind = ?", removed + refused)
            if removed:
                records = [record for record, _ in removed]
                detail = f"{len(removed)} pictures of records {min(records)} to {max(records)}: {why}"
                audit.append(connection, audit.event("pruned", detail))
    return gone


def _unlink(folder: Path, path: str) -> int:
    """Remove a picture's file and say how many bytes it took; one that is not there is as gone as it can be.

    The rows may be of anybody who can write the journal: they must not make root, or the service, remove another file.
    """
    if Path(path).parts[:1] != (FOLDER,) or ".." in Path(path).parts:
        raise PermissionError(errno.EPERM, f"not in the folder {FOLDER} beside the journal")
    try:
        return durable.remove(folder, Path(path))
    except FileNotFoundError:
        return 0


def _forget_frames(journal: Journal, last: int, days: float) -> Iterator[Pruned]:
    query = "SELECT record FROM frames WHERE record > ? AND record <= ? AND wall_time_s > ? ORDER BY record LIMIT ?"
    after = 0
    while records := [row["record"] for row in _rows(journal, query, after, last, _EARLIEST_S, _BATCH)]:
        after = records[-1]
        of_these = f"record BETWEEN ? AND ? AND {_IS_TIMED}"
        gone = Pruned()
        for batch in _pictures(journal, of_these, (records[0], after, _EARLIEST_S)):
            gone += _forget(journal, batch, f"frames older than {days:g} days")
        # What still has a picture stays with it: the journal must not lose sight of a file that is there.
        still = {
            row["record"]
            for row in _rows(journal, "SELECT record FROM pictures WHERE record BETWEEN ? AND ?", records[0], after)
        }
        records = [record for record in records if record not in still]
        with journal.transaction() as connection:
            for first, final in _stretches(records):
                detail = f"{final - first + 1} frames, records {first} to {final}: older than {days:g} days"
                audit.append(connection, audit.event("pruned", detail), gone=(first, final))
            for table in ("tiles", "reviews", "frames"):
                connection.executemany(f"DELETE FROM {table} WHERE record = ?", [(record,) for record in records])
        yield gone + Pruned(frames=len(records))


def _stretches(records: list[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each stretch of numbers without a gap: the chain of frames goes on after each."""
    for _, group in groupby(enumerate(records), key=lambda placed: placed[1] - placed[0]):
        stretch = [record for _, record in group]
        yield stretch[0], stretch[-1]


def _rows(journal: Journal, query: str, *wanted: str | float) -> list[sqlite3.Row]:
    with journal.maintenance() as connection:
        return connection.execute(query, wanted).fetchall()
