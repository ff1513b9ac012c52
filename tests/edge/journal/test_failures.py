"""A journal that cannot be used says why, and what was in the file stays there."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path

import pytest

from edge.errors import (
    JournalCorrupt,
    JournalDiskFailed,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalReadOnly,
    JournalTooNew,
)
from edge.frame import SensorReport
from edge.journal import Journal, connection, store
from edge.result import FrameResult, SampleResult, TileResult
from edge.vision.quality import Quality

WithoutWriteAccess = Callable[..., AbstractContextManager[None]]
NOBODY = 65534
FailingDisk = Callable[[Journal, int], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def finished_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quality = Quality(False, ("out of focus",), 0.1, 0.8, 0.0, 0.2, 1.0, 0.9, 0.0, 0.6)
    tiles = tuple(TileResult(x_px, 0, 224, 224, "MM", (0.1, 0.9)) for x_px in range(0, 2240, 224))
    with Journal.open(tmp_path_factory.mktemp("finished") / "journal.sqlite3") as journal:
        sample = journal.sample("S1")
        for number in range(40):
            name = f"field {number}.bmp"
            journal.record(
                sample, FrameResult(name, number, (2560, 1920), 0.1, 0.0, 0.0, SensorReport(), quality, tiles=tiles)
            )
        journal.finish_sample(sample, lambda: SampleResult("S1", "MM", None, {"MM": 0.9}, 40, 0))
    return journal.path


@pytest.fixture
def logged(finished_journal: Path, path: Path) -> Path:
    """Return the file of a closed journal with forty frames."""
    return Path(shutil.copy(finished_journal, path))


def record_until_it_fails(journal: Journal, result: FrameResult) -> Iterator[int]:
    while True:
        yield journal.record(1, result)


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "Lab 3" / "Präparate" / "50% #1?.sqlite3") as journal:
        journal.event("started")
    with Journal.open_read_only(journal.path) as journal:
        assert [event.kind for event in journal.events()] == ["started"]


@pytest.mark.parametrize("path", [Path("/proc/wbc-edge/journal.sqlite3"), Path("/dev/null/journal.sqlite3")])
def test_a_folder_that_cannot_be_made_is_read_only(path: Path) -> None:
    with pytest.raises(JournalReadOnly, match="Name a journal in a folder that this user can write"):
        Journal.open(path)


def test_a_folder_in_the_journals_place_is_refused(tmp_path: Path) -> None:
    for opening in (Journal.open, Journal.open_read_only):
        with pytest.raises(JournalReadOnly, match="this is a folder"):
            opening(tmp_path)


def test_a_folder_that_cannot_be_entered_is_read_only(shared_folder: Path, stranger: WithoutWriteAccess) -> None:
    closed = shared_folder / "closed"
    with Journal.open(closed / "journal.sqlite3"):
        pass
    with stranger(shared_folder, folder_mode=0o444):
        for opening in (Journal.open, Journal.open_read_only):
            with pytest.raises(JournalReadOnly):
                opening(closed / "journal.sqlite3")


def test_no_journal_yet_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(JournalError, match="there is none yet"):
        Journal.open_read_only(path)
    assert not path.exists()


def test_a_read_only_journal_is_read_and_not_written(
    shared_folder: Path, stranger: WithoutWriteAccess, result: FrameResult
) -> None:
    path = shared_folder / "journal.sqlite3"
    with Journal.open(path) as journal:
        journal.record(journal.sample("S1"), result)
    with stranger(shared_folder):
        with pytest.raises(JournalReadOnly, match="Give this user write access"):
            Journal.open(path)
        with pytest.raises(JournalReadOnly):
            Journal.open(shared_folder / "another.sqlite3")
        with Journal.open_read_only(path) as journal:
            assert [record.result for record in journal.frames()] == [result]
    assert [file.name for file in shared_folder.iterdir()] == ["journal.sqlite3"]


def test_another_user_reads_along_while_the_journal_is_written(
    shared_folder: Path, stranger: WithoutWriteAccess, result: FrameResult
) -> None:
    path = shared_folder / "journal.sqlite3"
    with Journal.open(path) as journal:
        journal.record(journal.sample("S1"), result)
        with stranger(shared_folder), Journal.open_read_only(path) as reader:
            assert [record.result for record in reader.frames()] == [result]


def test_reading_never_writes(logged: Path, result: FrameResult) -> None:
    with Journal.open_read_only(logged) as journal:
        with pytest.raises(JournalReadOnly):
            journal.record(1, result)
        with pytest.raises(JournalReadOnly):
            journal.sample("S2")
        assert len(list(journal.frames())) == 40


def test_a_journal_locked_by_another_says_so_and_works_afterwards(
    journal: Journal, path: Path, result: FrameResult
) -> None:
    sample = journal.sample("S1")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalLocked, match="another process kept it locked"):
            journal.record(sample, result)
        with pytest.raises(JournalLocked):
            Journal.open(path, timeout_s=0.01)
        assert list(journal.frames()) == [], "reading needs no lock"
        other.execute("ROLLBACK")
    assert journal.frame(journal.record(sample, result)).result == result


def test_a_full_journal_keeps_what_it_has_and_goes_on_when_there_is_room(path: Path, result: FrameResult) -> None:
    opened = connection.to_write(path, timeout_s=1.0)
    with Journal(opened, path) as journal:
        sample = journal.sample("S1")
        acknowledged: list[int] = []
        opened.execute("PRAGMA max_page_count = 20")
        with pytest.raises(JournalFull, match="Free some space"):
            acknowledged.extend(record_until_it_fails(journal, result))
        opened.execute("PRAGMA max_page_count = 1000000")
        acknowledged.append(journal.record(sample, result))
        assert len(acknowledged) > 1
        assert [record.record for record in journal.frames()] == acknowledged
        assert journal.check() == []


@pytest.mark.parametrize("times", [1, 4])
def test_what_the_disk_fails_now_and_then_is_made_again_and_logged_once(
    journal: Journal, result: FrameResult, failing_disk: FailingDisk, times: int
) -> None:
    sample = journal.sample("S1")
    with failing_disk(journal, times):
        record = journal.record(sample, result)
    assert journal.made_again == times
    with failing_disk(journal, times):
        journal.event("seen")
    assert [(frame.record, frame.result) for frame in journal.frames()] == [(record, result)]
    assert [event.kind for event in journal.events()] == ["seen"]
    assert journal.check() == []
    assert journal.audit().problems == ()


def test_what_the_disk_fails_again_and_again_is_not_logged_and_the_next_is(
    journal: Journal, result: FrameResult, failing_disk: FailingDisk
) -> None:
    sample = journal.sample("S1")
    with failing_disk(journal, 1000), pytest.raises(JournalDiskFailed, match="disk I/O error"):
        journal.record(sample, result)
    assert list(journal.frames()) == []
    record = journal.record(sample, result)
    assert [frame.record for frame in journal.frames()] == [record]
    assert journal.audit().problems == ()


def test_a_disk_that_takes_its_time_to_fail_is_not_waited_for_again(
    journal: Journal, result: FrameResult, failing_disk: FailingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = journal.sample("S1")
    monkeypatch.setattr(store, "_TRIED_S", -1.0)
    with failing_disk(journal, 1), pytest.raises(JournalDiskFailed):
        journal.record(sample, result)
    assert journal.made_again == 0


def test_a_full_disk_keeps_what_is_logged(small_disk: Path, result: FrameResult) -> None:
    path = small_disk / "journal.sqlite3"
    acknowledged: list[int] = []
    with Journal.open(path) as journal:
        journal.sample("S1")
        with pytest.raises(JournalFull, match="the disk is full"):
            acknowledged.extend(record_until_it_fails(journal, result))
        assert len(acknowledged) > 1
        assert [record.record for record in journal.frames()] == acknowledged
    with Journal.open_read_only(path) as journal:
        assert [record.record for record in journal.frames()] == acknowledged


def test_a_full_disk_at_the_start_says_so(small_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(1 << 20))
    with pytest.raises(JournalFull, match="the disk is full"):
        Journal.open(small_disk / "journal.sqlite3")


def test_a_journal_on_a_full_disk_is_read_and_not_written(small_disk: Path, logged: Path) -> None:
    path = Path(shutil.copy(logged, small_disk))
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(1 << 20))
    with pytest.raises(JournalFull, match="the disk is full"):
        Journal.open(path)
    with Journal.open_read_only(path) as journal:
        assert len(list(journal.frames())) == 40


def test_a_journal_of_a_later_version_is_left_as_it_is(logged: Path) -> None:
    with closing(sqlite3.connect(logged)) as later:
        later.execute("PRAGMA user_version = 99")
    before = logged.read_bytes()
    for opening in (Journal.open, Journal.open_read_only):
        with pytest.raises(JournalTooNew, match=r"version 99.*Update wbc-edge"):
            opening(logged)
    assert logged.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"hello", b"\x00" * 50, b"not a database " * 1000, b"SQLite format 3\x00" + b"x" * 5000]
)
def test_a_file_that_is_no_journal_is_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for opening in (Journal.open, Journal.open_read_only):
        with pytest.raises(JournalCorrupt, match="left untouched"):
            opening(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_left_as_it_is(path: Path, tmp_path: Path) -> None:
    """Even where that program was killed and SQLite would bring its file up to date."""
    with closing(sqlite3.connect(tmp_path / "killed", isolation_level=None)) as other:
        other.execute("CREATE TABLE photographs (name TEXT)")
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("INSERT INTO photographs VALUES ('in the log only')")
        shutil.copy(tmp_path / "killed", path)
        shutil.copy(tmp_path / "killed-wal", path.with_name("journal.sqlite3-wal"))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for opening in (Journal.open, Journal.open_read_only):
        with pytest.raises(JournalError, match="another program"):
            opening(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_tables_of_another_program_are_seen_in_its_log_too(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE photographs (name TEXT)")
        for opening in (Journal.open, Journal.open_read_only):
            with pytest.raises(JournalError, match="another program"):
                opening(path)
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("photographs",)]


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch()
    with pytest.raises(JournalError, match="it is empty"):  # which says more than that nothing is wrong with it
        Journal.open_read_only(path)
    with Journal.open(path) as journal:
        assert journal.event("started") == 1


def test_a_damaged_header_is_reported_and_nothing_overwritten(logged: Path) -> None:
    with logged.open("r+b") as file:
        file.write(b"\xff" * 100)
    damaged = logged.read_bytes()
    for opening in (Journal.open, Journal.open_read_only):
        with pytest.raises(JournalCorrupt, match="move it aside"):
            opening(logged)
    assert logged.read_bytes() == damaged


def test_damage_in_the_middle_is_found_and_the_sound_rows_are_still_read(logged: Path) -> None:
    with Journal.open(logged) as journal:
        assert journal.check() == []
    page = 4096
    with logged.open("r+b") as file:
        file.seek((logged.stat().st_size // page - 2) * page)
        file.write(b"\xa5" * page)
    damaged = logged.read_bytes()
    with Journal.open_read_only(logged) as journal:
        assert journal.check() != []
        assert [sample.name for sample in journal.samples()] == ["S1"]
        with pytest.raises(JournalCorrupt, match="recover its rows"):
            list(journal.frames())
    assert logged.read_bytes() == damaged


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        (b"field 7.bmp", b"field \xff.bmp"),
        (b'["out of focus"]', b'["out of focus"}'),
        (b"    um_per_px REAL", b"    xm_per_px REAL"),
        (b"    record INTEGER PRIMARY", b"    recorx INTEGER PRIMARY"),
    ],
)
def test_damaged_text_and_tables_are_recognised(logged: Path, written: bytes, damaged: bytes) -> None:
    content = logged.read_bytes()
    assert written in content
    logged.write_bytes(content.replace(written, damaged))
    with Journal.open_read_only(logged) as journal, pytest.raises(JournalCorrupt, match="recover its rows"):
        list(journal.frames())


@pytest.mark.parametrize("seed", range(60))
def test_whatever_bytes_are_damaged_reading_gives_rows_or_says_that_it_is_damaged(logged: Path, seed: int) -> None:
    chance = random.Random(seed)
    with logged.open("r+b") as file:
        for _ in range(chance.choice([1, 5, 50])):
            file.seek(chance.randrange(logged.stat().st_size))
            file.write(chance.randbytes(chance.choice([1, 8, 200])))
    damaged = logged.read_bytes()
    with suppress(JournalError), Journal.open_read_only(logged) as journal:
        for read in (journal.samples, journal.events, journal.check, lambda: list(journal.frames())):
            with suppress(JournalError):
                read()
    assert logged.read_bytes() == damaged


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has more to lose than its own files")
@pytest.mark.parametrize("is_there", [False, True])
def test_root_opens_no_journal_through_a_link_of_the_folders_owner(
    path: Path, tmp_path_factory: pytest.TempPathFactory, is_there: bool
) -> None:
    elsewhere = tmp_path_factory.mktemp("etc") / "evil"
    if is_there:
        elsewhere.touch()
    os.chown(path.parent, NOBODY, NOBODY)
    path.symlink_to(elsewhere)
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(JournalReadOnly, match="link"):
        Journal.open(path)
    assert elsewhere.exists() == is_there
    if is_there:
        assert elsewhere.read_bytes() == b""
    os.chown(path, 0, 0, follow_symlinks=False)
    Journal.open(path).close()
    assert elsewhere.stat().st_size > 0
