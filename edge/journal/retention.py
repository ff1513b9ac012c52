"""What is thrown away, and in which order, so that a device can be left alone for months.

Pictures go before rows, and of the pictures the oldest first: those that are too old, then as many as the quota and the
space that must stay free demand. A row is forgotten before its file is removed, so that none ever refers to a picture
that is not there; what is to be removed is written down in the same step, so that a power cut between the two leaves
nothing behind. Only what this journal itself forgot is ever removed: a picture that it does not know may be that of
another journal, or of this one's predecessor. Whatever goes is logged.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from edge.journal import audit
from edge.journal.store import Journal

_DAY_S = 86_400.0
_EARLIEST_S = 1_735_689_600.0
"""2025: an earlier time is of a clock that had not been set, and says nothing of age."""

_LONGEST_PAUSE_S = 7 * _DAY_S
"""From one frame to the next no more than this counts: a clock that jumps ten years makes nothing ten years old."""

_OLDER = """
WITH pauses AS (
    SELECT record, lead(wall_time_s, 1, :now_s) OVER (ORDER BY record) - wall_time_s AS pause_s
    FROM frames WHERE wall_time_s > :earliest_s
), ages AS (
    SELECT record, sum(min(max(pause_s, 0.0), :longest_s)) OVER (ORDER BY record DESC) AS age_s FROM pauses
)
SELECT record FROM ages WHERE age_s > :age_s ORDER BY record
"""

_BATCH = 200


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


@dataclass(frozen=True, slots=True)
class _Kept:
    record: int
    kind: str
    file: Path
    size_bytes: int


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
    """
    now_s = time.time() if now_s is None else now_s
    gone = _remove(journal)
    kept = list(_pictures(journal, policy.reviewed_first))
    if policy.picture_days is not None:
        older = set(_older(journal, policy.picture_days, now_s))
        old = [picture for picture in kept if picture.record in older]
        gone += _forget(journal, old, f"older than {policy.picture_days:g} days")
        kept = [picture for picture in kept if picture not in set(old)]
    if policy.picture_mb is not None:
        excess = sum(picture.size_bytes for picture in kept) - policy.picture_mb * 1e6
        gone += _forget_enough(journal, kept, excess, f"over {policy.picture_mb:g} MB")
        kept = list(_pictures(journal, policy.reviewed_first))
    if policy.free_mb is not None:
        missing = (policy.free_mb - free_mb(journal.path.parent)) * 1e6
        gone += _forget_enough(journal, kept, missing, f"less than {policy.free_mb:g} MB are free")
    if policy.frame_days is not None:
        gone += _forget_frames(journal, _older(journal, policy.frame_days, now_s), policy.frame_days)
    return gone


def _pictures(journal: Journal, reviewed_first: bool) -> Iterator[_Kept]:
    with journal.transaction() as connection:
        rows = connection.execute(
            "SELECT pictures.*, record IN (SELECT record FROM reviews) AS reviewed FROM pictures"
            f" ORDER BY reviewed {'DESC' if reviewed_first else 'ASC'}, record, kind"
        ).fetchall()
    for row in rows:
        file = journal.path.parent / row["path"]
        try:
            size_bytes = file.stat().st_size
        except OSError:
            size_bytes = 0
        yield _Kept(row["record"], row["kind"], file, size_bytes)


def _enough(pictures: list[_Kept], excess_bytes: float) -> list[_Kept]:
    chosen = []
    for picture in pictures:
        if excess_bytes <= 0:
            break
        chosen.append(picture)
        excess_bytes -= picture.size_bytes
    return chosen


def _forget_enough(journal: Journal, pictures: list[_Kept], excess_bytes: float, why: str) -> Pruned:
    """Forget the first pictures until so much is gone: in the place of one that cannot be removed the next goes."""
    gone = Pruned()
    while chosen := _enough(pictures, excess_bytes - gone.picture_bytes):
        gone += _forget(journal, chosen, why)
        pictures = pictures[len(chosen) :]
    return gone


def _forget(journal: Journal, pictures: list[_Kept], why: str) -> Pruned:
    gone = Pruned()
    for start in range(0, len(pictures), _BATCH):
        batch = [(each.record, each.kind) for each in pictures[start : start + _BATCH]]
        with journal.transaction() as connection:
            connection.executemany(
                "INSERT INTO removals SELECT record, kind, path, ? FROM pictures WHERE record = ? AND kind = ?",
                [(why, *each) for each in batch],
            )
            connection.executemany("DELETE FROM pictures WHERE record = ? AND kind = ?", batch)
        gone += _remove(journal)
    return gone


def _remove(journal: Journal) -> Pruned:
    """Remove the files of forgotten pictures, also those that a power cut left; log what went, keep what cannot go."""
    with journal.transaction() as connection:
        rows = connection.execute("SELECT * FROM removals ORDER BY why, record, kind").fetchall()
    gone = Pruned()
    for why, forgotten in groupby(rows, key=lambda row: str(row["why"])):
        removed, refused = [], []
        for row in forgotten:
            try:
                gone += Pruned(1, picture_bytes=_unlink(journal.path.parent / row["path"]))
                removed.append((row["record"], row["kind"]))
            except OSError as error:
                gone += Pruned(problem=f"{row['path']}: {error.strerror or error}")
                refused.append((row["record"], row["kind"]))
        with journal.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO pictures SELECT record, kind, path FROM removals WHERE record = ? AND kind = ?",
                refused,
            )
            connection.executemany("DELETE FROM removals WHERE record = ? AND kind = ?", removed + refused)
            if removed:
                records = [record for record, _ in removed]
                detail = f"{len(removed)} pictures of records {min(records)} to {max(records)}: {why}"
                audit.append(connection, audit.event("pruned", detail))
    return gone


def _unlink(file: Path) -> int:
    """Remove a file and say how many bytes it took; one that is not there is as gone as it can be."""
    try:
        size_bytes = file.stat().st_size
        file.unlink()
    except FileNotFoundError:
        return 0
    return size_bytes


def _older(journal: Journal, days: float, now_s: float) -> list[int]:
    limits = {"age_s": days * _DAY_S, "now_s": now_s, "earliest_s": _EARLIEST_S, "longest_s": _LONGEST_PAUSE_S}
    with journal.transaction() as connection:
        return [row["record"] for row in connection.execute(_OLDER, limits)]


def _forget_frames(journal: Journal, records: list[int], days: float) -> Pruned:
    old = [picture for picture in _pictures(journal, reviewed_first=False) if picture.record in set(records)]
    gone = _forget(journal, old, f"frames older than {days:g} days")
    # What still has a picture stays with it: the journal must not lose sight of a file that is there.
    still = {picture.record for picture in _pictures(journal, reviewed_first=False)}
    records = [record for record in records if record not in still]
    for start in range(0, len(records), _BATCH):
        batch = records[start : start + _BATCH]
        with journal.transaction() as connection:
            for first, last in _stretches(batch):
                detail = f"{last - first + 1} frames, records {first} to {last}: older than {days:g} days"
                audit.append(connection, audit.event("pruned", detail), gone=(first, last))
            for table in ("tiles", "reviews", "frames"):
                connection.executemany(f"DELETE FROM {table} WHERE record = ?", [(record,) for record in batch])
    return gone + Pruned(frames=len(records))


def _stretches(records: list[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each stretch of numbers without a gap: the chain of frames goes on after each."""
    for _, group in groupby(enumerate(records), key=lambda placed: placed[1] - placed[0]):
        stretch = [record for _, record in group]
        yield stretch[0], stretch[-1]
