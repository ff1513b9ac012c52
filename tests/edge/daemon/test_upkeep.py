"""Left alone, the service minds the disk, the clock and the journal, and says so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from edge import durable
from edge.daemon import upkeep as module
from edge.daemon.clock import ClockWatch
from edge.daemon.health import Bulletin
from edge.daemon.upkeep import Upkeep
from edge.errors import JournalDiskFailed, StorageFull
from edge.frame import Frame
from edge.journal import Journal, retention
from edge.pipeline import measure
from edge.settings import Config

DAY_S = 86_400.0


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        yield journal


@pytest.fixture
def picture(journal: Journal) -> Callable[[int], None]:
    """Log frames with pictures of a megabyte."""
    result = measure(Frame(np.full((64, 64, 3), 230, np.uint8), "field", 0, 0.5, 1.8e9, 0.0))

    def log(count: int) -> None:
        sample = journal.sample("S-1")
        folder = journal.path.parent / "pictures" / "S-1"
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(count):
            record = journal.record(sample, result)
            file = folder / f"{record:06d}-frame.png"
            file.write_bytes(b"x" * 1_000_000)
            journal.attach_picture(record, "frame", file)

    return log


class Disk:
    """A disk of so many megabytes, of which pictures take some."""

    def __init__(self, size_mb: float) -> None:
        self.size_mb = size_mb

    def free_mb(self, folder: Path) -> float:
        return self.size_mb - sum(file.stat().st_size for file in folder.rglob("*.png")) / 1e6


def begun(
    journal: Journal,
    disk: Disk,
    clock: ClockWatch | None = None,
    bulletin: Bulletin | None = None,
    **settings: Any,
) -> tuple[Upkeep, list[str]]:
    said: list[str] = []
    given = Config(**{"keep_free_mb": 50, "least_free_mb": 10, "check_days": 0, "save": "frames", **settings})
    clock = clock or ClockWatch()
    bulletin = bulletin or Bulletin()
    return Upkeep(given, journal, bulletin, lambda _, line: said.append(line), clock, disk.free_mb), said


def kinds(journal: Journal) -> list[str]:
    return [event.kind for event in journal.events()]


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.board, "throttling", lambda: ())  # whatever slows this machine down
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(module, "_PRUNE_FOR_S", 60.0)


def test_a_disk_that_fills_costs_old_pictures_then_new_ones_then_frames_and_never_the_log(
    journal: Journal, picture: Callable[[int], None]
) -> None:
    disk = Disk(54)
    upkeep, said = begun(journal, disk)
    picture(6)
    upkeep.work(is_idle=True)
    assert upkeep.keeps_pictures
    assert [bool(record.pictures) for record in journal.frames()] == [False] * 2 + [True] * 4
    disk.size_mb = 45  # others take it
    upkeep.work(is_idle=True)
    assert not upkeep.keeps_pictures
    assert not any(record.pictures for record in journal.frames())
    assert "no more pictures are kept" in said[-1]
    disk.size_mb = 5
    with pytest.raises(StorageFull, match="no frame is captured"):
        upkeep.work(is_idle=True)
    with pytest.raises(StorageFull):
        begun(journal, disk)
    assert kinds(journal) == ["pruned", "pruned", "disk"]
    disk.size_mb = 100
    upkeep, _ = begun(journal, disk)
    upkeep.work(is_idle=True)
    assert upkeep.keeps_pictures


def test_room_that_comes_back_is_used_again(journal: Journal) -> None:
    disk = Disk(45)
    upkeep, said = begun(journal, disk)
    upkeep.work(is_idle=True)
    assert not upkeep.keeps_pictures
    disk.size_mb = 100
    upkeep.work(is_idle=True)
    assert upkeep.keeps_pictures
    assert "pictures are kept" in said[-1]


def test_a_disk_that_is_nearly_full_at_the_start_costs_pictures_before_frames(
    journal: Journal, picture: Callable[[int], None]
) -> None:
    picture(6)
    begun(journal, Disk(15), keep_free_mb=12)
    assert [bool(record.pictures) for record in journal.frames()] == [False] * 3 + [True] * 3
    with pytest.raises(StorageFull):
        begun(journal, Disk(9), keep_free_mb=12)
    assert not any(record.pictures for record in journal.frames())


def test_what_is_old_goes_a_step_a_call_while_frames_come(
    journal: Journal, picture: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 1)
    picture(4)
    upkeep, said = begun(journal, Disk(1000), keep_picture_mb=1)
    left = []
    while not said:
        upkeep.work(is_idle=False)
        left.append(sum(bool(record.pictures) for record in journal.frames()))
    assert sorted(set(left), reverse=True) == [4, 3, 2, 1]
    assert all(before - after <= 1 for before, after in pairwise(left))
    assert said == ["thrown away: 3 pictures, 0 frames"]


def test_what_is_old_goes_at_once_while_no_frame_waits(
    journal: Journal, picture: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 1)
    picture(4)
    begun(journal, Disk(1000), keep_picture_mb=1)[0].work(is_idle=True)
    assert [bool(record.pictures) for record in journal.frames()] == [False, False, False, True]


@pytest.mark.parametrize("first", ["unreviewed", "reviewed"])
def test_which_pictures_go_first_is_configured(journal: Journal, picture: Callable[[int], None], first: str) -> None:
    picture(3)
    journal.review(1, "normal")
    begun(journal, Disk(1000), keep_picture_mb=1, prune_first=first)[0].work(is_idle=True)
    left = [record.record for record in journal.frames() if record.pictures]
    assert left == ([1] if first == "unreviewed" else [3])


def test_pictures_that_cannot_be_removed_are_kept_and_that_is_told_once(
    journal: Journal, picture: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: str, *, dir_fd: int) -> None:
        raise PermissionError(13, "Permission denied")

    picture(3)
    upkeep, said = begun(journal, Disk(1000), keep_picture_mb=1)
    monkeypatch.setattr(os, "unlink", refused)
    monkeypatch.setattr(module, "_PRUNE_EVERY_S", 0.0)
    upkeep.work(is_idle=True)
    upkeep.work(is_idle=True)
    assert all(record.pictures for record in journal.frames())
    assert said == ["disk: a picture cannot be removed: pictures/S-1/000001-frame.png: Permission denied"]
    assert kinds(journal) == ["disk"]


def test_what_the_disk_does_not_let_it_throw_away_it_throws_away_at_the_next_look(
    journal: Journal,
    picture: Callable[[int], None],
    failing_disk: Callable[[Journal, int], AbstractContextManager[None]],
) -> None:
    picture(3)
    bulletin = Bulletin()
    upkeep, _ = begun(journal, Disk(1000), bulletin=bulletin, keep_picture_mb=1)
    with failing_disk(journal, 1000):
        upkeep.work(is_idle=True)
    assert "disk I/O error" in bulletin.health.last_error
    assert all(record.pictures for record in journal.frames())
    upkeep.work(is_idle=True)
    assert [bool(record.pictures) for record in journal.frames()] == [False, False, True]


def test_what_somebody_else_throws_away_it_leaves_to_them(journal: Journal, picture: Callable[[int], None]) -> None:
    picture(3)
    upkeep, _ = begun(journal, Disk(1000), keep_picture_mb=1)
    with durable.locked(journal.path.parent, 0.0):
        upkeep.work(is_idle=True)
        assert all(record.pictures for record in journal.frames())
    upkeep.work(is_idle=True)
    assert [bool(record.pictures) for record in journal.frames()] == [False, False, True]


def test_closed_it_lets_others_throw_away_though_it_is_not_done(
    journal: Journal, picture: Callable[[int], None]
) -> None:
    picture(3)
    upkeep, _ = begun(journal, Disk(1000), keep_picture_mb=1)
    upkeep.work(is_idle=False)
    with pytest.raises(TimeoutError), durable.locked(journal.path.parent, 0.0):
        pass
    upkeep.close()
    with durable.locked(journal.path.parent, 0.0):
        assert all(record.pictures for record in journal.frames())


def test_writes_that_had_to_be_made_again_are_told_and_logged_once_in_a_while(
    journal: Journal, failing_disk: Callable[[Journal, int], AbstractContextManager[None]]
) -> None:
    bulletin = Bulletin()
    upkeep, said = begun(journal, Disk(1000), bulletin=bulletin)
    upkeep.work(is_idle=True)
    assert said == []
    for failed in (2, 4):
        with failing_disk(journal, 2):
            journal.event("seen")
        upkeep.work(is_idle=True)
        assert f"{failed} writes failed and were made again" in bulletin.health.last_error
    assert len(said) == kinds(journal).count("disk") == 1
    upkeep.close()
    details = [event.detail for event in journal.events(kind="disk")]
    assert [detail.partition(" and ")[0] for detail in details] == ["2 writes failed", "4 writes failed"]


def test_writes_that_had_to_be_made_again_since_the_last_look_are_told_at_the_end(
    journal: Journal, failing_disk: Callable[[Journal, int], AbstractContextManager[None]]
) -> None:
    upkeep, said = begun(journal, Disk(1000))
    with failing_disk(journal, 2):
        journal.event("seen")
    upkeep.close()
    assert len(said) == kinds(journal).count("disk") == 1
    upkeep.close()
    assert len(said) == 1


def test_a_disk_that_takes_no_write_at_all_is_nothing_more_to_end_for(
    journal: Journal, failing_disk: Callable[[Journal, int], AbstractContextManager[None]]
) -> None:
    upkeep, said = begun(journal, Disk(1000))
    with failing_disk(journal, 1000):
        with pytest.raises(JournalDiskFailed):
            journal.event("seen")
        upkeep.close()
    assert (said, kinds(journal)) == ([], [])


class Clocks:
    """A wall clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.wall_s, self.boot_s = 1.8e9, 100.0

    def watch(self, last_logged_s: float | None = None) -> ClockWatch:
        return ClockWatch(last_logged_s, lambda: self.wall_s, lambda: self.boot_s)

    def pass_s(self, seconds: float, jump_s: float = 0.0) -> None:
        self.boot_s += seconds
        self.wall_s += seconds + jump_s


