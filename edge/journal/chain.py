"""The chain of frames: each carries a digest of itself, its tiles and the frame before, so that a later change shows.

Every event of the audit trail (:mod:`edge.journal.audit`) names the last frame of its time and that frame's digest, and
so who keeps the digest of an event has the frames before it too. Frames that were thrown away are named by the event
that tells of it, with the digest of the last one, from which the chain goes on. Verdicts of samples and reviews are
rows that a later word replaces: each word is an event, and the row must say what the last one says.
"""

from __future__ import annotations

import hashlib
import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping

import msgspec

_COLUMNS = (
    *("sample", "frame", "sequence", "width_px", "height_px", "um_per_px", "wall_time_s", "monotonic_s", "boot_id"),
    *("software", "exposure_us", "analogue_gain", "red_gain", "blue_gain", "usable", "quality_reasons", "focus"),
    *("brightness", "saturation", "foreground", "field", "contrast", "crushed", "model", "verdict", "reason"),
    *("probability", "probabilities", "warnings", "tiles_total", "tiles_used", "nuclei", "nuclear_area_um2"),
    *("nucleus_to_cytoplasm", "cytoplasm_fraction", "novelty", "ms"),
)
"""What is digested of every frame, in this order."""

_LATER_COLUMNS = ("stain",)
"""What is digested too, with its name, where it is not null: frames of before it was logged keep their digests."""

_FRAME = (
    f"SELECT samples.name, record, {', '.join(f'frames.{column}' for column in (*_COLUMNS, *_LATER_COLUMNS))}"
    " FROM frames LEFT JOIN samples USING (sample) WHERE record = ?"
)
_TILES = """
SELECT tile, x_px, y_px, width_px, height_px, label, probabilities FROM tiles WHERE record = ? ORDER BY tile
"""
_ENCODER = msgspec.json.Encoder()


def seal(
    connection: sqlite3.Connection, record: int, row: Mapping[str, object], tiles: Iterable[tuple[object, ...]]
) -> None:
    """Chain a frame that was just inserted with its tiles to the one before, in the transaction that is open.

    Parameters
    ----------
    connection : sqlite3.Connection
        The journal.
    record : int
        Number of the frame's record.
    row : mapping
        What was inserted into ``frames``, by column.
    tiles : iterable of tuple
        What was inserted into ``tiles``.
    """
    name = connection.execute("SELECT name FROM samples WHERE sample = ?", (row["sample"],)).fetchone()["name"]
    frame = (name, record, *(_as_stored(row[column]) for column in (*_COLUMNS, *_LATER_COLUMNS)))
    made = _digest(_before(connection, record), frame, [tile[1:] for tile in tiles])
    connection.execute("UPDATE frames SET digest = ? WHERE record = ?", (made, record))


def head(connection: sqlite3.Connection) -> tuple[int | None, str | None]:
    """Give the number of the last frame there is and its digest; Nones without one, or of before the chain."""
    last = connection.execute("SELECT record, digest FROM frames ORDER BY record DESC LIMIT 1").fetchone()
    return (None, None) if last is None else (last["record"], last["digest"])


def digest_of(connection: sqlite3.Connection, record: int) -> str | None:
    """Give the digest that a frame carries; None when it was logged before the chain was begun."""
    row = connection.execute("SELECT digest FROM frames WHERE record = ?", (record,)).fetchone()
    return None if row is None else row["digest"]


def follow(connection: sqlite3.Connection) -> tuple[int, list[str]]:
    """Follow the chain of frames, and compare verdicts and reviews with what was logged last.

    Parameters
    ----------
    connection : sqlite3.Connection
        The journal; the caller holds a transaction, so that all is read as of one moment.

    Returns
    -------
    chained : int
        Number of frames that are chained.
    problems : list of str
        What is wrong, a line each.
    """
    heads = {
        row["last_record"]: row["frames_digest"]
        for row in connection.execute("SELECT * FROM events WHERE frames_digest IS NOT NULL ORDER BY event DESC")
    }
    chained, problems = _follow_frames(connection, heads)
    return chained, [*problems, *_replaced(connection)]


def verdict_said(verdict: str, reason: str | None, frames: int, indeterminate: int) -> str:
    """Say the verdict of a sample as its event does."""
    summary = verdict if reason is None else f"{verdict} ({reason})"
    return f"{summary}, {frames} frames, {indeterminate} indeterminate"


def review_said(record: int, label: str, note: str) -> str:
    """Say a review as its event does."""
    return f"record {record}: {label}" + (f", {note}" if note else "")


