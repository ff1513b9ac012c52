"""A journal of an earlier version becomes one of this version, keeps its rows, and is kept as it was."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from edge.errors import JournalError, JournalTooNew
from edge.journal import Journal, schema, tallies
from edge.journal.records import frame_row
from edge.result import FrameResult
from edge.verdict import Evidence, Tally

ADD_OPERATOR = """
ALTER TABLE frames ADD COLUMN operator TEXT;
CREATE TABLE notes (note INTEGER PRIMARY KEY, said TEXT) STRICT;
CREATE TRIGGER noted AFTER INSERT ON notes BEGIN
    UPDATE frames SET operator = 'somebody' WHERE operator IS NULL;
END;
INSERT INTO notes (said) VALUES ('a semicolon; in a text');
"""
FAILS_HALFWAY = "CREATE TABLE more (number INTEGER) STRICT;\nINSERT INTO nothing_there VALUES (1);\n"


TODAY = len(schema.MIGRATIONS)


@pytest.fixture
def todays(path: Path, result: FrameResult) -> Path:
    with Journal.open(path) as journal:
        journal.record(journal.sample("S1"), result)
    return path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as plain:
        return int(plain.execute("PRAGMA user_version").fetchone()[0])


def test_rows_are_kept_and_so_is_the_file_as_it_was(
    todays: Path, result: FrameResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ADD_OPERATOR, "CREATE TABLE third (x) ;\n"))
    with Journal.open(todays) as journal:
        assert [record.result for record in journal.frames()] == [result]
        assert journal.record(journal.sample("S1"), result) == 2
        assert journal.check() == []
    copy = todays.with_name(f"journal.sqlite3.v{TODAY}-1")
    assert (version_of(todays), version_of(copy)) == (TODAY + 2, TODAY)
    with closing(sqlite3.connect(todays)) as plain:
        assert plain.execute("SELECT operator FROM frames").fetchall() == [("somebody",), (None,)]
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:TODAY])
    with Journal.open(copy) as journal:
        assert [record.result for record in journal.frames()] == [result]
    with pytest.raises(JournalTooNew):
        Journal.open(todays)


def test_a_migration_that_fails_leaves_the_journal_as_it_was(
    todays: Path, result: FrameResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ADD_OPERATOR, FAILS_HALFWAY))
        with pytest.raises(JournalError):
            Journal.open(todays)
    assert [file.name for file in todays.parent.iterdir()] == [todays.name]  # nor a copy for each time that it is tried
    assert version_of(todays) == TODAY
    with Journal.open(todays) as journal:
        assert [record.result for record in journal.frames()] == [result]


def test_a_copy_never_replaces_an_earlier_one(todays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = todays.with_name(f"journal.sqlite3.v{TODAY}-1")
    earlier.write_text("the copy of another day", encoding="utf-8")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ADD_OPERATOR))
    Journal.open(todays).close()
    assert earlier.read_text(encoding="utf-8") == "the copy of another day"
    assert version_of(todays.with_name(f"journal.sqlite3.v{TODAY}-2")) == TODAY


def test_reading_an_earlier_version_changes_nothing(
    todays: Path, result: FrameResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = todays.read_bytes()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ADD_OPERATOR))
    with Journal.open_read_only(todays) as journal:
        assert [record.result for record in journal.frames()] == [result]
        with pytest.raises(JournalError):
            journal.sample("S2")
    assert todays.read_bytes() == before


def test_a_new_journal_needs_no_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ADD_OPERATOR))
    Journal.open(path).close()
    Journal.open(path).close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert version_of(path) == len(schema.MIGRATIONS)


def test_a_journal_of_the_first_version_is_read_and_written_on(
    path: Path, result: FrameResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of those days: every tile is a square.
    tiles = tuple(structs.replace(tile, height_px=tile.width_px) for tile in result.tiles)
    result = replace(result, tiles=tiles)
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        with Journal.open(path) as journal, journal.transaction() as connection:
            connection.execute("INSERT INTO samples (name, started_s) VALUES ('S1', 1.8e9)")
            row = {"record": 1, "sample": 1, "boot_id": "b", "software": "0.0.1", **frame_row(result)}
            del row["stain"]
            columns, places = ", ".join(row), ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO frames ({columns}) VALUES ({places})", tuple(row.values()))
            for number, tile in enumerate(tiles):
                values = (1, number, tile.x_px, tile.y_px, tile.width_px, tile.label, json.dumps(tile.probabilities))
                connection.execute("INSERT INTO tiles VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    with Journal.open_read_only(path) as journal:
        kept = journal.frame(1).result
    assert math.isnan(kept.quality.stain)
    assert replace(kept, quality=replace(kept.quality, stain=result.quality.stain)) == result
    assert version_of(path) == 1
    with Journal.open(path) as journal:
        journal.review(1, "ALL")
        assert journal.frame(1).result.tiles == result.tiles
        assert journal.check() == []
    assert version_of(path) == TODAY


def test_what_was_seen_of_a_sample_before_it_was_added_up_as_it_came_is_added_up(
    path: Path, result: FrameResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlike = replace(result, verdict="indeterminate", novelty=1.5)
    blank = replace(result, tiles=(), quality=replace(result.quality, usable=False), verdict="indeterminate")
    overflown = replace(result, tiles=(structs.replace(result.tiles[0], probabilities=(math.nan, 0.5, 0.5)),))
    others = (replace(result, model="other@0123456789ab"), replace(result, model=None))
    logged = {"S1": (result, result, unlike, blank, *others), "S2": (blank,), "S3": (overflown,)}
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:6])
        earlier.setattr(tallies, "add", lambda *_: None)
        with Journal.open(path) as journal:
            numbers = [journal.sample(name) for name in logged]
            for sample, frames in zip(numbers, logged.values(), strict=True):
                for frame in frames:
                    journal.record(sample, frame)
    with Journal.open(path) as journal:
        assert journal.audit().problems == ()
        seen = [journal.tally(sample, "wbc@0123456789ab", 3) for sample in numbers]
        assert (seen[0].frames, seen[0].indeterminate, seen[0].evidence.tiles) == (4, 2, 4)
        assert seen[0].evidence.cells == pytest.approx((2.3, 1.46, 0.24))
        assert seen[1] == Tally(Evidence((0.0, 0.0, 0.0), 0), 1, 1)
        assert math.isnan(seen[2].evidence.cells[0])
        assert journal.tally(1, "other@0123456789ab", 3).frames == 1
        journal.record(1, result)
        assert journal.tally(1, "wbc@0123456789ab", 3).evidence.cells == pytest.approx((3.45, 2.19, 0.36))
        assert journal.audit().problems == ()