@pytest.mark.parametrize("jump_s", [3650 * DAY_S, -3650 * DAY_S, 60.0, -3.0])
def test_a_jump_of_the_clock_is_logged_once_with_its_size(journal: Journal, jump_s: float) -> None:
    clocks = Clocks()
    upkeep, said = begun(journal, Disk(1000), clocks.watch())
    clocks.pass_s(10)
    upkeep.work(is_idle=True)
    clocks.pass_s(10, jump_s)
    upkeep.work(is_idle=True)
    clocks.pass_s(10)
    upkeep.work(is_idle=True)
    (event,) = [event for event in journal.events() if event.kind == "clock"]
    assert f"set {'forward' if jump_s > 0 else 'back'} by {abs(jump_s):.1f} s" in event.detail
    assert len([line for line in said if line.startswith("clock")]) == 1


def test_time_servers_and_sleep_are_no_jumps() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    for _ in range(100):
        clocks.pass_s(5, 0.5)
        assert watch.jump_s() == 0.0
    clocks.pass_s(8 * 3600)
    assert watch.jump_s() == 0.0


def test_nothing_goes_for_its_age_until_a_jump_by_years_could_be_seen(
    journal: Journal, picture: Callable[[int], None]
) -> None:
    clocks = Clocks()
    watch = clocks.watch()
    upkeep, _ = begun(journal, Disk(1000), watch, keep_picture_days=30, keep_frame_days=60)
    picture(1)
    clocks.pass_s(60, 3650 * DAY_S)
    upkeep.work(is_idle=True)
    assert [bool(record.pictures) for record in journal.frames()] == [True]
    assert not watch.is_trusted
    clocks.pass_s(DAY_S)
    assert watch.is_trusted


