"""Whether every page and every row of a journal is sound."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge.errors import JournalCorrupt
from edge.journal.faults import reported


def problems(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Read the whole file and say what is wrong with it.

    Parameters
    ----------
    connection : sqlite3.Connection
        The journal.
    path : Path
        Its file.

    Returns
    -------
    list of str
        A line each; empty when it is sound.
    """
    try:
        with reported(path):
            integrity = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
            orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    except JournalCorrupt as error:
        return [str(error)]
    lines = [line for line in integrity if line != "ok"]
    return lines + [f"row {row[1]} of {row[0]} belongs to no row of {row[2]}" for row in orphans]
