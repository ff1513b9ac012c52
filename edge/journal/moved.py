"""Whether the files of an open journal still have their names.

An open file outlives its name. A journal that was moved or removed while it is in use takes rows as before, into a log
that nobody finds: SQLite leaves it where it was, and deletes it beside the next journal that is begun there.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge import durable
from edge.errors import JournalLocked, JournalMoved

_BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a journal that is open: the log, and the index of the log that its users share."""


class Files:
    """The files that a journal was opened from: its own, and the two that SQLite keeps beside it.

    Parameters
    ----------
    path : Path
        The journal's file; open, and read from since, so that those beside it are there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = {name: _identity(name) for name in (str(path), *_beside(path))}

    def is_moved(self) -> bool:
        """Say whether the journal's own file is no longer at its name."""
        name = str(self._path)
        return _identity(name) != self._found[name]

    def demand(self) -> None:
        """Let pass only while each file is still at its name; takes some microseconds.

        Raises
        ------
        JournalMoved
            When one is not.
        """
        for name, found in self._found.items():
            # What was not there at first, as where no log is kept, may come.
            if found is not None and _identity(name) != found:
                raise _moved(self._path, name)


def demand_no_orphan(path: Path) -> None:
    """Let pass only what is no log without its journal: SQLite would delete it unread.

    Parameters
    ----------
    path : Path
        The journal's file, about to be opened or begun.

    Raises
    ------
    JournalMoved
        When there is such a log.
    OSError
        When that cannot be found out.
    """
    log, _ = _beside(path)
    # In this order: who begins a journal at this moment makes its log only after its file has tables.
    if _size_bytes(log) and not _size_bytes(path):
        raise JournalMoved(
            f"journal {path}",
            f"it is gone, and its log {log} is still there, perhaps with rows that are nowhere else",
            "Put the journal back to its place, or move that log aside too to begin a new one.",
        )


def make_way(path: Path, timeout_s: float) -> None:
    """Remove what a journal that is gone left beside it, before another is begun in its place.

    SQLite would take it over, together with whoever has the one that is gone open still, and mix their rows.

    Parameters
    ----------
    path : Path
        The journal's file, about to be opened or begun.
    timeout_s : float
        How long to wait for another who does the same.

    Raises
    ------
    JournalMoved
        When there may be rows in it.
    JournalLocked
        When another took longer than the time limit.
    OSError
        When it cannot be removed.
    """
    demand_no_orphan(path)
    if _size_bytes(path) or not any(map(os.path.lexists, _beside(path))):
        return
    try:
        with durable.locked(path.parent, timeout_s):
            left = list(filter(os.path.lexists, _beside(path)))
            # In this order, again: who began a journal meanwhile made way for it before.
            demand_no_orphan(path)
            if not _size_bytes(path):
                for name in left:
                    Path(name).unlink(missing_ok=True)
    except TimeoutError as error:
        raise JournalLocked(f"journal {path}", "another is about to begin it", "Let that one finish.") from error


def _beside(path: Path) -> list[str]:
    # SQLite follows a link, and keeps them beside the file that it leads to.
    return [f"{os.path.realpath(path)}{ending}" for ending in _BESIDE]


def _identity(name: str) -> tuple[int, int] | None:
    try:
        status = os.stat(name)  # noqa: PTH116 - at every row: three times as fast as a Path's
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _size_bytes(path: str | Path) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0


def _moved(path: Path, name: str) -> JournalMoved:
    if name == str(path):
        why = "it was moved, removed or replaced while in use"
        remedy = (
            "What was logged is in the file that was moved: put it back to go on with it, or else another is begun."
        )
    else:
        why = f"{name} was moved, removed or replaced while in use"
        remedy = "What was logged is in the journal. Leave the files beside it alone while it is in use."
    return JournalMoved(f"journal {path}", why, remedy)
