"""What a policy no longer keeps goes, in the right order, and nothing else; whatever goes is logged."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import JournalLocked, RecordNotFound
from edge.journal import Journal, retention
from edge.journal.pictures import PictureWriter
from edge.journal.retention import Policy, Pruned, prune, steps
from edge.result import FrameResult

NOW_S = 1_900_000_000.0
DAY_S = 86_400.0
RECORDS = range(1, 11)


@pytest.fixture
def aged(path: Path, result: FrameResult) -> Path:
    """Log ten frames, one a day, the last today, each with a picture; the second and third are reviewed."""
    with Journal.open(path) as journal:
        sample = journal.sample("S1")
        with PictureWriter(path.parent / "pictures") as pictures:
            for record in RECORDS:
                journal.record(sample, replace(result, wall_time_s=NOW_S - (10 - record) * DAY_S))
                pictures.put(record, "frame", np.full((40, 60, 3), 9 * record, np.uint8), sample="S1")
        for picture in pictures.finished():
            assert isinstance(picture.outcome, Path)
            journal.attach_picture(picture.record, picture.kind, picture.outcome)
        journal.review(2, "ALL", "sure")
        journal.review(3, "MM")
    return path


def left(path: Path) -> tuple[list[int], list[int]]:
    """Give the records there are and those with a picture; each picture referred to is there, and no other."""
    with Journal.open_read_only(path) as journal:
        records = list(journal.frames())
        assert journal.check() == []
        assert journal.audit().problems == ()
    pictures = [picture for record in records for picture in record.pictures.values()]
    assert sorted(pictures) == sorted((path.parent / "pictures").rglob("*.png"))
    return [record.record for record in records], [record.record for record in records if record.pictures]


def pruned(path: Path, **limits: Any) -> Pruned:
    with Journal.open(path) as journal:
        return prune(journal, Policy(**limits), now_s=NOW_S)


def size_mb(path: Path) -> float:
    return max(picture.stat().st_size for picture in path.parent.rglob("*.png")) / 1e6


def test_without_a_limit_nothing_goes(aged: Path) -> None:
    assert pruned(aged) == Pruned()
    assert left(aged) == (list(RECORDS), list(RECORDS))


def test_old_pictures_go_and_their_frames_stay(aged: Path) -> None:
    assert pruned(aged, picture_days=6.5).pictures == 3
    assert left(aged) == (list(RECORDS), list(RECORDS)[3:])


def test_over_the_quota_the_oldest_go_and_the_reviewed_last(aged: Path) -> None:
    pruned(aged, picture_mb=6.5 * size_mb(aged))
    assert left(aged)[1] == [2, 3, 7, 8, 9, 10]


def test_the_reviewed_go_first_where_that_is_wished(aged: Path) -> None:
    pruned(aged, picture_mb=6.5 * size_mb(aged), reviewed_first=True)
    assert left(aged)[1] == [5, 6, 7, 8, 9, 10]


def test_a_disk_that_fills_up_takes_pictures_and_never_frames(aged: Path) -> None:
    with Journal.open(aged) as journal:
        gone = prune(journal, Policy(free_mb=500), now_s=NOW_S, free_mb=lambda _: 500 - 2.5 * size_mb(aged))
    assert gone.pictures == 3
    with Journal.open(aged) as journal:
        assert prune(journal, Policy(free_mb=500), now_s=NOW_S, free_mb=lambda _: 0.0).pictures == 7
    assert left(aged) == (list(RECORDS), [])


def test_old_frames_go_with_all_that_is_logged_of_them(aged: Path) -> None:
    gone = pruned(aged, frame_days=7.5)
    assert (gone.pictures, gone.frames) == (2, 2)
    assert left(aged) == (list(RECORDS)[2:], list(RECORDS)[2:])


def test_a_clock_that_had_not_been_set_says_nothing_of_age(aged: Path, result: FrameResult) -> None:
    with Journal.open(aged) as journal:
        journal.record(journal.sample("S1"), replace(result, wall_time_s=3600.0))
    pruned(aged, frame_days=1.5)
    assert left(aged)[0] == [9, 10, 11]


def test_a_clock_that_jumps_ten_years_takes_nothing(aged: Path, result: FrameResult) -> None:
    for now_s in (NOW_S + 3650 * DAY_S, NOW_S - 3650 * DAY_S):
        with Journal.open(aged) as journal:
            assert prune(journal, Policy(picture_days=17, frame_days=17), now_s=now_s) == Pruned()
            journal.record(journal.sample("S1"), replace(result, wall_time_s=now_s))
    # What ages is what other frames came after.
    with Journal.open(aged) as journal:
        assert prune(journal, Policy(frame_days=10.5), now_s=NOW_S - 3650 * DAY_S).frames == 6


def test_what_goes_is_logged(aged: Path) -> None:
    pruned(aged, picture_days=6.5, frame_days=8.5)
    with Journal.open_read_only(aged) as journal:
        told = [event.detail for event in journal.events() if event.kind == "pruned"]
    assert told == [
        "3 pictures of records 1 to 3: older than 6.5 days",
        "1 frames, records 1 to 1: older than 8.5 days",
    ]


def test_a_picture_that_the_journal_does_not_know_stays_however_old(aged: Path) -> None:
    """The journal was damaged and moved aside, or another one is beside it: their pictures are nobody's to remove."""
    aged.rename(aged.with_name("damaged.sqlite3"))
    pictures = sorted((aged.parent / "pictures").rglob("*.png"))
    for picture in pictures:
        os.utime(picture, (NOW_S - 365 * DAY_S, NOW_S - 365 * DAY_S))
    assert pruned(aged, picture_mb=0, picture_days=1, free_mb=1e9) == Pruned()
    assert sorted((aged.parent / "pictures").rglob("*.png")) == pictures


