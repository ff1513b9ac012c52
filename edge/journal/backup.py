"""A copy of the journal that is whole: taken while others write, proven, and only then given its name."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from edge import durable
from edge.errors import OutputError, WbcError
from edge.journal.faults import reported


def copy(source: sqlite3.Connection, path: Path, target: Path) -> int:
    """Copy a journal by SQLite's online backup.

    Parameters
    ----------
    source : sqlite3.Connection
        The journal.
    path : Path
        Its file, for the message.
    target : Path
        The copy; must not be there yet.

    Returns
    -------
    int
        Size of the copy, bytes.

    Raises
    ------
    OutputError
        When the copy is there already, or cannot be written or read back.
    JournalError
        When the journal cannot be read.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if target.exists():
            raise OutputError(f"backup {target}", "is there already", "Name a new file")
        with reported(path):
            # All in one step, under one reading transaction: a copy in several begins again at every write.
            _written(source, part)
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.rename(target)
        durable.sync_folder(target.parent)
        return target.stat().st_size
    except WbcError:
        raise
    except OSError as error:
        raise OutputError(f"backup {target}", error.strerror or str(error), "Name a file on another disk") from error
    finally:
        for left in (part, part.with_name(f"{part.name}-journal")):
            with suppress(OSError):
                left.unlink()


def _written(source: sqlite3.Connection, part: Path) -> None:
    try:
        durable.begin(part).close()
        copied = sqlite3.connect(part)
    except (OSError, sqlite3.OperationalError) as error:
        remedy = "Name a folder that is there and that this user can write"
        raise OutputError(f"backup {part.parent}", "cannot be written", remedy) from error
    with closing(copied):
        try:
            source.backup(copied)
            # A copy is one file: without this, it would need a log beside it as soon as somebody looked into it.
            copied.execute("PRAGMA journal_mode = DELETE")
            sound = copied.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.OperationalError as error:
            raise OutputError(f"backup {part.parent}", str(error), "Free some space, or name another disk") from error
    if sound != "ok":
        raise OutputError(f"backup {part.parent}", f"the copy is not sound: {sound}", "Check both disks")
