"""The journal itself: an SQLite file in which what is acknowledged stays."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from edge import __version__
from edge.errors import RecordNotFound
from edge.journal import audit, backup, chain, connection, integrity
from edge.journal.audit import Audit
from edge.journal.faults import readable, reported
from edge.journal.records import (
    TILE_COLUMNS,
    EventRecord,
    FrameRecord,
    SampleRecord,
    boot_id,
    frame_row,
    numbers_by_name,
    read_frame,
    read_sample,
    text,
    tile_rows,
)
from edge.journal.schema import snapshot, transaction
from edge.result import FrameResult, SampleResult

_PAGE = 256
_INSERT_TILE = f"INSERT INTO tiles ({', '.join(TILE_COLUMNS)}) VALUES ({', '.join('?' * len(TILE_COLUMNS))})"
_FRAMES = (
    "SELECT frames.*, samples.name, reviews.label AS review_label, reviews.note AS review_note,"
    " reviews.who AS reviewed_by, reviews.wall_time_s AS reviewed_s"
    " FROM frames JOIN samples USING (sample) LEFT JOIN reviews USING (record)"
)


class Journal:
    """The log of samples, frames, tiles, pictures and events.

    Made by :meth:`open` or :meth:`open_read_only`; a context manager; used from the thread that opened it. Every method
    raises the subclass of ``JournalError`` that says what is wrong with the file: ``JournalReadOnly``,
    ``JournalLocked``, ``JournalFull``, ``JournalCorrupt``. After any of them the journal is as it was before the call.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

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
            When there is no journal there; see :meth:`open` for the other failures.
        """
        file = Path(path).absolute()
        return cls(connection.to_read(file, timeout_s), file)

    def close(self) -> None:
        """Close the file; may be called twice."""
        with reported(self.path):
            self._connection.close()

    def __enter__(self) -> Journal:
        """Return the journal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

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
            chain.seal(self._connection, record)
        return record

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
            connection.execute(
                "INSERT INTO reviews VALUES (?, ?, ?, ?, ?) ON CONFLICT (record) DO UPDATE SET"
                " label = excluded.label, note = excluded.note, who = excluded.who, wall_time_s = excluded.wall_time_s",
                (record, text(label), text(note), text(audit.who()), time.time()),
            )
            audit.append(connection, audit.event("review", said))

    def finish_sample(self, sample_id: int, result: SampleResult) -> None:
        """Log the verdict of a sample, and an event of kind ``verdict`` that stays when the sample is continued.

        Parameters
        ----------
        sample_id : int
            Number of the sample.
        result : SampleResult
            Its verdict.

        Raises
        ------
        RecordNotFound
            When there is no such sample.
        """
        reason = None if result.reason is None else text(result.reason)
        detail = chain.verdict_said(text(result.verdict), reason, result.frames, result.indeterminate)
        with self.transaction():
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

    def frames(
        self, *, sample: str | None = None, verdict: str | None = None, after: int = 0, limit: int | None = None
    ) -> Iterator[FrameRecord]:
        """Yield frames in the order in which they were logged, up to the last one logged when the first is asked for.

        Read in pages, so that a slow reader neither blocks a writer nor keeps its log from being folded in.

        Parameters
        ----------
        sample, verdict : str or None
            Only those of this sample, of this verdict.
        after : int
            Only those with a greater record number.
        limit : int or None
            At most so many: the most recent ones.
        """
        conditions = ["frames.record > :after", "frames.record <= :last"]
        wanted: dict[str, str | int] = {"after": after, "last": 2**63 - 1}
        if sample is not None:
            conditions.append("frames.sample = (SELECT sample FROM samples WHERE name = :sample)")
            wanted["sample"] = text(sample)
        if verdict is not None:
            conditions.append("frames.verdict = :verdict")
            wanted["verdict"] = text(verdict)
        where = " AND ".join(conditions)
        bounds = f"SELECT record FROM frames WHERE {where} ORDER BY record DESC LIMIT :limit"
        with reported(self.path):
            first, last = self._connection.execute(
                f"SELECT min(record), max(record) FROM ({bounds})", {**wanted, "limit": -1 if limit is None else limit}
            ).fetchone()
        if last is None:
            return
        wanted.update(after=first - 1, last=last)
        while page := self._page(f"{_FRAMES} WHERE {where} ORDER BY frames.record LIMIT {_PAGE}", wanted):
            yield from page
            wanted["after"] = page[-1].record

    def frame(self, record: int) -> FrameRecord:
        """Return one frame.

        Parameters
        ----------
        record : int
            Number of its record.

        Raises
        ------
        RecordNotFound
            When there is none of that number.
        """
        page = self._page(f"{_FRAMES} WHERE frames.record = :record", {"record": record})
        if not page:
            raise RecordNotFound(f"record {record}", "the journal has no such record", "See `wbc-edge log list`.")
        return page[0]

    def count(self, sample_id: int) -> int:
        """Count the frames that are logged for a sample, by whichever process.

        Parameters
        ----------
        sample_id : int
            Number of the sample.
        """
        with reported(self.path):
            counted = self._connection.execute("SELECT count(*) FROM frames WHERE sample = ?", (sample_id,))
            return int(counted.fetchone()[0])

    def samples(self) -> list[SampleRecord]:
        """Return the samples in the order in which they were begun."""
        with reported(self.path):
            rows = self._connection.execute(
                "SELECT samples.*, (SELECT count(*) FROM frames WHERE frames.sample = samples.sample) AS logged"
                " FROM samples ORDER BY sample"
            ).fetchall()
        with readable(self.path, "a sample"):
            return [read_sample(row) for row in rows]

    def events(self, *, sample: str | None = None, limit: int | None = None) -> list[EventRecord]:
        """Return events in the order in which they were logged.

        Parameters
        ----------
        sample : str or None
            Only those of this sample.
        limit : int or None
            At most so many: the most recent ones.
        """
        with reported(self.path):
            rows = self._connection.execute(
                "SELECT event, kind, detail, name, frame, wall_time_s, monotonic_s, boot_id, software, who, digest"
                " FROM events LEFT JOIN samples USING (sample) WHERE :sample IS NULL OR name = :sample"
                " ORDER BY event DESC LIMIT :limit",
                {"sample": None if sample is None else text(sample), "limit": -1 if limit is None else limit},
            ).fetchall()
        return [EventRecord(*row) for row in reversed(rows)]

    def check(self) -> list[str]:
        """Read the whole file and return what is wrong with it, a line each; empty when it is sound."""
        return integrity.problems(self._connection, self.path)

    def audit(self, expected: str | None = None) -> Audit:
        """Follow the chains of events and frames, and say where they are broken.

        Parameters
        ----------
        expected : str or None
            A digest kept elsewhere, or its beginning, that must still be there.

        Returns
        -------
        Audit
            What was found.
        """
        with reported(self.path), snapshot(self._connection):
            given_out = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
            rows = self._connection.execute("SELECT * FROM events ORDER BY event")
            events = audit.verify((dict(row) for row in rows), given_out["seq"] if given_out else 0, expected)
            frames, problems = chain.follow(self._connection)
        return replace(events, frames=frames, problems=(*events.problems, *problems))

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
        with reported(self.path), transaction(self._connection):
            yield self._connection

    @contextmanager
    def maintenance(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for what is no transaction: pragmas, and single questions."""
        with reported(self.path):
            yield self._connection

    def _insert(self, table: str, row: dict[str, str | int | float | None]) -> int:
        places = ", ".join("?" * len(row))
        cursor = self._connection.execute(
            f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", tuple(row.values())
        )
        assert cursor.lastrowid is not None  # for the type checker: an INSERT that did not raise has one
        return cursor.lastrowid

    def _page(self, query: str, wanted: dict[str, str | int]) -> list[FrameRecord]:
        tiles: dict[int, list[sqlite3.Row]] = defaultdict(list)
        pictures: dict[int, dict[str, Path]] = defaultdict(dict)
        with reported(self.path):
            rows = self._connection.execute(query, wanted).fetchall()
            numbers = [row["record"] for row in rows]
            among = f"WHERE record IN ({', '.join('?' * len(numbers))})"
            for tile in self._connection.execute(f"SELECT * FROM tiles {among} ORDER BY record, tile", numbers):
                tiles[tile["record"]].append(tile)
            for picture in self._connection.execute(f"SELECT * FROM pictures {among}", numbers):
                pictures[picture["record"]][picture["kind"]] = self.path.parent / picture["path"]
        with readable(self.path, "a record"):
            return [read_frame(row, tiles[row["record"]], pictures[row["record"]]) for row in rows]
