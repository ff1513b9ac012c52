"""Reading the journal: frames with their tiles and pictures, samples, events, and whether all is as it was logged."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from edge.errors import RecordNotFound
from edge.journal import audit, chain, integrity, tallies
from edge.journal.audit import Audit
from edge.journal.faults import readable, reported
from edge.journal.records import EventRecord, FrameRecord, SampleRecord, read_frame, read_sample, text
from edge.journal.schema import snapshot
from edge.verdict import Tally

_Reader = TypeVar("_Reader", bound="Reader")

_PAGE = 256
_FRAMES = (
    "SELECT frames.*, samples.name, reviews.label AS review_label, reviews.note AS review_note,"
    " reviews.who AS reviewed_by, reviews.wall_time_s AS reviewed_s"
    " FROM frames JOIN samples USING (sample) LEFT JOIN reviews USING (record)"
)


def no_such_record(record: int) -> RecordNotFound:
    """Give what is raised for a number that no record has."""
    return RecordNotFound(f"record {record}", "the journal has no such record", "See `wbc-edge log list`.")


class Reader:
    """What can be asked of a journal; a context manager, used from the thread that opened it.

    Parameters
    ----------
    connection : sqlite3.Connection
        To the journal's file; closed with this.
    path : Path
        The file.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    def close(self) -> None:
        """Close the file; may be called twice."""
        with reported(self.path):
            self._connection.close()

    def __enter__(self: _Reader) -> _Reader:
        """Return the journal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

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
            raise no_such_record(record)
        return page[0]

    def tally(self, sample_id: int, model: str, classes: int) -> Tally:
        """Return what a model has seen of a sample, in frames logged by whichever process.

        Parameters
        ----------
        sample_id : int
            Number of the sample.
        model : str
            The model's identity.
        classes : int
            How many the model has.
        """
        with reported(self.path), readable(self.path, "a tally"):
            return tallies.read(self._connection, sample_id, model, classes)

    def samples(self) -> list[SampleRecord]:
        """Return the samples in the order in which they were begun."""
        with reported(self.path):
            rows = self._connection.execute(
                "SELECT samples.*, (SELECT count(*) FROM frames WHERE frames.sample = samples.sample) AS logged"
                " FROM samples ORDER BY sample"
            ).fetchall()
        with readable(self.path, "a sample"):
            return [read_sample(row) for row in rows]

    def events(
        self, *, sample: str | None = None, kind: str | None = None, limit: int | None = None
    ) -> list[EventRecord]:
        """Return events in the order in which they were logged.

        Parameters
        ----------
        sample : str or None
            Only those of this sample.
        kind : str or None
            Only those of this kind.
        limit : int or None
            At most so many: the most recent ones.
        """
        with reported(self.path):
            rows = self._connection.execute(
                "SELECT event, kind, detail, name, frame, wall_time_s, monotonic_s, boot_id, software, who, digest"
                " FROM events LEFT JOIN samples USING (sample)"
                " WHERE (:sample IS NULL OR name = :sample) AND (:kind IS NULL OR kind = :kind)"
                " ORDER BY event DESC LIMIT :limit",
                {
                    "sample": None if sample is None else text(sample),
                    "kind": None if kind is None else text(kind),
                    "limit": -1 if limit is None else limit,
                },
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
            # All of it here: what is read after the snapshot's end is of another moment.
            wrong = list(tallies.problems(self._connection))
        return replace(events, frames=frames, problems=(*events.problems, *problems, *wrong))

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
