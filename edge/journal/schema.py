"""The journal's tables, and how a file of an earlier version becomes one of this version.

A migration is an SQL script; its place in :data:`MIGRATIONS` is the version that it leads to, counted from 1 and kept
in ``PRAGMA user_version``. Scripts are only ever appended: one that has been released is never edited.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

from edge import durable
from edge.errors import JournalError, JournalTooNew

APPLICATION_ID = 0x57424345  # "WBCE"

_VERSION_1 = """
CREATE TABLE samples (
    sample INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    started_s REAL NOT NULL,
    finished_s REAL,
    verdict TEXT,
    reason TEXT,
    probabilities TEXT,
    frames INTEGER,
    indeterminate INTEGER
) STRICT;

-- A number that SQLite cannot hold (not a number) becomes NULL: better a frame without its focus than no frame.
CREATE TABLE frames (
    record INTEGER PRIMARY KEY AUTOINCREMENT,
    sample INTEGER NOT NULL REFERENCES samples,
    frame TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL,
    um_per_px REAL,
    wall_time_s REAL,
    monotonic_s REAL,
    boot_id TEXT NOT NULL,
    software TEXT NOT NULL,
    exposure_us REAL,
    analogue_gain REAL,
    red_gain REAL,
    blue_gain REAL,
    usable INTEGER NOT NULL,
    quality_reasons TEXT NOT NULL,
    focus REAL,
    brightness REAL,
    saturation REAL,
    foreground REAL,
    field REAL,
    contrast REAL,
    crushed REAL,
    model TEXT,
    verdict TEXT,
    reason TEXT,
    probability REAL,
    probabilities TEXT NOT NULL,
    warnings TEXT NOT NULL,
    tiles_total INTEGER NOT NULL,
    tiles_used INTEGER NOT NULL,
    nuclei INTEGER,
    nuclear_area_um2 REAL,
    nucleus_to_cytoplasm REAL,
    cytoplasm_fraction REAL,
    novelty REAL,
    ms TEXT NOT NULL
) STRICT;

CREATE INDEX frames_by_sample ON frames (sample);

CREATE TABLE tiles (
    record INTEGER NOT NULL REFERENCES frames,
    tile INTEGER NOT NULL,
    x_px INTEGER NOT NULL,
    y_px INTEGER NOT NULL,
    size_px INTEGER NOT NULL,
    label TEXT NOT NULL,
    probabilities TEXT NOT NULL,
    PRIMARY KEY (record, tile)
) STRICT, WITHOUT ROWID;