def _before(connection: sqlite3.Connection, record: int) -> str:
    """Give the digest of the frame before, from the event that threw it away if it is gone; empty for the first."""
    found = digest_of(connection, record - 1)
    if found is None:
        row = connection.execute(
            "SELECT frames_digest FROM events WHERE last_record = ? LIMIT 1", (record - 1,)
        ).fetchone()
        found = row and row["frames_digest"]
    return found or ""


def _as_stored(value: object) -> object:
    """Give a value as SQLite gives it back: a zero has no sign, and what is no number is null."""
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else value + 0.0


def _digest(before: str, frame: tuple[object, ...], tiles: list[tuple[object, ...]]) -> str:
    always = len(frame) - len(_LATER_COLUMNS)
    later = zip(_LATER_COLUMNS, frame[always:], strict=True)
    told = (*frame[:always], *(pair for pair in later if pair[1] is not None))
    return hashlib.sha256(_ENCODER.encode((before, told, tiles))).hexdigest()


def _digest_kept(connection: sqlite3.Connection, before: str, record: int) -> str:
    cursor = connection.cursor()
    cursor.row_factory = None  # plain tuples
    frame = cursor.execute(_FRAME, (record,)).fetchone()
    tiles = cursor.execute(_TILES, (record,)).fetchall()
    return _digest(before, frame, tiles)


def _follow_frames(connection: sqlite3.Connection, heads: dict[int, str]) -> tuple[int, list[str]]:
    problems: list[str] = []
    first = connection.execute("SELECT min(record) AS record FROM frames WHERE digest IS NOT NULL").fetchone()["record"]
    # What is missing before it was thrown away by a wbc-edge older than the chain.
    begun = min([*heads, *([] if first is None else [first])], default=None)
    if begun is None:
        return 0, problems
    thrown_away = connection.execute(
        "SELECT first_record, last_record FROM events WHERE first_record IS NOT NULL ORDER BY first_record"
    ).fetchall()
    gone = [(row["first_record"], row["last_record"]) for row in thrown_away]
    chained, last = 0, begun - 1
    for row in connection.execute("SELECT record, digest FROM frames ORDER BY record"):
        record, kept = row["record"], row["digest"]
        if record < begun:
            continue
        problems += [f"{_numbers(*missing)} missing" for missing in _without(last + 1, record - 1, gone)]
        last = record
        if kept is None:
            problems.append(f"record {record} lost its digest")
            continue
        chained += 1
        if kept != _digest_kept(connection, _before(connection, record), record):
            problems.append(f"record {record} is not as it was logged, or what came before it is not")
        elif heads.get(record, kept) != kept:
            problems.append(f"record {record} is not the one that the events tell of")
    counted = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'frames'").fetchone()
    given_out = max([*heads, counted["seq"] if counted else 0])
    problems += [f"{_numbers(*missing)} missing at the end" for missing in _without(last + 1, given_out, gone)]
    return chained, problems


def _without(first: int, last: int, gone: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of the numbers from first to last that are in none of the stretches, which are in order."""
    for begin, end in gone:
        if first > last:
            return
        if begin > first:
            yield first, min(begin - 1, last)
        first = max(first, end + 1)
    if first <= last:
        yield first, last


def _replaced(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield where a verdict or a review is not the one that was logged last."""
    told = {
        row["sample"]: row
        for row in connection.execute("SELECT sample, detail, digest FROM events WHERE kind = 'verdict' ORDER BY event")
    }
    for row in connection.execute("SELECT * FROM samples ORDER BY sample"):
        event = told.get(row["sample"])
        if event is not None and event["digest"] is None:
            continue  # of before the chain: it proves nothing
        shown = None
        if row["verdict"] is not None:
            shown = verdict_said(row["verdict"], row["reason"], row["frames"], row["indeterminate"])
        if shown != (event and event["detail"]):
            yield f"the verdict of sample {row['name']} is not as it was logged"
    words = {}
    for row in connection.execute("SELECT detail, who FROM events WHERE kind = 'review' ORDER BY event"):
        if found := re.match(r"record (\d+): ", row["detail"]):
            words[int(found[1])] = (row["detail"], row["who"])
    for row in connection.execute(
        "SELECT record, reviews.* FROM frames LEFT JOIN reviews USING (record) ORDER BY record"
    ):
        said = None if row["label"] is None else (review_said(row["record"], row["label"], row["note"]), row["who"])
        if words.get(row["record"]) != said:
            yield f"the review of record {row['record']} is not as it was logged"


def _numbers(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"
