"""How the journal is opened: to write, to read, from a disk that nobody can write, of an earlier version."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from edge import durable
from edge.errors import JournalError, JournalFull, JournalLocked, JournalReadOnly
from edge.journal import moved, schema
from edge.journal.faults import reported


def to_write(file: Path, timeout_s: float) -> sqlite3.Connection:
    """Open a journal for writing; made if missing, brought to this version if older.

    Parameters
    ----------
    file : Path
        The file, absolute.
    timeout_s : float
        How long to wait for another process, now and at each write.

    Returns
    -------
    sqlite3.Connection
        In autocommit mode, each commit on the disk before it returns.

    Raises
    ------
    JournalError
        The subclass that fits, see :meth:`edge.journal.Journal.open`.
    """
    with _accessible(file):
        durable.make_folder(file.parent)
        moved.demand_no_orphan(file)
        if os.geteuid() == 0:
            # The service's account must be able to write it; SQLite gives the files beside it the same owner.
            durable.make_file(file)
        moved.make_way(file, timeout_s)
        _judge_untouched(file)
    with _accessible(file), reported(file):
        connection = _connect(str(file), timeout_s)
        try:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                # Before the first table, so that space can be given back a little at a time.
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            schema.migrate(connection, file)
            _enter_wal(connection, file, timeout_s)
            # The log is made when it is first looked into, and must be there to be missed.
            schema.version(connection, file)
        except BaseException:
            connection.close()
            raise
    return connection


def to_read(file: Path, timeout_s: float) -> sqlite3.Connection:
    """Open a journal for reading; one of an earlier version through a private copy brought to this version.

    Parameters
    ----------
    file : Path
        The file, absolute.
    timeout_s : float
        How long to wait for another process.

    Raises
    ------
    JournalError
        The subclass that fits, see :meth:`edge.journal.Journal.open_read_only`.
    """
    with _accessible(file):
        moved.demand_no_orphan(file)
        if not file.exists():
            raise JournalError(f"journal {file}", "there is none yet", "Capture or classify something first.")
        _judge_untouched(file)
    connection = _read(file, timeout_s)
    with reported(file):
        try:
            found = schema.version(connection, file)
            if not found:
                remedy = "Capture or classify something, or put a copy in its place."
                raise JournalError(f"journal {file}", "it is empty: nothing was logged in it, or all is lost", remedy)
            return connection if found == len(schema.MIGRATIONS) else _upgraded_copy(connection, found)
        except BaseException:
            connection.close()
            raise


def _judge_untouched(file: Path) -> None:
    # "immutable", or else SQLite would finish the other program's transactions. Python must not read the header itself:
    # closing a file drops every POSIX lock of this process on it, those of a journal already open here included.
    if not file.exists():
        return
    if file.is_dir():
        raise JournalReadOnly(f"journal {file}", "this is a folder", "Name a file in it.")
    with reported(file):
        connection = _connect(f"{file.as_uri()}?mode=ro&immutable=1", timeout_s=0.0)
    # A file that is damaged, or being written just now, is for the proper opening to judge.
    with closing(connection), suppress(sqlite3.DatabaseError, UnicodeDecodeError):
        schema.version(connection, file)


def _read(file: Path, timeout_s: float) -> sqlite3.Connection:
    # Where nobody can write, SQLite cannot make the shared memory it wants, and must be told that the file does not
    # change; it then ignores the write-ahead log, so this is the last resort, and only where that is empty.
    log = file.with_name(f"{file.name}-wal")
    unchanging = not log.exists() or log.stat().st_size == 0
    try:
        return _probed(file, "mode=ro", timeout_s)
    except (JournalReadOnly, JournalFull):
        if unchanging:
            return _probed(file, "immutable=1", timeout_s)
        raise


def _probed(file: Path, mode: str, timeout_s: float) -> sqlite3.Connection:
    with reported(file):
        connection = _connect(f"{file.as_uri()}?{mode}", timeout_s)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
    return connection


def _upgraded_copy(source: sqlite3.Connection, found: int) -> sqlite3.Connection:
    copy = _connect("", timeout_s=0.0)  # no name: a temporary file that SQLite deletes
    try:
        with closing(source):
            source.backup(copy)
        schema.upgrade(copy, found)
        copy.execute("PRAGMA query_only = ON")
    except BaseException:
        copy.close()
        raise
    return copy


def _connect(database: str, timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(database, timeout=timeout_s, isolation_level=None, uri=database.startswith("file:"))
    connection.row_factory = sqlite3.Row
    return connection


def _enter_wal(connection: sqlite3.Connection, file: Path, timeout_s: float) -> None:
    # SQLite does not wait when two processes that have just made the file both ask for this.
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with reported(file):
                connection.execute("PRAGMA journal_mode = WAL")
        except JournalLocked:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def _accessible(file: Path) -> Iterator[None]:
    try:
        yield
    except JournalError:
        raise
    except OSError as error:
        raise JournalReadOnly(
            f"journal {file}", error.strerror or str(error), "Name a journal in a folder that this user can write."
        ) from error
