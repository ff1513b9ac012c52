"""What is thrown away, and in which order, so that a device can be left alone for months.

Pictures go before rows, and of the pictures the oldest first: those that are too old, then as many as the quota and the
space that must stay free demand. A row is forgotten before its file is removed, so that none ever refers to a picture
that is not there; a file that a power cut left without its row goes at the next time. Whatever goes is logged.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
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

_ORPHAN_AGE_S = 3_600.0
"""A picture is written before it is logged, but never an hour before."""

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
    """

    pictures: int = 0
    frames: int = 0
    picture_bytes: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        """Add up."""
        return Pruned(
            self.pictures + other.pictures, self.frames + other.frames, self.picture_bytes + other.picture_bytes
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
    gone = Pruned()
    kept = list(_pictures(journal, policy.reviewed_first))
    if policy.picture_days is not None:
        older = set(_older(journal, policy.picture_days, now_s))
        old = [picture for picture in kept if picture.record in older]
        gone += _forget(journal, old, f"older than {policy.picture_days:g} days")
        kept = [picture for picture in kept if picture not in set(old)]
    if policy.picture_mb is not None:
        excess = sum(picture.size_bytes for picture in kept) - policy.picture_mb * 1e6
        chosen = _enough(kept, excess)
        gone += _forget(journal, chosen, f"over {policy.picture_mb:g} MB")
        kept = kept[len(chosen) :]
    if policy.free_mb is not None:
        missing = (policy.free_mb - free_mb(journal.path.parent)) * 1e6
        gone += _forget(journal, _enough(kept, missing), f"less than {policy.free_mb:g} MB are free")
    if policy.frame_days is not None:
        gone += _forget_frames(journal, _older(journal, policy.frame_days, now_s), policy.frame_days)
    _remove_orphans(journal, now_s)
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


def _forget(journal: Journal, pictures: list[_Kept], why: str) -> Pruned:
    for start in range(0, len(pictures), _BATCH):
        batch = pictures[start : start + _BATCH]
        with journal.transaction() as connection:
            connection.executemany(
                "DELETE FROM pictures WHERE record = ? AND kind = ?", [(each.record, each.kind) for each in batch]
            )
            first, last = min(each.record for each in batch), max(each.record for each in batch)
            detail = f"{len(batch)} pictures of records {first} to {last}: {why}"
            audit.append(connection, audit.event("pruned", detail))
        for each in batch:
            with suppress(OSError):
                each.file.unlink()
    return Pruned(pictures=len(pictures), picture_bytes=sum(picture.size_bytes for picture in pictures))


def _older(journal: Journal, days: float, now_s: float) -> list[int]:
    limits = {"age_s": days * _DAY_S, "now_s": now_s, "earliest_s": _EARLIEST_S, "longest_s": _LONGEST_PAUSE_S}
    with journal.transaction() as connection:
        return [row["record"] for row in connection.execute(_OLDER, limits)]


def _forget_frames(journal: Journal, records: list[int], days: float) -> Pruned:
    old = [picture for picture in _pictures(journal, reviewed_first=False) if picture.record in set(records)]
    gone = _forget(journal, old, f"frames older than {days:g} days")
    for start in range(0, len(records), _BATCH):
        batch = [(record,) for record in records[start : start + _BATCH]]
        with journal.transaction() as connection:
            for table in ("tiles", "reviews", "frames"):
                connection.executemany(f"DELETE FROM {table} WHERE record = ?", batch)
            detail = f"{len(batch)} frames, records {batch[0][0]} to {batch[-1][0]}: older than {days:g} days"
            audit.append(connection, audit.event("pruned", detail))
    return gone + Pruned(frames=len(records))


def _remove_orphans(journal: Journal, now_s: float) -> None:
    """Remove the pictures that no row refers to: a power cut between a row's end and its file's leaves such."""
    folder = journal.path.parent / "pictures"
    with journal.transaction() as connection:
        known = {journal.path.parent / row["path"] for row in connection.execute("SELECT path FROM pictures")}
    for file in folder.glob("*/*-*.jpg"):
        with suppress(OSError):
            if file not in known and now_s - file.stat().st_mtime > _ORPHAN_AGE_S:
                file.unlink()
