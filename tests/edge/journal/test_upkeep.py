"""Space of what is gone returns to the disk, little by little, and some is put by for a full one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from edge.errors import JournalFull
from edge.frame import Frame
from edge.journal import Journal
from edge.journal.reserve import Reserve
from edge.journal.retention import Policy, prune
from edge.journal.upkeep import compact, last_detail, last_event_s
from edge.pipeline import measure


def filled(journal: Journal, frames: int = 40) -> None:
    result = measure(Frame(np.full((64, 64, 3), 230, np.uint8), "field" * 3000, 0, 0.5, 1.75e9, 0.0))
    sample = journal.sample("S-1")
    for _ in range(frames):
        journal.record(sample, result)


@pytest.mark.parametrize("is_old", [False, True])
def test_space_of_frames_that_are_gone_is_given_back(tmp_path: Path, is_old: bool) -> None:
    path = tmp_path / "journal.sqlite3"
    Journal.open(path).close()
    if is_old:  # as one that was begun before space could be given back
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA auto_vacuum = NONE")
            connection.execute("VACUUM")
    with Journal.open(path) as journal:
        filled(journal)
        journal.event("kept")
        with journal.maintenance() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = path.stat().st_size
        prune(journal, Policy(frame_days=1), now_s=1.8e9)
        steps = 0
        while compact(journal, pages=40):
            steps += 1
        with journal.maintenance() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert path.stat().st_size < before / 2
        assert (steps > 2) != is_old
        assert journal.check() == []
        assert journal.audit().problems == ()


def test_the_last_event_is_found_by_its_kind(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        assert last_event_s(journal) is None
        assert last_detail(journal, "settings") is None
        journal.event("settings", "one")
        journal.event("settings", "two")
        journal.event("clock", "three")
        times = [event.wall_time_s for event in journal.events()]
        assert last_event_s(journal) == times[2]
        assert last_event_s(journal, "settings") == times[1]
        assert last_detail(journal, "settings") == "two"


def test_a_reserve_takes_its_space_until_it_is_released(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "journal.sqlite3", 1 << 20)
    assert reserve.hold()
    assert reserve.hold()
    assert reserve.path.stat().st_blocks * 512 >= 1 << 20
    reserve.release()
    reserve.release()
    assert list(tmp_path.iterdir()) == []


def test_a_reserve_for_which_there_is_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    assert not Reserve(tmp_path / "journal.sqlite3", 1 << 60).hold()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_told_in_the_space_put_by(disk_of: Callable[[str], Path]) -> None:
    path = disk_of("16M") / "journal.sqlite3"
    with Journal.open(path) as journal:
        assert Reserve(path).hold()
        filled(journal, 3)
        with (path.parent / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while ballast.write(bytes(4096)):
                pass
        with pytest.raises(JournalFull):
            filled(journal, 2000)
    Reserve(path).release()
    with Journal.open(path) as journal:
        for number in range(300):
            journal.event("service degraded", f"the disk is full, {number}")
        assert len(list(journal.frames())) >= 3
        assert journal.check() == []
        assert journal.audit().problems == ()
