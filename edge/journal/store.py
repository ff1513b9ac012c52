"""The journal itself: an SQLite file in which what is acknowledged stays."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from edge import __version__
from edge.errors import JournalDiskFailed, JournalReadOnly
from edge.journal import audit, backup, chain, connection, tallies
from edge.journal.faults import readable, reported
from edge.journal.moved import Files
from edge.journal.reading import Reader, no_such_record
from edge.journal.records import TILE_COLUMNS, boot_id, frame_row, numbers_by_name, text, tile_rows
from edge.journal.schema import transaction
from edge.result import FrameResult, SampleResult

_INSERT_TILE = f"INSERT INTO tiles ({', '.join(TILE_COLUMNS)}) VALUES ({', '.join('?' * len(TILE_COLUMNS))})"

_TRIES = 5
_TRIED_S = 1.0
"""A card that takes half a minute over each failure would otherwise keep the service from its watchdog."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _made_again(write: Callable[Concatenate[Journal, _P], _R]) -> Callable[Concatenate[Journal, _P], _R]:
    """Make a transaction again that the disk failed: it is all or nothing, so that nothing is logged twice.

    Where one write in a hundred fails, every fifth transaction does, and one in three thousand five times. SQLite
    writes all of it anew, so that what the kernel forgot with a failed sync does not matter; what a file system does
    with a block that fails at first is another matter, see ``docs/reliability.md``.
    """

    @wraps(write)
    def insisted(journal: Journal, /, *arguments: _P.args, **named: _P.kwargs) -> _R:
        until_s = time.monotonic() + _TRIED_S
        for _ in range(_TRIES - 1):
            try:
                return write(journal, *arguments, **named)
            except JournalDiskFailed:
                if time.monotonic() > until_s:
                    raise
                journal.made_again += 1
        return write(journal, *arguments, **named)

    return insisted


