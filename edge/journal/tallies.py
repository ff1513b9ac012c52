"""What a model has seen of a sample, added up as frames are logged: a sample may be open for months.

Adding up its tiles anew would take minutes, in which a service is dead to its watchdog. Frames that are thrown away
later stay counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from math import isclose, isnan, nan

import msgspec

from edge.journal.records import read_tally, tally_row, text
from edge.result import FrameResult
from edge.verdict import Evidence, Tally

_TALLY = "SELECT * FROM tallies WHERE sample = ? AND model = ?"

_JUDGED = """
SELECT sample, name, model FROM (SELECT sample, model FROM tallies UNION SELECT sample, model FROM frames)
JOIN samples USING (sample) WHERE model IS NOT NULL ORDER BY sample, model
"""
_FRAMES = """
SELECT count(*) AS frames, ifnull(sum(verdict IS 'indeterminate'), 0) AS indeterminate
FROM frames WHERE sample = ? AND model = ?
"""
_CELLS = """
SELECT count(*) AS tiles, CASE WHEN count(each.value) = count(*) THEN sum(each.value) END AS cells
FROM frames JOIN tiles USING (record), json_each(tiles.probabilities) AS each
WHERE sample = ? AND model = ? AND usable AND novelty <= 1 GROUP BY each.key ORDER BY each.key
"""

_ROUNDED = 1e-6
"""By how much of itself a sum may depend on the order in which it was made; a tile of millions is as much."""


def add(connection: sqlite3.Connection, sample_id: int, result: FrameResult) -> None:
    """Count a frame that is logged in the transaction that is open; one that no model judged is not counted.

    Parameters
    ----------
    connection : sqlite3.Connection
        The journal.
    sample_id : int
        Number of the frame's sample.
    result : FrameResult
        What is logged.

    Raises
    ------
    msgspec.DecodeError
        When the tally does not hold what was once written.
    """
    if result.model is None:
        return
    classes = len(result.tiles[0].probabilities) if result.tiles else 0
    seen = read(connection, sample_id, result.model, classes).plus(result)
    row = (sample_id, text(result.model), *tally_row(seen))
    connection.execute("INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?, ?, ?)", row)


def read(connection: sqlite3.Connection, sample_id: int, model: str, classes: int) -> Tally:
    """Return what a model has seen of a sample.

    Parameters
    ----------
    connection : sqlite3.Connection
        The journal.
    sample_id : int
        Number of the sample.
    model : str
        The model's identity.
    classes : int
        How many the model has.

    Raises
    ------
    msgspec.DecodeError
        When the tally does not hold what was once written.
    """
    row = connection.execute(_TALLY, (sample_id, text(model))).fetchone()
    return Tally(Evidence((0.0,) * classes, 0)) if row is None else read_tally(row, classes)


def problems(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield which tallies are not the sum of their frames; those of which frames were thrown away may be more.

    Parameters
    ----------
    connection : sqlite3.Connection
        The journal; the caller holds a transaction, so that all is read as of one moment.
    """
    pruned = connection.execute("SELECT 1 FROM events WHERE first_record IS NOT NULL LIMIT 1").fetchone() is not None
    for row in connection.execute(_JUDGED).fetchall():
        if not _is_sum(connection, row["sample"], row["model"], pruned):
            yield f"the tally of sample {row['name']} is not the sum of its frames"


def _is_sum(connection: sqlite3.Connection, sample_id: int, model: str, pruned: bool) -> bool:
    try:
        kept = read(connection, sample_id, model, classes=0)
    except (msgspec.DecodeError, TypeError):
        return False
    summed = _summed(connection, sample_id, model, len(kept.evidence.cells))
    return _agree(summed, kept) or (pruned and kept.frames > summed.frames)


def _summed(connection: sqlite3.Connection, sample_id: int, model: str, classes: int) -> Tally:
    """Add up the frames that are there; where none is evidence the cells are zeros, one a class."""
    counted = connection.execute(_FRAMES, (sample_id, model)).fetchone()
    rows = connection.execute(_CELLS, (sample_id, model)).fetchall()
    cells = tuple(nan if row["cells"] is None else float(row["cells"]) for row in rows) or (0.0,) * classes
    return Tally(Evidence(cells, rows[0]["tiles"] if rows else 0), counted["frames"], counted["indeterminate"])


def _agree(one: Tally, other: Tally) -> bool:
    return (
        (one.frames, one.indeterminate, one.evidence.tiles) == (other.frames, other.indeterminate, other.evidence.tiles)
        and len(one.evidence.cells) == len(other.evidence.cells)
        and all(
            isclose(a, b, rel_tol=_ROUNDED, abs_tol=_ROUNDED) or (isnan(a) and isnan(b))
            for a, b in zip(one.evidence.cells, other.evidence.cells, strict=True)
        )
    )
