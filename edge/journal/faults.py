"""What SQLite complains of, in the words of :mod:`edge.errors`: the only place where its errors are translated."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edge.errors import (
    JournalCorrupt,
    JournalDiskFailed,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalReadOnly,
    RecordNotFound,
)

_UNWRITABLE = (
    "Give this user write access to the file and its folder, call it with sudo if they are the service's,"
    " or name another journal."
)
_LOCKED = "Let the other process finish, or end it; nothing logged is lost."
_FULL = "Free some space; what is already logged is safe."
_DAMAGED = "It was left untouched: move it aside to go on, and recover its rows with `sqlite3 FILE .recover`."
_DISK = "Check the disk with `wbc-edge doctor`."

# Messages and not error codes: Python 3.10 has no ``sqlite_errorcode``, and SQLite keeps these texts stable.
_FAULTS: tuple[tuple[str, type[JournalError], str, str], ...] = (
    ("readonly database", JournalReadOnly, "it cannot be written", _UNWRITABLE),
    ("unable to open database", JournalReadOnly, "the file or its folder cannot be opened for writing", _UNWRITABLE),
    ("access permission denied", JournalReadOnly, "access was denied", _UNWRITABLE),
    ("is locked", JournalLocked, "another process kept it locked", _LOCKED),
    ("locking protocol", JournalLocked, "other processes kept it busy", _LOCKED),
    ("disk is full", JournalFull, "the disk is full", _FULL),
    ("not a database", JournalCorrupt, "it is no journal, or its first page is damaged", _DAMAGED),
    ("malformed", JournalCorrupt, "the file is damaged", _DAMAGED),
    ("no such ", JournalCorrupt, "its tables are damaged", _DAMAGED),
    ("could not decode", JournalCorrupt, "the file holds damaged text", _DAMAGED),
    ("disk i/o error", JournalDiskFailed, "disk I/O error", _DISK),
    ("foreign key constraint", RecordNotFound, "there is no such sample or record", ""),
)


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Raise what SQLite raises inside as the :class:`edge.errors.JournalError` that fits it.

    Parameters
    ----------
    path : Path
        The journal's file, for the message.

    Raises
    ------
    JournalError
        The subclass that fits. Misuse of the library (``sqlite3.ProgrammingError``) is a defect and passes as it is.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as error:
        raise _translated(error, path) from error
    except UnicodeDecodeError as error:  # Python could not read SQLite's own message, which quotes the damaged bytes
        raise JournalCorrupt(f"journal {path}", "the file is damaged", _DAMAGED) from error


@contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Raise ``JournalCorrupt`` when rows that SQLite could read do not hold what was once written to them.

    Parameters
    ----------
    path : Path
        The journal's file.
    what : str
        What is being read, for the message.
    """
    try:
        yield
    except (msgspec.DecodeError, LookupError, TypeError, ValueError) as error:
        raise JournalCorrupt(f"journal {path}", f"{what} is damaged ({error})", _DAMAGED) from error


def _translated(error: sqlite3.DatabaseError, path: Path) -> JournalError:
    message = str(error)
    # The shared-memory file of a full disk fails with "disk I/O error", which would send the user after a broken card.
    if "disk i/o" in message.lower() and _is_full(path.parent):
        return JournalFull(f"journal {path}", "the disk is full", _FULL)
    for part, kind, why, remedy in _FAULTS:
        if part in message.lower():
            return kind(f"journal {path}", why, remedy)
    return JournalError(f"journal {path}", message, _DISK)


def _is_full(folder: Path) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < 1 << 16
