"""A journal that is moved or removed while it is in use: it is noticed, and no acknowledged row is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.errors import JournalMoved
from edge.journal import Journal
from edge.journal.upkeep import compact
from edge.result import FrameResult

WRITER = """
import sys
from edge.errors import JournalMoved
from edge.journal import Journal

try:
    with Journal.open(sys.argv[1]) as journal:
        for line in sys.stdin:
            print(journal.event("note", line.strip()), flush=True)
except JournalMoved as error:
    print(error, flush=True)
"""


class Writer:
    """Another process that logs what it is told, and says the number of the event or what was wrong."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def log(self, detail: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(detail, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.communicate(timeout=30)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def writer() -> Iterator[Callable[[Path], Writer]]:
    begun: list[Writer] = []

    def begin(path: Path) -> Writer:
        begun.append(Writer(path))
        return begun[-1]

    yield begin
    for each in begun:
        each.kill()


def details(path: Path) -> list[str]:
    with Journal.open_read_only(path) as journal:
        assert journal.check() == []
        assert journal.audit().problems == ()
        return [event.detail for event in journal.events()]


def test_a_frame_is_not_acknowledged_once_the_journal_was_moved_and_those_before_are_in_it(
    path: Path, result: FrameResult
) -> None:
    aside = path.with_name("aside.sqlite3")
    with Journal.open(path) as journal:
        sample = journal.sample("S1")
        record = journal.record(sample, result)
        path.rename(aside)
        with pytest.raises(JournalMoved, match=r"moved, removed or replaced while in use.*put it back"):
            journal.record(sample, result)
    with Journal.open_read_only(aside) as journal:
        assert [frame.record for frame in journal.frames()] == [record]
        assert journal.audit().problems == ()


def test_moved_while_a_row_is_written_it_takes_that_row_back(path: Path) -> None:
    aside = path.with_name("aside.sqlite3")
    with Journal.open(path) as journal:
        journal.event("note", "before")

        def log_and_move() -> None:
            with journal.transaction() as connection:
                connection.execute("INSERT INTO samples (name, started_s) VALUES ('S1', 0)")
                path.rename(aside)

        with pytest.raises(JournalMoved):
            log_and_move()
    with Journal.open_read_only(aside) as journal:
        assert journal.samples() == []
        assert [event.detail for event in journal.events()] == ["before"]


def test_moved_after_the_last_row_it_holds_that_row_too(path: Path) -> None:
    aside = path.with_name("aside.sqlite3")
    with Journal.open(path) as journal:
        journal.event("note", "the last")
        path.rename(aside)
    assert details(aside) == ["the last"]


def test_moved_together_with_the_files_beside_it_it_loses_nothing(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Journal.open(path) as journal:
        journal.event("note", "before")
        for file in list(tmp_path.glob("journal.sqlite3*")):
            file.rename(elsewhere / file.name)
        with pytest.raises(JournalMoved):
            journal.event("note", "after")
    assert details(elsewhere / path.name) == ["before"]


@pytest.mark.parametrize("replaced", [False, True])
def test_removed_or_replaced_it_acknowledges_no_row_either(path: Path, tmp_path: Path, replaced: bool) -> None:
    another = tmp_path / "another.sqlite3"
    with Journal.open(another) as journal:
        journal.event("note", "another's")
    with Journal.open(path) as journal:
        journal.event("note", "before")
        if replaced:
            another.rename(path)
        else:
            path.unlink()
        with pytest.raises(JournalMoved):
            journal.event("note", "after")
        with pytest.raises(JournalMoved):
            compact(journal)  # as an idle service does: it must not wait for the next frame to find out
    with Journal.open(path) as journal:
        journal.event("note", "new")
    assert details(path) == (["another's", "new"] if replaced else ["new"])


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_without_a_file_beside_it_it_acknowledges_no_more_and_keeps_what_it_has(path: Path, ending: str) -> None:
    beside = path.with_name(f"{path.name}{ending}")
    with Journal.open(path) as journal:
        journal.event("note", "before")
        beside.unlink()
        with pytest.raises(JournalMoved, match=rf"{ending} was moved.*is in the journal"):
            journal.event("note", "after")
    with Journal.open(path) as journal:
        journal.event("note", "later")
    assert details(path) == ["before", "later"]


def test_by_a_link_it_is_followed_as_by_its_name(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.sqlite3"
    link.symlink_to(path)
    aside = tmp_path / "aside.sqlite3"
    with Journal.open(link) as journal:
        journal.event("note", "before")
        path.rename(aside)
        with pytest.raises(JournalMoved):
            journal.event("note", "after")
    assert details(aside) == ["before"]


def test_put_back_before_the_next_row_it_goes_on(path: Path) -> None:
    aside = path.with_name("aside.sqlite3")
    with Journal.open(path) as journal:
        journal.event("note", "before")
        path.rename(aside)
        aside.rename(path)
        journal.event("note", "after")
    assert details(path) == ["before", "after"]


def test_two_processes_lose_nothing_when_it_is_moved_and_another_is_begun_in_its_place(
    path: Path, writer: Callable[[Path], Writer]
) -> None:
    aside = path.with_name("aside.sqlite3")
    first, second = writer(path), writer(path)
    for detail in ("1", "3"):
        assert first.log(detail) == detail
        assert second.log(str(int(detail) + 1)) == str(int(detail) + 1)
    path.rename(aside)
    assert "while in use" in first.log("late")
    first.end()
    third = writer(path)
    assert [third.log("a"), third.log("b")] == ["1", "2"]
    assert "while in use" in second.log("late"), "which still has the one that was moved"
    second.end()
    assert third.log("c") == "3"
    third.end()
    assert details(aside) == ["1", "2", "3", "4"]
    assert details(path) == ["a", "b", "c"]


def test_no_journal_is_begun_over_a_log_with_rows_that_are_nowhere_else(
    path: Path, writer: Callable[[Path], Writer]
) -> None:
    aside = path.with_name("aside.sqlite3")
    killed = writer(path)
    assert killed.log("only in the log") == "1"
    path.rename(aside)
    killed.kill()
    for is_empty in (False, True):
        if is_empty:
            path.touch()
        for opening in (Journal.open, Journal.open_read_only):
            with pytest.raises(JournalMoved, match=r"its log .*-wal is still there.*Put the journal back"):
                opening(path)
    aside.rename(path)
    assert details(path) == ["only in the log"]