CREATE TABLE pictures (
    record INTEGER NOT NULL REFERENCES frames,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    PRIMARY KEY (record, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    event INTEGER PRIMARY KEY AUTOINCREMENT,
    sample INTEGER REFERENCES samples,
    frame TEXT,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL,
    wall_time_s REAL NOT NULL,
    monotonic_s REAL NOT NULL,
    boot_id TEXT NOT NULL,
    software TEXT NOT NULL
) STRICT;
"""

_VERSION_2 = """
ALTER TABLE events ADD COLUMN who TEXT;
ALTER TABLE events ADD COLUMN digest TEXT;

CREATE TABLE reviews (
    record INTEGER PRIMARY KEY REFERENCES frames,
    label TEXT NOT NULL,
    note TEXT NOT NULL,
    who TEXT NOT NULL,
    wall_time_s REAL NOT NULL
) STRICT;
"""

_VERSION_3 = """
ALTER TABLE tiles RENAME COLUMN size_px TO width_px;
ALTER TABLE tiles ADD COLUMN height_px INTEGER NOT NULL DEFAULT 0;
UPDATE tiles SET height_px = width_px;
"""

_VERSION_4 = """
-- Pictures that are forgotten, until their files are removed.
CREATE TABLE removals (
    record INTEGER NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (record, kind)
) STRICT, WITHOUT ROWID;
"""

_VERSION_5 = """
ALTER TABLE frames ADD COLUMN digest TEXT;

-- The last frame of an event's time; of one that throws frames away, the first and the last of those.
ALTER TABLE events ADD COLUMN first_record INTEGER;
ALTER TABLE events ADD COLUMN last_record INTEGER;
ALTER TABLE events ADD COLUMN frames_digest TEXT;

CREATE INDEX events_by_last_record ON events (last_record);
"""

_VERSION_6 = """
ALTER TABLE frames ADD COLUMN stain REAL;
"""

_VERSION_7 = """
-- What a model has seen of a sample, added up as its frames are logged.
CREATE TABLE tallies (
    sample INTEGER NOT NULL REFERENCES samples,
    model TEXT NOT NULL,
    frames INTEGER NOT NULL,
    indeterminate INTEGER NOT NULL,
    tiles INTEGER NOT NULL,
    cells TEXT NOT NULL,
    PRIMARY KEY (sample, model)
) STRICT, WITHOUT ROWID;

-- One class after the other: grouping millions of tiles by class would sort them all.
CREATE VIEW evidence AS
SELECT sample, model, tiles.probabilities FROM frames JOIN tiles USING (record) WHERE usable AND novelty <= 1;

INSERT INTO tallies
SELECT sample, model, count(*), sum(verdict IS 'indeterminate'),
    (SELECT count(*) FROM evidence AS own WHERE own.sample = judged.sample AND own.model = judged.model),
    (SELECT json_group_array((
        SELECT CASE WHEN count(share) = count(*) THEN sum(share) END FROM (
            SELECT json_extract(probabilities, '$[' || class.key || ']') AS share
            FROM evidence AS own WHERE own.sample = judged.sample AND own.model = judged.model
        )
    )) FROM json_each((
        SELECT probabilities FROM evidence AS own WHERE own.sample = judged.sample AND own.model = judged.model LIMIT 1
    )) AS class)
FROM frames AS judged WHERE model IS NOT NULL GROUP BY sample, model;

DROP VIEW evidence;
"""

MIGRATIONS: tuple[str, ...] = (
    *(_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6),
    _VERSION_7,
)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock; commit at the end, or take everything back when anything at all is raised, Ctrl-C included.

    Parameters
    ----------
    connection : sqlite3.Connection
        In autocommit mode (``isolation_level=None``).
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Read all inside the block as of one moment, while others write.

    Parameters
    ----------
    connection : sqlite3.Connection
        In autocommit mode.
    """
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a journal; 0 is one without tables yet.

    Parameters
    ----------
    connection : sqlite3.Connection
        The journal.
    path : Path
        Its file, for the message.

    Raises
    ------
    JournalError
        When the tables are another program's.
    JournalTooNew
        When a later version of wbc-edge wrote it.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise JournalError(
            f"journal {path}", "this is the database of another program, left untouched", "Name another file."
        )
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > len(MIGRATIONS):
        raise JournalTooNew(
            f"journal {path}",
            f"it is of version {found}, this wbc-edge knows up to {len(MIGRATIONS)}",
            "Update wbc-edge, or name another journal.",
        )
    return found


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a journal to the newest version in one transaction, after a copy of an older one is kept beside it.

    Parameters
    ----------
    connection : sqlite3.Connection
        The journal, in autocommit mode.
    path : Path
        Its file.

    Raises
    ------
    JournalError
        When another program, or a later version of wbc-edge (``JournalTooNew``), wrote it.
    sqlite3.Error
        When it cannot be written: the journal is then as it was.
    """
    copy = None
    try:
        with transaction(connection):
            found = version(connection, path)
            if 0 < found < len(MIGRATIONS):
                copy = _keep_copy(path, found)
            upgrade(connection, found)
    except BaseException:
        # The journal is as it was, and a service that tries again every minute would fill the disk with copies of it.
        if copy is not None:
            copy.unlink(missing_ok=True)
        raise


def upgrade(connection: sqlite3.Connection, found: int) -> None:
    """Run the scripts that a journal lacks.

    Parameters
    ----------
    connection : sqlite3.Connection
        The journal; the caller holds its transaction.
    found : int
        Version that it has.
    """
    if found == len(MIGRATIONS):
        return
    for script in MIGRATIONS[found:]:
        for statement in _statements(script):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _statements(script: str) -> Iterator[str]:
    # ``executescript`` would commit the transaction that must hold all of the migration.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _keep_copy(path: Path, found: int) -> Path:
    names = (path.with_name(f"{path.name}.v{found}-{number}") for number in count(1))
    copy = next(name for name in names if not os.path.lexists(name))
    durable.make_file(copy)
    # A connection of its own: SQLite copies from no connection that holds the write lock.
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        try:
            source.backup(target)
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
    return copy
