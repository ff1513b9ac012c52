"""Which sample is open: the journal's trail tells, so that whatever ends the service leaves it open."""

from __future__ import annotations

from dataclasses import dataclass

from edge.capture import Session
from edge.journal import Journal

_OPENED, _FINISHED = "sample opened", "sample finished"
_EVERY_FRAME, _NEWEST_FRAME = "every frame counts", "the newest frame counts"


@dataclass(frozen=True, slots=True)
class OpenSample:
    """The sample under the microscope.

    Attributes
    ----------
    name : str
        Its identifier; empty when none is open.
    every_frame : bool
        Whether each of its frames counts, since somebody opened it; otherwise only the newest does.
    """

    name: str = ""
    every_frame: bool = False

    def __str__(self) -> str:
        """Say it in a line."""
        return f"sample {self.name}, {_EVERY_FRAME if self.every_frame else _NEWEST_FRAME}"


def found(journal: Journal) -> OpenSample:
    """Find the sample that was opened last and not finished since.

    Parameters
    ----------
    journal : Journal
        The journal.
    """
    with journal.maintenance() as connection:
        row = connection.execute(
            "SELECT kind, detail, name FROM events LEFT JOIN samples USING (sample)"
            " WHERE kind IN (?, ?) ORDER BY event DESC LIMIT 1",
            (_OPENED, _FINISHED),
        ).fetchone()
    if row is None or row["kind"] == _FINISHED:
        return OpenSample()
    return OpenSample(row["name"], row["detail"] == _EVERY_FRAME)


def log_opened(session: Session, every_frame: bool) -> None:
    """Log that a sample is open from now on, or that from now on its frames count otherwise."""
    session.note(_OPENED, _EVERY_FRAME if every_frame else _NEWEST_FRAME)


def log_finished(session: Session, why: str) -> None:
    """Log that a sample is open no more."""
    session.note(_FINISHED, why)
