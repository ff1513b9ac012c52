"""What the service keeps: pictures, the journal and its disk, and what it throws away."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from running import Running

from edge.errors import ServiceUnavailable
from edge.journal import Journal


def test_the_picture_of_the_last_frame_is_logged_without_a_further_one(service: Callable[..., Running]) -> None:
    one = service('camera = "sim:MM"\nsize = "640x480"\nsave = "frames"\n')
    one.told("READY=1")
    one.ask("frame", sample="S-1")

    def is_logged(_: dict[str, Any]) -> bool:
        with one.journal() as journal:
            return bool(journal.frame(1).pictures)

    one.until(is_logged)


def test_where_no_picture_can_be_kept_the_frames_are_logged_and_that_is_told_once(
    service: Callable[..., Running],
) -> None:
    one = service('camera = "sim:MM"\nsize = "640x480"\nsave = "frames"\n')
    one.told("READY=1")
    assert one.ask("status")["pictures"] == "kept"
    (one.folder / "state" / "pictures").write_text("a file where a folder should be", encoding="utf-8")
    one.ask("frame", "S-1")
    one.ask("frame", "S-2")
    assert one.ask("status")["pictures"] == ""
    log = one.end()
    assert log.count("no pictures are kept") == 1
    with one.journal() as journal:
        assert [record.sample for record in journal.frames()] == ["S-1", "S-2"]
        assert [event.kind for event in journal.events() if "no pictures" in event.detail] == ["disk"]


def test_it_throws_away_what_its_configuration_no_longer_keeps(service: Callable[..., Running]) -> None:
    settings = 'camera = "sim:MM"\nsize = "640x480"\nsave = "frames"\n'
    one = service(settings)
    one.told("READY=1")
    for _ in range(3):
        one.ask("frame", "S-1")
    one.ask("finish")
    with one.journal() as journal:
        assert all(record.pictures for record in journal.frames())
    one.config.write_text(settings + "keep_picture_mb = 0.001\n", "utf-8")
    one.ask("reload")

    def pruned(_: Any) -> bool:
        with one.journal() as journal:
            return "pruned" in [event.kind for event in journal.events()]

    # What went is logged once it has gone.
    one.until(pruned)
    assert not list(one.folder.rglob("*.png"))
    with one.journal() as journal:
        assert [bool(record.pictures) for record in journal.frames()] == [False] * 3
        assert [event.kind for event in journal.events()].count("pruned") == 1


def test_a_disk_that_fills_stops_frames_and_not_the_log_of_it(service: Callable[..., Running]) -> None:
    one = service('camera = "sim:MM"\nsize = "640x480"\nsave = "overlays"\n')
    one.told("READY=1")
    assert one.ask("frame", "S-1")["record"] == 1
    assert one.ask("status")["pictures"] == "kept"
    reserve = one.folder / "state" / "journal.sqlite3.reserve"
    assert reserve.stat().st_blocks * 512 >= 8_000_000
    one.config.write_text(
        'camera = "sim:MM"\nsize = "640x480"\nsave = "overlays"\nleast_free_mb = 100000000\n', "utf-8"
    )
    one.ask("reload")
    report = one.until(lambda report: report["state"] == "degraded")
    assert "no frame is captured" in report["reason"]
    assert report["pictures"] == ""
    assert report["last_error_at"]
    with pytest.raises(ServiceUnavailable, match="degraded"):
        one.ask("frame")
    with one.journal() as journal:
        assert journal.events()[-1].kind == "service degraded"
    assert not reserve.exists()
    one.config.write_text('camera = "sim:MM"\nsize = "640x480"\n', "utf-8")
    one.ask("reload")
    one.until(lambda report: report["state"] == "ready")
    assert one.ask("frame")["record"] == 2
    assert reserve.exists()


def test_the_journal_is_checked_and_the_result_told(service: Callable[..., Running]) -> None:
    one = service()
    one.told("READY=1")
    assert one.until(lambda report: report["journal_checked"] != "")["journal_checked"].endswith("sound")
    with one.journal() as journal:
        assert [event.detail for event in journal.events() if event.kind == "integrity"] == ["sound"]
    one.end()
    one.process = one.start()
    one.told("READY=1")
    # Though the next reading is a week away.
    assert one.ask("status")["journal_checked"].endswith("sound")


def test_where_no_camera_is_the_journal_and_its_disk_are_told_all_the_same(
    service: Callable[..., Running], tmp_path: Path
) -> None:
    one = service(f'camera = "v4l2:{tmp_path / "video9"}"\num_per_px = 0.1\n')
    one.told("READY=1")
    report = one.ask("status")
    assert report["state"] == "degraded"
    assert report["journal"].endswith("journal.sqlite3")
    assert report["disk_free_mb"] > 0


def test_who_asked_for_a_frame_that_cannot_be_logged_hears_why(service: Callable[..., Running]) -> None:
    one = service()
    one.told("READY=1")
    one.ask("start", "S-1")
    with closing(sqlite3.connect(one.folder / "state" / "journal.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceUnavailable, match="kept it locked"):
            one.ask("frame")


def test_the_journal_can_be_backed_up_while_it_works(service: Callable[..., Running], tmp_path: Path) -> None:
    one = service('camera = "sim:ALL"\nsize = "640x480"\ninterval = 0.01\n')
    one.told("READY=1")
    one.until(lambda report: report["frames"] >= 2)
    with one.journal() as journal:
        journal.back_up(tmp_path / "copy.sqlite3")
    with Journal.open_read_only(tmp_path / "copy.sqlite3") as copy:
        assert copy.check() == []
        assert len(list(copy.frames())) >= 2
    frames = one.ask("status")["frames"]
    one.until(lambda report: report["frames"] > frames)


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_journal_that_is_moved_or_removed_under_it_is_told_and_another_is_begun(
    service: Callable[..., Running], is_removed: bool
) -> None:
    one = service()
    one.told("READY=1")
    assert one.ask("frame", "S-1")["record"] == 1
    path = one.folder / "state" / "journal.sqlite3"
    aside = path.with_name("aside.sqlite3")
    path.rename(aside)
    if is_removed:
        aside.unlink()
    # Without a frame that would be lost first.
    report = one.until(lambda report: report["state"] == "degraded")
    assert "moved, removed or replaced while in use" in report["reason"]
    one.until(lambda report: report["state"] == "ready")
    assert one.ask("frame", "S-2")["record"] == 1
    log = one.end()
    assert log.count("while in use") == 1
    with one.journal() as journal:
        assert [record.sample for record in journal.frames()] == ["S-2"]
        (degraded,) = [event.detail for event in journal.events() if event.kind == "service degraded"]
        assert "while in use" in degraded
        assert (journal.check(), journal.audit().problems) == ([], ())
    if not is_removed:
        with Journal.open_read_only(aside) as journal:
            assert [record.sample for record in journal.frames()] == ["S-1"]
            assert (journal.check(), journal.audit().problems) == ([], ())


def test_a_frame_that_is_asked_for_is_not_acknowledged_by_a_journal_that_was_moved(
    service: Callable[..., Running],
) -> None:
    one = service()
    one.told("READY=1")
    path = one.folder / "state" / "journal.sqlite3"
    path.rename(path.with_name("aside.sqlite3"))
    with pytest.raises(ServiceUnavailable):
        one.ask("frame", "S-1")
    for state in ("degraded", "ready"):
        one.until(lambda report, state=state: report["state"] == state)
    assert one.ask("frame", "S-1")["record"] == 1
