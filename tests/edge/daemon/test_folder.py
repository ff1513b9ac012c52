"""Images that other programs drop are each judged once and put aside, whatever keeps them from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest

from edge import pipeline
from edge.camera.guard import told_nobody
from edge.daemon.folder import DroppedImage, FolderTrigger, WatchedFolder, make
from edge.daemon.orders import Order
from edge.daemon.triggers import Surroundings
from edge.errors import ImageError, OutputError
from edge.frame import Frame
from edge.journal import Journal
from edge.line import Shot
from edge.settings import Config

IMAGE = cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))[1].tobytes()
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite3") as journal:
        yield journal


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def noted() -> list[str]:
    return []


@pytest.fixture
def watched(drop: Path, journal: Journal, noted: list[str]) -> Callable[[], FolderTrigger]:
    """Watch the folder, as a service that begins anew does."""

    def watch() -> FolderTrigger:
        settings = Config(watch_folder=str(drop), um_per_px=0.3)
        orders: list[Order] = []
        surroundings = Surroundings(settings, None, orders.append, journal, lambda *fact: noted.append(": ".join(fact)))
        trigger = make(surroundings)
        assert trigger is not None
        return trigger

    return watch


def given(trigger: FolderTrigger, images: int) -> list[Any]:
    """Ask, as often as it wants to be asked, until so many images were given."""
    shots: list[Shot] = []
    while len(shots) < images:
        if (shot := trigger.shot()) is not None:
            shots.append(shot)
        else:
            Event().wait(0.2)
    return shots


def lying(drop: Path) -> list[str]:
    return sorted(str(path.relative_to(drop)) for path in drop.rglob("*.png"))


def log(journal: Journal, frame: Frame) -> None:
    result = pipeline.measure(replace(frame, um_per_px=0.3))
    journal.record(journal.sample("S-1"), result)


def test_a_dropped_image_is_given_once_and_put_aside(drop: Path, watched: Callable[[], FolderTrigger]) -> None:
    for name in ("b.png", "a.png"):
        (drop / name).write_bytes(IMAGE)
    (drop / "torn.png").write_bytes(IMAGE[:6])
    trigger = watched()
    shots = given(trigger, 3)
    assert trigger.shot() is None
    for shot in shots:
        assert isinstance(shot.errand, DroppedImage)
        try:
            frame = shot.take(told_nobody)
        except ImageError as error:
            shot.errand.failed(error)
        else:
            assert frame.um_per_px == 0.3
            shot.errand.done({})
    assert lying(drop) == ["done/a.png", "done/b.png", "failed/torn.png"]


def test_a_second_image_of_a_name_keeps_its_own_however_long_the_name_is(
    drop: Path, watched: Callable[[], FolderTrigger], noted: list[str]
) -> None:
    trigger = watched()
    longest = "ü" * 125 + "x.png"  # 255 bytes
    for _ in range(3):
        (drop / longest).write_bytes(IMAGE)
        given(trigger, 1)[0].errand.done({})
    assert lying(drop) == sorted([f"done/{longest}", *(f"done/{'ü' * 124}-{number}.png" for number in (2, 3))])
    assert noted == []


def test_an_image_that_was_taken_back_is_no_failure_of_the_service(
    drop: Path, watched: Callable[[], FolderTrigger], noted: list[str]
) -> None:
    image = drop / "a.png"
    image.write_bytes(IMAGE)
    (shot,) = given(watched(), 1)
    image.unlink()
    with pytest.raises(ImageError) as gone:
        shot.take(told_nobody)
    shot.errand.failed(gone.value)
    assert noted == []


def test_of_an_image_with_pages_it_is_told_that_one_is_judged(drop: Path, watched: Callable[[], FolderTrigger]) -> None:
    cv2.imwritemulti(str(drop / "a.tif"), [np.full((40, 40, 3), 200, np.uint8)] * 3)
    (shot,) = given(watched(), 1)
    told: list[str] = []
    assert shot.take(lambda _, detail: told.append(detail)).name == str(drop / "a.tif")
    assert told == [f"{drop / 'a.tif'} has 3 pages, of which the first is judged"]


@pytest.mark.parametrize("is_read", [True, False], ids=["after it was read", "while it is read"])
def test_an_image_saved_over_one_that_is_being_judged_is_judged_in_its_turn(
    drop: Path, watched: Callable[[], FolderTrigger], is_read: bool
) -> None:
    image = drop / "live.png"
    image.write_bytes(IMAGE)
    trigger = watched()
    (first,) = given(trigger, 1)
    image.write_bytes(cv2.imencode(".png", np.full((40, 40, 3), 200, np.uint8))[1].tobytes())
    if is_read:
        first.errand.done({})
    else:
        first.errand.failed(ImageError("live.png", "the file is truncated"))
    assert lying(drop) == ["live.png"]
    (second,) = given(trigger, 1)
    assert second.take(told_nobody).pixels.shape == (40, 40, 3)
    second.errand.done({})
    assert lying(drop) == ["done/live.png"]


def test_a_folder_for_what_is_done_that_was_removed_is_made_again(
    drop: Path, watched: Callable[[], FolderTrigger]
) -> None:
    (drop / "a.png").write_bytes(IMAGE)
    (shot,) = given(watched(), 1)
    (drop / "done").rmdir()
    shot.errand.done({})
    assert lying(drop) == ["done/a.png"]


@pytest.mark.parametrize("aside", ["done", "failed"])
def test_a_folder_from_which_nothing_can_be_put_aside_is_refused_before_any_image_is_judged(
    drop: Path, aside: str
) -> None:
    elsewhere = Path("/dev/shm", f"wbc-edge-test-{os.getpid()}")  # a file system of its own
    if not elsewhere.parent.is_dir() or elsewhere.parent.stat().st_dev == drop.stat().st_dev:
        pytest.skip("no second file system")
    elsewhere.mkdir()
    try:
        (drop / aside).symlink_to(elsewhere)
        with pytest.raises(OutputError, match=r"on the same disk"):
            WatchedFolder(drop)
        assert list(elsewhere.iterdir()) == []
        assert [path for path in drop.rglob("*") if path.is_file()] == []
    finally:
        elsewhere.rmdir()


STICKY = """
import os, sys
from pathlib import Path
from edge.daemon.folder import WatchedFolder
os.chmod(sys.argv[1], 0o1777)
os.setuid(65534)
try:
    WatchedFolder(Path(sys.argv[1]))
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(not AS_ROOT, reason="only root can be somebody else")
def test_a_folder_from_which_only_the_owner_of_an_image_may_move_it_is_refused(tmp_path: Path) -> None:
    drop = Path("/dev/shm", f"wbc-edge-test-{os.getpid()}")  # into which anybody may look
    drop.mkdir()
    try:
        run = subprocess.run([sys.executable, "-c", STICKY, drop], capture_output=True, text=True, check=True)
        assert "sticky" in run.stdout
    finally:
        for left in [*drop.iterdir(), drop]:
            left.rmdir()