class Journal(Reader):
    """The log of samples, frames, tiles, pictures and events.

    Made by :meth:`open` or :meth:`open_read_only`; a context manager; used from the thread that opened it. Every method
    raises the subclass of ``JournalError`` that says what is wrong with the file: ``JournalReadOnly``,
    ``JournalLocked``, ``JournalFull``, ``JournalCorrupt``, ``JournalDiskFailed`` when the disk fails again and again,
    or ``JournalMoved`` when the file is no longer at its name. After any of them the journal is as it was before the
    call.

    Attributes
    ----------
    made_again : int
        How often something was written again since the disk had failed it.
    """

    made_again = 0

    def __init__(self, opened: sqlite3.Connection, path: Path) -> None:
        super().__init__(opened, path)
        self._files = Files(path)

    def close(self) -> None:
        """Close the file, wherever it was moved, with all that was logged in it; may be called twice."""
        try:
            # Closed already, or open to read only.
            with suppress(sqlite3.ProgrammingError, JournalReadOnly), reported(self.path):
                if self._files.is_moved():
                    # SQLite folds the log into a file that kept its name only, and else leaves it to be lost.
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            super().close()

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, timeout_s: float = 5.0) -> Journal:
        """Open a journal for writing; made if missing, brought to this version if older.

        Parameters
        ----------
        path : str or path-like
            The file; folders that are missing are made.
        timeout_s : float
            How long to wait for another process, now and at each write.

        Raises
        ------
        JournalReadOnly
            When the file or its folder cannot be written.
        JournalLocked
            When another process held it longer than the time limit.
        JournalTooNew
            When a later version of wbc-edge wrote it.
        JournalCorrupt
            When it is damaged, or no SQLite file; it is left untouched.
        JournalMoved
            When it is gone and its log is still there.
        JournalError
            When it is the database of another program; it is left untouched.
        """
        file = Path(path).absolute()
        return cls(connection.to_write(file, timeout_s), file)

    @classmethod
    def open_read_only(cls, path: str | os.PathLike[str], *, timeout_s: float = 5.0) -> Journal:
        """Open a journal for reading, while others write or from a disk that nobody can write.

        One of an earlier version is read through a private copy brought to this version; the file stays as it is.

        Parameters
        ----------
        path : str or path-like
            The file.
        timeout_s : float
            How long to wait for another process.

        Raises
        ------
        JournalError
            When there is no journal there, or an empty file; see :meth:`open` for the other failures.
        """
        file = Path(path).absolute()
        return cls(connection.to_read(file, timeout_s), file)

    @_made_again
    def sample(self, name: str) -> int:
        """Return the number of a sample, begun now if the journal does not know its name.

        Parameters
        ----------
        name : str
            The sample's identifier.
        """
        with self.transaction():
            self._connection.execute(
                "INSERT INTO samples (name, started_s) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
                (text(name), time.time()),
            )
            found = self._connection.execute("SELECT sample FROM samples WHERE name = ?", (text(name),)).fetchone()
        return int(found["sample"])

    @_made_again
    def record(self, sample_id: int, result: FrameResult) -> int:
        """Log a frame with its tiles, in one transaction; on return it is on the disk.

        Parameters
        ----------
        sample_id : int
            Number of its sample, from :meth:`sample`.
        result : FrameResult
            What to log. A number that is not finite is kept as missing.

        Returns
        -------
        int
            Number of the record.

        Raises
        ------
        RecordNotFound
            When there is no such sample.
        """
        row = {"sample": sample_id, "boot_id": boot_id(), "software": __version__, **frame_row(result)}
        with self.transaction():
            record = self._insert("frames", row)
            tiles = tile_rows(record, result.tiles)
            self._connection.executemany(_INSERT_TILE, tiles)
            chain.seal(self._connection, record, row, tiles)
            with readable(self.path, "a tally"):
                tallies.add(self._connection, sample_id, result)
        return record

    @_made_again
    def record_failure(self, sample_id: int, frame_name: str, error: Exception) -> int:
        """Log that a frame could not be read or judged, as an event of kind ``failure``.

        Parameters
        ----------
        sample_id : int
            Number of its sample.
        frame_name : str
            Its name.
        error : Exception
            What was wrong.

        Returns
        -------
        int
            Number of the event.
        """
        detail = f"{type(error).__name__}: {error}"
        with self.transaction():
            return audit.append(self._connection, audit.event("failure", detail, sample_id, frame_name))

    @_made_again
    def event(self, kind: str, detail: str = "", *, sample_id: int | None = None) -> int:
        """Log what happened beside the frames: ``started``, ``camera reopened``, ``finished``.

        Parameters
        ----------
        kind : str
            What happened, a word or two.
        detail : str
            A sentence on it.
        sample_id : int or None
            Number of the sample that it concerns.

        Returns
        -------
        int
            Number of the event.
        """
        with self.transaction():
            return audit.append(self._connection, audit.event(kind, detail, sample_id))

    @_made_again
    def attach_picture(self, record: int, kind: str, path: str | os.PathLike[str]) -> None:
        """Log a picture of a frame; a later one of the same kind takes its place.

        Parameters
        ----------
        record : int
            Number of the frame's record.
        kind : str
            What it shows: ``frame``, ``overlay``.
        path : str or path-like
            The file, which must be on the disk already. Kept relative to the journal where it is below its folder, so
            that both can be moved together.

        Raises
        ------
        RecordNotFound
            When there is no such record.
        """
        file = Path(path).absolute()
        kept = file.relative_to(self.path.parent) if file.is_relative_to(self.path.parent) else file
        with self.transaction():
            self._connection.execute(
                "INSERT INTO pictures VALUES (?, ?, ?) ON CONFLICT (record, kind) DO UPDATE SET path = excluded.path",
                (record, kind, text(str(kept))),
            )

    @_made_again
    def review(self, record: int, label: str, note: str = "") -> None:
        """Log what a person says of a frame; a later word takes the place of an earlier, and both stay in the trail.

        Parameters
        ----------
        record : int
            Number of the frame's record.
        label : str
            What it shows: one of the model's classes, or any other.
        note : str
            What else is to be said.

        Raises
        ------
        RecordNotFound
            When there is no such record.
        """
        said = chain.review_said(record, label, note)
        with self.transaction() as connection:
            if connection.execute("SELECT 1 FROM frames WHERE record = ?", (record,)).fetchone() is None:
                raise no_such_record(record)
            connection.execute(
                "INSERT INTO reviews VALUES (?, ?, ?, ?, ?) ON CONFLICT (record) DO UPDATE SET"
                " label = excluded.label, note = excluded.note, who = excluded.who, wall_time_s = excluded.wall_time_s",
                (record, text(label), text(note), text(audit.who()), time.time()),
            )
            audit.append(connection, audit.event("review", said))

    @_made_again
    def finish_sample(self, sample_id: int, decide: Callable[[], SampleResult]) -> SampleResult:
        """Log the verdict of a sample, and an event of kind ``verdict`` that stays when the sample is continued.

        Parameters
        ----------
        sample_id : int
            Number of the sample.
        decide : callable
            Gives its verdict by what is logged; called while nobody else can log more. One over no frame is not logged.

        Returns
        -------
        SampleResult
            What was decided.

        Raises
        ------
        RecordNotFound
            When there is no such sample.
        """
        with self.transaction():
            result = decide()
            if not result.frames:
                return result
            reason = None if result.reason is None else text(result.reason)
            detail = chain.verdict_said(text(result.verdict), reason, result.frames, result.indeterminate)
            audit.append(self._connection, audit.event("verdict", detail, sample_id))
            self._connection.execute(
                "UPDATE samples SET finished_s = ?, verdict = ?, reason = ?, probabilities = ?, frames = ?,"
                " indeterminate = ? WHERE sample = ?",
                (
                    time.time(),
                    text(result.verdict),
                    reason,
                    numbers_by_name(result.probabilities),
                    int(result.frames),
                    int(result.indeterminate),
                    sample_id,
                ),
            )
        return result

    def back_up(self, target: str | os.PathLike[str]) -> int:
        """Copy the journal as it is at this moment to another file, while others write.

        Parameters
        ----------
        target : str or path-like
            A file that is not there yet; it is there whole and on the disk when this returns, or not at all.

        Returns
        -------
        int
            Size of the copy, bytes.

        Raises
        ------
        OutputError
            When the file is there already, or cannot be written.
        """
        return backup.copy(self._connection, self.path, Path(target))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all that is done to the connection inside the block, or nothing of it."""
        self._files.demand()
        with reported(self.path), transaction(self._connection):
            yield self._connection
            # Once more: the row is acknowledged next, and the wait for another writer may have been long.
            self._files.demand()

    @contextmanager
    def maintenance(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for what is no transaction: pragmas, and single questions."""
        self._files.demand()
        with reported(self.path):
            yield self._connection

    def _insert(self, table: str, row: dict[str, str | int | float | None]) -> int:
        places = ", ".join("?" * len(row))
        cursor = self._connection.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", tuple(row.values())
        )
        assert cursor.lastrowid is not None  # for the type checker: an INSERT that did not raise has one
        return cursor.lastrowid
