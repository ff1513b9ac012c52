"""The audit trail: whatever is changed in it later shows."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.journal import Journal, audit, schema

OF_AN_OLDER_VERSION = (
    "INSERT INTO events (kind, detail, wall_time_s, monotonic_s, boot_id, software) VALUES ('a', 'b', 1, 2, 'c', '0')"
)


@pytest.fixture
def trail(path: Path) -> Path:
    """Log five events."""
    with Journal.open(path) as journal:
        sample = journal.sample("S1")
        for number in range(4):
            journal.event("note", f"what happened {number}", sample_id=sample)
        journal.record_failure(sample, "torn.png", ValueError("truncated"))
    return path


def tamper(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute(statement)


def found(path: Path, expected: str | None = None) -> audit.Audit:
    with Journal.open_read_only(path) as journal:
        return journal.audit(expected)


def test_a_trail_as_it_was_logged_is_whole(trail: Path) -> None:
    whole = found(trail)
    assert (whole.events, whole.unchained, whole.problems) == (5, 0, ())
    with Journal.open(trail) as journal:
        assert journal.events()[-1].digest == whole.head
        assert journal.events()[0].who == audit.who()
        journal.event("note", "one more")
    assert found(trail).events == 6
    assert found(trail, whole.head).problems == ()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE events SET detail = 'nothing happened' WHERE event = 2", "event 2 is not as it was logged"),
        ("UPDATE events SET wall_time_s = wall_time_s - 1 WHERE event = 3", "event 3 is not as it was logged"),
        ("UPDATE events SET who = 'somebody else' WHERE event = 5", "event 5 is not as it was logged"),
        ("DELETE FROM events WHERE event = 1", "event 1 is missing"),
        ("DELETE FROM events WHERE event IN (2, 3)", "events 2 to 3 are missing"),
        ("DELETE FROM events WHERE event > 3", "events 4 to 5 are missing at the end"),
        ("DELETE FROM events", "events 1 to 5 are missing at the end"),
        ("UPDATE events SET digest = NULL WHERE event = 3", "event 3 lost its digest"),
        ("UPDATE events SET event = 9 WHERE event = 5", "events 5 to 8 are missing"),
    ],
)
def test_what_was_changed_shows(trail: Path, statement: str, problem: str) -> None:
    tamper(trail, statement)
    assert any(problem in line for line in found(trail).problems), found(trail).problems


def test_a_trail_written_anew_is_found_out_by_who_kept_a_digest(trail: Path) -> None:
    head = found(trail).head
    tamper(trail, "DELETE FROM events WHERE event = 5")
    tamper(trail, "UPDATE sqlite_sequence SET seq = 4 WHERE name = 'events'")
    assert found(trail).problems == ()
    assert found(trail, head[:10]).problems == (f"no event has the digest {head[:10]}",)


def test_events_of_before_the_trail_stay_and_the_trail_begins_after_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
    with Journal.open(path) as journal:
        journal.sample("S1")
    tamper(path, OF_AN_OLDER_VERSION)
    monkeypatch.undo()
    with Journal.open(path) as journal:
        journal.event("note", "after the update")
        assert [event.kind for event in journal.events()] == ["a", "note"]
    whole = found(path)
    assert (whole.events, whole.unchained, whole.problems) == (1, 1, ())


@given(st.dictionaries(st.sampled_from(audit.CHAINED + audit.ANCHOR), st.none() | st.integers() | st.text(max_size=3)))
def test_every_column_counts_in_the_digest(changes: dict[str, str | int | None]) -> None:
    event: dict[str, str | int | float | None] = dict.fromkeys(audit.CHAINED + audit.ANCHOR, "as it was")
    changed = {**event, **changes}
    assert (audit.digest("", changed) == audit.digest("", event)) == (changed == event)
    assert audit.digest("", event) != audit.digest("another", event)


@pytest.mark.skipif(os.geteuid() != 0, reason="sudo makes a user root")
def test_who_called_by_sudo_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    name = audit.who()
    monkeypatch.setenv("SUDO_USER", "ada")
    assert audit.who() == f"{name} for ada"
    monkeypatch.setenv("SUDO_USER", name)
    assert audit.who() == name
