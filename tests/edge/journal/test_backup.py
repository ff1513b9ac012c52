"""A backup is a whole journal, taken while others write, or it is not there."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from edge.errors import JournalError, OutputError
from edge.journal import Journal
from edge.result import FrameResult


def test_it_holds_all_that_was_logged_and_is_one_file(path: Path, result: FrameResult, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "backup.sqlite3"
    target.parent.mkdir()
    with Journal.open(path) as journal:
        sample = journal.sample("S1")
        journal.record(sample, result)
        assert journal.back_up(target) == target.stat().st_size
        journal.record(sample, result)
    assert list(target.parent.iterdir()) == [target]
    with Journal.open_read_only(target) as copy:
        assert [record.result for record in copy.frames()] == [result]
        assert copy.check() == []


def test_it_is_taken_while_another_writes(path: Path, result: FrameResult, tmp_path: Path) -> None:
    acknowledged: list[int] = []
    enough, stop = threading.Event(), threading.Event()

    def write() -> None:
        with Journal.open(path) as journal:
            sample = journal.sample("S1")
            while not stop.is_set():
                acknowledged.append(journal.record(sample, result))
                if len(acknowledged) > 5:
                    enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert enough.wait(30)
        with Journal.open_read_only(path) as journal:
            before = len(acknowledged)
            journal.back_up(tmp_path / "backup.sqlite3")
    finally:
        stop.set()
        writer.join()
    with Journal.open_read_only(tmp_path / "backup.sqlite3") as copy:
        assert len(list(copy.frames())) >= before
        assert copy.check() == []


def test_what_is_there_is_never_overwritten(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious.sqlite3"
    target.write_text("precious")
    with Journal.open(path) as journal, pytest.raises(OutputError, match="already"):
        journal.back_up(target)
    assert target.read_text() == "precious"


def test_a_folder_that_is_not_there_is_told_and_nothing_is_left(path: Path, tmp_path: Path) -> None:
    with Journal.open(path) as journal, pytest.raises(OutputError, match="cannot be written"):
        journal.back_up(tmp_path / "nowhere" / "backup.sqlite3")
    assert not (tmp_path / "nowhere").exists()


def test_a_full_disk_leaves_no_half_backup(path: Path, small_disk: Path) -> None:
    with Journal.open(path) as journal:
        sample = journal.sample("S1")
        for _ in range(20):
            journal.event("note", "x" * 50_000, sample_id=sample)
        with pytest.raises(OutputError, match=r"full|space"):
            journal.back_up(small_disk / "backup.sqlite3")
    assert list(small_disk.iterdir()) == []


def test_a_damaged_journal_gives_no_backup(path: Path, result: FrameResult, tmp_path: Path) -> None:
    with Journal.open(path) as journal:
        sample = journal.sample("S1")
        for _ in range(50):
            journal.record(sample, result)
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damaged = bytearray(path.read_bytes())
    for page in range(2, len(damaged) // 4096, 3):
        damaged[page * 4096 : page * 4096 + 512] = b"x" * 512
    path.write_bytes(damaged)
    with Journal.open(path) as journal, pytest.raises((JournalError, OutputError)):
        journal.back_up(tmp_path / "backup.sqlite3")
    assert not (tmp_path / "backup.sqlite3").exists()