READ_ONLY = """
set -e
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
exec "$2" -c "
from pathlib import Path
from edge.daemon.folder import WatchedFolder
try:
    WatchedFolder(Path('$1'))
except OSError as error:
    print(error)
"
"""


def test_a_folder_that_the_unit_keeps_from_it_is_refused_with_the_way_out(drop: Path) -> None:
    confined = ["unshare", "--mount", *([] if AS_ROOT else ["--map-root-user"]), "bash", "-c", READ_ONLY, "bash"]
    run = subprocess.run([*confined, drop, sys.executable], capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip(f"no mounts here: {run.stderr}")
    assert "/var/lib/wbc-edge/drop" in run.stdout
    assert "ReadWritePaths=" in run.stdout


@pytest.fixture
def in_the_way(drop: Path) -> Callable[[], None]:
    """Keep images from being put aside, after the service began: a file lies where the folder was."""

    def obstruct() -> None:
        (drop / "done").rmdir()
        (drop / "done").write_text("in the way")

    return obstruct


def test_an_image_that_cannot_be_put_aside_is_left_and_not_judged_again(
    drop: Path,
    watched: Callable[[], FolderTrigger],
    in_the_way: Callable[[], None],
    noted: list[str],
    journal: Journal,
) -> None:
    (drop / "a.png").write_bytes(IMAGE)
    trigger = watched()
    (shot,) = given(trigger, 1)
    log(journal, shot.take(told_nobody))
    in_the_way()
    shot.errand.done({})
    assert [note.startswith(f"image: image {drop}/a.png: cannot be put aside") for note in noted] == [True]
    (drop / "b.png").write_bytes(IMAGE)
    assert [each.errand.path.name for each in given(trigger, 1)] == ["b.png"]
    # Once it changes, it is another.
    (drop / "a.png").write_bytes(IMAGE + b" ")
    assert [each.errand.path.name for each in given(trigger, 1)] == ["a.png"]


def test_an_image_that_was_logged_just_before_a_power_cut_is_put_aside_and_not_judged_again(
    drop: Path, watched: Callable[[], FolderTrigger], noted: list[str], journal: Journal
) -> None:
    for name in ("a.png", "b.png"):
        (drop / name).write_bytes(IMAGE)
    shots = {shot.errand.path.name: shot for shot in given(watched(), 2)}
    frame = shots["a.png"].take(told_nobody)
    log(journal, frame)  # and then the power goes
    trigger = watched()
    assert noted == [f"image: {drop}/a.png is logged already, and not judged again"]
    assert lying(drop) == ["b.png", "done/a.png"]
    assert [shot.errand.path.name for shot in given(trigger, 1)] == ["b.png"]


def test_another_image_of_a_name_that_was_logged_is_judged_though_its_time_is_older(
    drop: Path, watched: Callable[[], FolderTrigger], noted: list[str], journal: Journal
) -> None:
    (drop / "a.png").write_bytes(IMAGE)
    (shot,) = given(watched(), 1)
    log(journal, shot.take(told_nobody))
    shot.errand.done({})
    (drop / "a.png").write_bytes(IMAGE)
    os.utime(drop / "a.png", (1e9, 1e9))
    given(watched(), 1)
    assert noted == []


@pytest.mark.parametrize("logged_s", [[3600.0], [3600.0, -60.0]], ids=["it was last", "it was once"])
def test_an_image_of_a_name_that_was_logged_when_the_clock_was_ahead_is_judged(
    drop: Path, watched: Callable[[], FolderTrigger], noted: list[str], journal: Journal, logged_s: list[float]
) -> None:
    (drop / "a.png").write_bytes(IMAGE)
    (shot,) = given(watched(), 1)
    frame = shot.take(told_nobody)
    for later_s in logged_s:
        log(journal, replace(frame, wall_time_s=frame.wall_time_s + later_s))
    assert [each.errand.path.name for each in given(watched(), 1)] == ["a.png"]
    assert noted == []


class PutAsideMeanwhile(WatchedFolder):
    """The thread that logs puts an image aside while this one looks."""

    put = False

    def _images(self) -> Iterator[tuple[Path, os.stat_result]]:
        listed = list(super()._images())
        if self.put:
            self.put_aside(self.path / "a.png", "done")
        yield from listed


def test_an_image_that_is_put_aside_during_a_look_is_not_given_again(drop: Path) -> None:
    (drop / "a.png").write_bytes(IMAGE)
    os.utime(drop / "a.png", (1.0, 1.0))
    folder = PutAsideMeanwhile(drop)
    folder.whole()
    assert folder.whole() == [drop / "a.png"]
    folder.put = True
    assert folder.whole() == []
    assert lying(drop) == ["done/a.png"]
