"""The chain of frames: whatever is changed in a frame, a tile, a verdict or a review later shows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from math import inf, nan
from pathlib import Path

import pytest

from edge.journal import Journal, chain, schema, store, tallies
from edge.journal.records import frame_row
from edge.journal.retention import Policy, prune
from edge.result import FrameResult, SampleResult

NOW_S = 1_900_000_000.0
DAY_S = 86_400.0


@pytest.fixture
def logged(path: Path, result: FrameResult) -> Path:
    """Log six frames, one a day, of two samples with their verdicts, and a review."""
    with Journal.open(path) as journal:
        for name, days in (("S1", (5, 4, 3)), ("S2", (2, 1, 0))):
            sample = journal.sample(name)
            for day in days:
                journal.record(sample, replace(result, wall_time_s=NOW_S - day * DAY_S))
            journal.finish_sample(sample, partial(SampleResult, name, "MM", None, {"MM": 0.9}, 3, 0))
        journal.review(5, "ALL", "sure")
    return path


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as plain, plain:
        for statement in statements:
            plain.execute(statement)


def problems(path: Path) -> tuple[str, ...]:
    with Journal.open_read_only(path) as journal:
        return journal.audit().problems


def test_frames_as_they_were_logged_are_whole(logged: Path, result: FrameResult) -> None:
    with Journal.open(logged) as journal:
        odd = replace(result, frame="\udcff", um_per_px=-0.0, novelty=inf, tiles=(), probabilities={"ALL": nan})
        journal.record(journal.sample("S3"), odd)
        for stain in (nan, inf, -0.0):
            journal.record(journal.sample("S3"), replace(odd, quality=replace(odd.quality, stain=stain, focus=nan)))
        assert (journal.audit().frames, journal.audit().problems) == (10, ())


@pytest.mark.parametrize("novelty", [1.5, nan])
def test_a_sample_of_which_nothing_is_evidence_is_whole(path: Path, result: FrameResult, novelty: float) -> None:
    with Journal.open(path) as journal:
        journal.record(journal.sample("S1"), replace(result, verdict="indeterminate", novelty=novelty))
    assert problems(path) == ()
    tamper(path, "UPDATE tallies SET cells = '[9.0,0.0,0.0]'")
    assert problems(path) == ("the tally of sample S1 is not the sum of its frames",)


def test_frames_that_are_logged_while_it_is_followed_break_nothing(logged: Path, result: FrameResult) -> None:
    with Journal.open(logged) as other, Journal.open_read_only(logged) as journal:

        def log(statement: str) -> None:
            other.record(2, result)

        with journal.maintenance() as connection:
            connection.set_trace_callback(log)
        found = journal.audit()
    assert found.problems == ()
    with Journal.open_read_only(logged) as journal:
        assert journal.audit().frames > found.frames


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE frames SET verdict = 'normal' WHERE record = 2", "record 2 is not as it was logged"),
        ("UPDATE frames SET sample = 2 WHERE record = 3", "record 3 is not as it was logged"),
        ("UPDATE frames SET focus = NULL WHERE record = 6", "record 6 is not as it was logged"),
        ("UPDATE tiles SET label = 'normal' WHERE record = 4 AND tile = 1", "record 4 is not as it was logged"),
        ("DELETE FROM tiles WHERE record = 1 AND tile = 0", "record 1 is not as it was logged"),
        ("UPDATE samples SET name = 'another' WHERE sample = 1", "record 1 is not as it was logged"),
        ("UPDATE frames SET digest = NULL WHERE record <= 3", "record 3 lost its digest"),
        ("UPDATE frames SET digest = NULL", "record 6 lost its digest"),
        ("DELETE FROM frames WHERE record = 1", "record 2 is not as it was logged, or what came before it is not"),
        ("DELETE FROM frames WHERE record IN (3, 4)", "records 3 to 4 are missing"),
        ("DELETE FROM frames WHERE record > 4", "records 5 to 6 are missing at the end"),
        ("DELETE FROM frames", "records 3 to 6 are missing at the end"),
        ("UPDATE samples SET verdict = 'normal' WHERE sample = 1", "the verdict of sample S1 is not as it was logged"),
        ("UPDATE samples SET verdict = NULL WHERE sample = 2", "the verdict of sample S2 is not as it was logged"),
        ("UPDATE reviews SET label = 'normal'", "the review of record 5 is not as it was logged"),
        ("DELETE FROM reviews", "the review of record 5 is not as it was logged"),
        ("INSERT INTO reviews VALUES (2, 'MM', '', 'ada', 1.9e9)", "the review of record 2 is not as it was logged"),
        (
            "UPDATE tallies SET cells = '[9,0,0]' WHERE sample = 1",
            "the tally of sample S1 is not the sum of its frames",
        ),
        ("UPDATE tallies SET frames = 4 WHERE sample = 2", "the tally of sample S2 is not the sum of its frames"),
        ("UPDATE tallies SET cells = 'none' WHERE sample = 2", "the tally of sample S2 is not the sum of its frames"),
        ("DELETE FROM tallies WHERE sample = 2", "the tally of sample S2 is not the sum of its frames"),
    ],
)
def test_what_was_changed_shows(logged: Path, statement: str, problem: str) -> None:
    tamper(logged, "UPDATE sqlite_sequence SET seq = 0 WHERE name = 'frames'", statement)
    assert any(problem in line for line in problems(logged)), problems(logged)


def test_a_verdict_of_a_sample_that_never_had_one_shows(path: Path, result: FrameResult) -> None:
    with Journal.open(path) as journal:
        journal.record(journal.sample("S1"), replace(result, model=None, verdict=None))
        journal.sample("S2")
    assert problems(path) == ()
    tamper(path, "UPDATE samples SET verdict = 'normal', probabilities = '{}', frames = 1, indeterminate = 0")
    assert problems(path) == tuple(f"the verdict of sample {name} is not as it was logged" for name in ("S1", "S2"))


def test_a_verdict_of_before_the_chain_is_no_problem_and_the_next_one_is_held_to(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        with Journal.open(path) as journal, journal.transaction() as connection:
            connection.execute(
                "INSERT INTO samples (name, started_s, verdict, probabilities, frames, indeterminate)"
                " VALUES ('S1', 1.8e9, 'MM', '{}', 3, 0)"
            )
            connection.execute(
                "INSERT INTO events (sample, kind, detail, wall_time_s, monotonic_s, boot_id, software)"
                " VALUES (1, 'verdict', 'MM, 3 frames, 0 indeterminate', 1.8e9, 1.0, 'b', '0.0.1')"
            )
    with Journal.open(path) as journal:
        assert journal.audit().problems == ()
        journal.finish_sample(1, lambda: SampleResult("S1", "ALL", None, {"ALL": 0.9}, 4, 0))
        assert journal.audit().problems == ()
    tamper(path, "UPDATE samples SET verdict = 'MM'")
    assert problems(path) == ("the verdict of sample S1 is not as it was logged",)


def test_frames_logged_anew_are_not_those_that_the_events_tell_of(logged: Path, result: FrameResult) -> None:
    tamper(
        logged,
        "DELETE FROM reviews",
        "DELETE FROM tiles WHERE record > 4",
        "DELETE FROM frames WHERE record > 4",
        "UPDATE sqlite_sequence SET seq = 4 WHERE name = 'frames'",
    )
    with Journal.open(logged) as journal:
        for _ in range(2):
            journal.record(journal.sample("S2"), replace(result, verdict="normal"))
    assert "record 6 is not the one that the events tell of" in problems(logged)


def test_frames_thrown_away_leave_the_chain_whole_and_no_others_can_go(logged: Path, result: FrameResult) -> None:
    with Journal.open(logged) as journal:
        journal.record(journal.sample("S1"), replace(result, wall_time_s=3600.0))  # an unset clock: it does not age
        assert prune(journal, Policy(frame_days=2.5), now_s=NOW_S).frames == 3
        assert journal.audit().problems == ()
        assert prune(journal, Policy(frame_days=2.5), now_s=NOW_S + 30 * DAY_S).frames == 3
        assert (journal.audit().frames, journal.audit().problems) == (1, ())
        journal.record(journal.sample("S1"), replace(result, wall_time_s=NOW_S))
        assert prune(journal, Policy(frame_days=2.5), now_s=NOW_S + 30 * DAY_S).frames == 1
        journal.record(journal.sample("S1"), result)
        assert (journal.audit().frames, journal.audit().problems) == (2, ())
    tamper(logged, "DELETE FROM tiles WHERE record = 7", "DELETE FROM frames WHERE record = 7")
    assert problems(logged) == ("record 7 is missing",)


def test_frames_of_before_the_chain_stay_and_it_begins_after_them(
    path: Path, result: FrameResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:4])
        with Journal.open(path) as journal, journal.transaction() as connection:
            connection.execute("INSERT INTO samples (name, started_s) VALUES ('S1', 1.8e9)")
            for record in (2, 3, 7):
                row = {"record": record, "sample": 1, "boot_id": "b", "software": "0", **frame_row(result)}
                del row["stain"]
                columns, places = ", ".join(row), ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO frames ({columns}) VALUES ({places})", tuple(row.values()))
    with Journal.open(path) as journal:
        journal.event("note", "after the update")
        for _ in range(2):
            journal.record(journal.sample("S1"), result)
        assert (journal.audit().frames, journal.audit().problems) == (2, ())
        prune(journal, Policy(frame_days=1), now_s=result.wall_time_s + 30 * DAY_S)
        assert (journal.audit().frames, journal.audit().problems) == (0, ())
        journal.record(journal.sample("S1"), result)
        assert (journal.audit().frames, journal.audit().problems) == (1, ())


def test_frames_of_before_a_figure_was_logged_keep_their_digests(
    path: Path, result: FrameResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row_of_before(result: FrameResult) -> dict[str, str | int | float | None]:
        return {column: value for column, value in frame_row(result).items() if column != "stain"}

    with monkeypatch.context() as earlier:
        earlier.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:5])
        earlier.setattr(chain, "_LATER_COLUMNS", ())
        earlier.setattr(store, "frame_row", row_of_before)
        earlier.setattr(tallies, "add", lambda *_: None)
        with Journal.open(path) as journal:
            for _ in range(2):
                journal.record(journal.sample("S1"), result)
    with Journal.open(path) as journal:
        journal.record(journal.sample("S1"), result)
        assert (journal.audit().frames, journal.audit().problems) == (3, ())
    tamper(path, "UPDATE frames SET stain = 0.5 WHERE record = 1", "UPDATE frames SET stain = NULL WHERE record = 3")
    assert [problem.split(" is ")[0] for problem in problems(path)] == ["record 1", "record 3"]