def test_a_start_years_from_what_was_logged_last_is_doubted_too() -> None:
    clocks = Clocks()
    assert clocks.watch(clocks.wall_s - 5 * DAY_S).is_trusted
    assert not clocks.watch(clocks.wall_s - 3650 * DAY_S).is_trusted
    assert not clocks.watch(clocks.wall_s + 3650 * DAY_S).is_trusted
    assert clocks.watch(None).is_trusted


def test_what_slows_the_board_down_is_told_with_its_heat_and_not_more_than_once_an_hour(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed = ["the processor is hot and slowed down"]
    monkeypatch.setattr(module.board, "throttling", lambda: tuple(slowed))
    monkeypatch.setattr(module.board, "temperature_c", lambda: 84.6)
    upkeep, said = begun(journal, Disk(1000))
    upkeep.work(is_idle=True)
    upkeep.work(is_idle=True)
    again, said_again = begun(journal, Disk(1000))  # as a service that is degraded does every minute
    again.work(is_idle=True)
    assert said == ["board: the processor is hot and slowed down, at 85 degrees Celsius"]
    assert (said_again, kinds(journal)) == ([], ["board"])
    slowed.append("the power supply is too weak")
    upkeep.work(is_idle=True)
    assert kinds(journal) == ["board"]
    monkeypatch.setattr(module, "_TELL_BOARD_EVERY_S", 0.0)
    upkeep.work(is_idle=True)
    assert journal.events()[-1].detail.startswith(
        "the processor is hot and slowed down; the power supply is too weak, at "
    )
    slowed.clear()
    upkeep.work(is_idle=True)
    slowed.append("the power supply is too weak")  # months later
    upkeep.work(is_idle=True)
    assert kinds(journal) == ["board"] * 3


def test_a_damaged_journal_is_found_and_told(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "check", lambda _: ["page 7 is torn"])
    upkeep, said = begun(journal, Disk(1000), check_days=1)
    while "integrity" not in kinds(journal):
        upkeep.work(is_idle=True)
    assert journal.events()[-1].detail == "page 7 is torn"
    assert "damaged" in said[-1]
    upkeep.work(is_idle=True)
    assert kinds(journal).count("integrity") == 1


def test_a_look_that_fails_by_whatever_is_told(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Journal) -> list[str]:
        raise MemoryError

    monkeypatch.setattr(Journal, "check", fail)
    upkeep, said = begun(journal, Disk(1000), check_days=1)
    while "integrity" not in kinds(journal):
        upkeep.work(is_idle=True)
    assert journal.events()[-1].detail == "MemoryError"
    assert "could not be read through" in said[-1]
    assert "damaged" not in said[-1]


def test_however_often_the_service_begins_anew_the_journal_is_read_by_one_at_a_time(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Journal] = []
    done = Event()

    def look(looked_at: Journal) -> list[str]:
        looks.append(looked_at)
        done.wait()
        return []

    monkeypatch.setattr(Journal, "check", look)
    upkeeps = [begun(journal, Disk(1000), check_days=1)[0] for _ in range(3)]
    for upkeep in upkeeps:
        upkeep.work(is_idle=True)
    done.set()
    while "integrity" not in kinds(journal):
        upkeeps[0].work(is_idle=True)
    for upkeep in upkeeps:
        upkeep.work(is_idle=True)
    assert len(looks) == kinds(journal).count("integrity") == 1
