"""Reading the journal: its frames in order, what narrows them, its samples and events."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from edge.errors import ImageError
from edge.journal import Journal, SampleRecord, default_path
from edge.result import FrameResult, SampleResult


@pytest.fixture
def filled(journal: Journal, result: FrameResult) -> Journal:
    """Return a journal with four frames each of two samples in turn, every third MM."""
    samples = [journal.sample("blood"), journal.sample("marrow")]
    for sequence in range(8):
        verdict = "ALL" if sequence % 3 else "MM"
        journal.record(samples[sequence % 2], replace(result, sequence=sequence, verdict=verdict))
    return journal


@pytest.mark.parametrize(
    ("narrowed", "sequences"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"sample": "marrow"}, [1, 3, 5, 7]),
        ({"verdict": "MM"}, [0, 3, 6]),
        ({"sample": "blood", "verdict": "MM"}, [0, 6]),
        ({"limit": 3}, [5, 6, 7]),
        ({"limit": 2, "verdict": "MM"}, [3, 6]),
        ({"limit": 0}, []),
        ({"limit": 100}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"after": 5}, [5, 6, 7]),
        ({"after": 8}, []),
        ({"sample": "nobody's"}, []),
        ({"sample": "' OR 1 --"}, []),
    ],
)
def test_frames_come_in_the_order_in_which_they_were_logged(
    filled: Journal, narrowed: Any, sequences: list[int]
) -> None:
    assert [record.result.sequence for record in filled.frames(**narrowed)] == sequences


def test_every_frame_of_many_pages_comes_once_with_its_own_tiles(journal: Journal, result: FrameResult) -> None:
    sample = journal.sample("S1")
    logged = {}
    for sequence in range(300):
        tiles = (structs.replace(result.tiles[0], x_px=sequence),) * (sequence % 3)
        one = replace(result, sequence=sequence, tiles=tiles)
        logged[journal.record(sample, one)] = one
    assert {record.record: record.result for record in journal.frames()} == logged


def test_record_numbers_order_frames_when_the_clock_goes_back(journal: Journal, result: FrameResult) -> None:
    sample = journal.sample("S1")
    for wall_time_s in (2e9, 1e9, 1.5e9):
        journal.record(sample, replace(result, wall_time_s=wall_time_s))
    records = list(journal.frames())
    assert [record.result.wall_time_s for record in records] == [2e9, 1e9, 1.5e9]
    assert [record.record for record in records] == sorted(record.record for record in records)


def test_a_sample_of_the_same_name_is_continued(journal: Journal, result: FrameResult) -> None:
    assert journal.sample("S1") == journal.sample("S1") != journal.sample("S2")
    journal.record(journal.sample("S1"), result)
    assert [(sample.name, sample.frames, sample.result) for sample in journal.samples()] == [
        ("S1", 1, None),
        ("S2", 0, None),
    ]


def test_a_finished_sample_has_its_verdict_and_earlier_verdicts_stay_in_the_events(journal: Journal) -> None:
    sample = journal.sample("S1")
    earlier = SampleResult("S1", "indeterminate", "too little to see", {}, 1, 1)
    later = SampleResult("S1", "MM", None, {"MM": 0.9, "ALL": 0.1}, 12, 3)
    journal.finish_sample(sample, lambda: earlier)
    journal.finish_sample(sample, lambda: later)
    (kept,) = journal.samples()
    assert isinstance(kept, SampleRecord)
    assert kept.result == later
    assert kept.finished_s is not None
    assert kept.finished_s >= kept.started_s
    assert [(event.kind, event.sample, event.detail) for event in journal.events()] == [
        ("verdict", "S1", "indeterminate (too little to see), 1 frames, 1 indeterminate"),
        ("verdict", "S1", "MM, 12 frames, 3 indeterminate"),
    ]


def test_events_say_what_happened_to_which_frame_of_which_sample(journal: Journal) -> None:
    sample = journal.sample("S1")
    journal.event("started", "wbc-edge capture")
    journal.record_failure(sample, "b.bmp", ImageError("b.bmp", "it is cut short"))
    journal.event("camera reopened", sample_id=sample)
    happened = [(event.kind, event.sample, event.frame, event.detail) for event in journal.events()]
    assert happened == [
        ("started", None, None, "wbc-edge capture"),
        ("failure", "S1", "b.bmp", "ImageError: b.bmp: it is cut short"),
        ("camera reopened", "S1", None, ""),
    ]
    assert [event.kind for event in journal.events(sample="S1")] == ["failure", "camera reopened"]
    assert [event.kind for event in journal.events(limit=1)] == ["camera reopened"]


def test_pictures_are_found_after_the_folder_was_moved(tmp_path: Path, result: FrameResult) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with Journal.open(here / "journal.sqlite3") as journal:
        record = journal.record(journal.sample("S1"), result)
        journal.attach_picture(record, "overlay", here / "pictures" / "old.jpg")
        journal.attach_picture(record, "overlay", here / "pictures" / "000001-overlay.jpg")
        journal.attach_picture(record, "frame", tmp_path / "elsewhere" / "000001-frame.png")
    here.rename(there)
    with Journal.open_read_only(there / "journal.sqlite3") as journal:
        assert journal.frame(record).pictures == {
            "overlay": there / "pictures" / "000001-overlay.jpg",
            "frame": tmp_path / "elsewhere" / "000001-frame.png",
        }


def test_the_usual_place_is_the_users_state_folder_unless_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WBC_EDGE_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert default_path() == tmp_path / ".local" / "state" / "wbc-edge" / "journal.sqlite3"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert default_path() == tmp_path / "state" / "wbc-edge" / "journal.sqlite3"
    monkeypatch.setenv("WBC_EDGE_STATE", str(tmp_path / "lab"))
    assert default_path() == tmp_path / "lab" / "journal.sqlite3"