def test_what_a_power_cut_left_forgotten_but_not_removed_goes_at_the_next_time(
    aged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(_: str, *, dir_fd: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as power:
        power.setattr(os, "unlink", cut)
        with pytest.raises(KeyboardInterrupt):
            pruned(aged, picture_days=6.5)
    assert pruned(aged).pictures == 3
    assert left(aged)[1] == list(RECORDS)[3:]
    with Journal.open_read_only(aged) as journal:
        assert journal.events()[-1].detail == "3 pictures of records 1 to 3: older than 6.5 days"


def test_a_picture_that_cannot_be_removed_stays_in_its_row_and_the_next_goes_in_its_place(
    aged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def refused(name: str, *, dir_fd: int) -> None:
        if name.startswith(("000001", "000004")):
            raise PermissionError(13, "Permission denied")
        unlink(name, dir_fd=dir_fd)

    with monkeypatch.context() as others:
        others.setattr(os, "unlink", refused)
        gone = pruned(aged, picture_mb=6.5 * size_mb(aged))
        assert (gone.pictures, gone.problem) == (4, "pictures/S1/000001-frame.png: Permission denied")
        assert left(aged)[1] == [1, 2, 3, 4, 9, 10]
        assert pruned(aged, frame_days=6.5).frames == 2
        assert left(aged) == ([1, *range(4, 11)], [1, 4, 9, 10])
    assert pruned(aged, frame_days=6.5).frames == 1
    assert left(aged) == ([*range(4, 11)], [4, 9, 10])


def elsewhere(path: Path) -> Path:
    """Make a file that is none of the journal's pictures."""
    (path.parent / "etc").mkdir()
    file = path.parent / "etc" / "000001-frame.png"
    file.write_bytes(b"precious")
    return file


@pytest.mark.parametrize("where", ["etc/000001-frame.png", "pictures/../etc/000001-frame.jpg", "{}"])
@pytest.mark.parametrize("record", [1, 99])
def test_a_row_that_names_another_file_removes_nothing(aged: Path, where: str, record: int) -> None:
    file = elsewhere(aged)
    with Journal.open(aged) as journal:
        with journal.transaction() as connection:
            row = (record, "overlay", where.format(file), "x")
            connection.execute("INSERT INTO removals VALUES (?, ?, ?, ?)", row)
        gone = prune(journal, Policy(), now_s=NOW_S)
    assert gone.pictures == 0
    assert "not in the folder pictures" in gone.problem
    assert file.read_bytes() == b"precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has more to lose than its own files")
@pytest.mark.parametrize("link", ["pictures", "pictures/S1"])
def test_root_removes_nothing_through_a_link(aged: Path, link: str) -> None:
    kept = aged.parent / "kept"
    (aged.parent / link).rename(kept)
    (aged.parent / link).symlink_to(kept)
    gone = pruned(aged, picture_mb=0)
    assert gone.pictures == 0
    assert gone.problem.startswith("pictures/S1/000001-frame.png: ")
    assert len(list(kept.rglob("*.png"))) == 10


def test_each_step_lets_others_in_and_what_it_did_stays_done(aged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    with Journal.open(aged) as journal:
        going = retention.steps(journal, Policy(picture_days=4.5, frame_days=4.5), now_s=NOW_S)
        assert [next(going).pictures for _ in range(3)] == [0, 2, 2]
        going.close()  # as a kill would
    assert left(aged) == (list(RECORDS), list(RECORDS)[4:])
    with Journal.open(aged) as journal:
        going = retention.steps(journal, Policy(frame_days=4.5), now_s=NOW_S)
        assert [next(going).frames for _ in range(3)] == [0, 2, 2]
        going.close()
    assert left(aged)[0] == list(RECORDS)[4:]


def test_two_that_make_room_for_the_same_excess_do_not_do_it_twice(aged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_LOCK_TIMEOUT_S", 0.0)
    half = Policy(picture_mb=5.5 * size_mb(aged))
    with Journal.open(aged) as journal, Journal.open(aged) as another:
        begun = steps(journal, half, now_s=NOW_S)
        next(begun)
        for throw_away in (lambda: next(steps(another, half, now_s=NOW_S)), lambda: prune(another, half, now_s=NOW_S)):
            with pytest.raises(JournalLocked, match="by another"):
                throw_away()
        assert sum(begun, Pruned()).pictures == 5
        assert prune(another, half, now_s=NOW_S).pictures == 0
        # Who gives up half-way keeps nobody else out.
        given_up = steps(journal, half, now_s=NOW_S)
        next(given_up)
        given_up.close()
        assert prune(another, half, now_s=NOW_S).pictures == 0


def test_what_it_costs_grows_as_what_there_is(aged: Path, result: FrameResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that SQLite steps over, and files that are looked at: twice as much of all costs twice as much."""
    monkeypatch.setattr(retention, "_BATCH", 2)
    monkeypatch.setattr(retention, "_PAGE", 2)

    def cost(path: Path, frames: int) -> tuple[int, int]:
        steps = looked = 0
        (path.parent / "pictures" / "S1").mkdir(parents=True)

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        stat = Path.stat

        def look(file: Path, **options: Any) -> os.stat_result:
            nonlocal looked
            looked += file.suffix == ".jpg"
            return stat(file, **options)

        with Journal.open(path) as journal:
            sample = journal.sample("S1")
            for number in range(frames):
                record = journal.record(sample, replace(result, wall_time_s=NOW_S - (frames - number) * DAY_S))
                picture = path.parent / "pictures" / "S1" / f"{record}.jpg"
                picture.write_bytes(b"x" * 1000)
                journal.attach_picture(record, "frame", picture)
            with monkeypatch.context() as watched, journal.maintenance() as connection:
                watched.setattr(Path, "stat", look)
                connection.set_progress_handler(step, 10)
                policy = Policy(picture_days=0.75 * frames, picture_mb=frames / 2000, frame_days=frames / 4)
                gone = prune(journal, policy, now_s=NOW_S)
                connection.set_progress_handler(None, 0)
        assert gone.pictures == gone.frames == 0.75 * frames
        return steps, looked

    few, many = cost(aged.parent / "few" / "j.sqlite3", 40), cost(aged.parent / "many" / "j.sqlite3", 160)
    assert many[0] < 5 * few[0]
    assert many[1] < 5 * few[1]
    assert many[1] < 2 * 160


def test_a_review_is_kept_with_the_frame_and_in_the_trail(aged: Path) -> None:
    with Journal.open(aged) as journal:
        journal.review(2, "normal", "on second thoughts")
        review = journal.frame(2).review
        assert review is not None
        assert (review.label, review.note) == ("normal", "on second thoughts")
        assert journal.frame(1).review is None
        told = [event.detail for event in journal.events() if event.kind == "review"]
        assert told == ["record 2: ALL, sure", "record 3: MM", "record 2: normal, on second thoughts"]
        with pytest.raises(RecordNotFound):
            journal.review(99, "ALL")
