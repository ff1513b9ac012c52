"""What such devices suffer: full and failing disks, clocks that jump, cameras that lie, memory that runs out."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import cv2
import pytest
from beds import disk
from beds.process import Service

from edge.errors import JournalDiskFailed, ServiceUnavailable
from edge.journal import Journal

TEN_YEARS_S = 10 * 365.25 * 86_400
TO_THE_LAST_BYTE = "keep_free_mb = 0\nleast_free_mb = 0\n"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services with the camera that fails on cue, and end them."""
    running: list[Service] = []
    folder = tmp_path / "service"
    folder.mkdir()

    def start(settings: str = "", state: Path | None = None, **how) -> Service:
        usual = f'camera = "faulty:{folder / "mode"}"\nsize = "640x480"\num_per_px = 0.4\n'
        running.append(Service(folder, state or folder / "state", usual + settings, **how))
        return running[-1]

    yield start
    for each in running:
        each.close()


def needs(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"needs {program}")


def take(one: Service, enough: int, within_s: float = 120.0) -> set[int]:
    """Have frames taken until so many are acknowledged; what is refused is not counted."""
    acknowledged: set[int] = set()
    deadline_s = time.monotonic() + within_s
    while len(acknowledged) < enough:
        assert time.monotonic() < deadline_s, one.log[-3000:]
        try:
            acknowledged.add(one.ask("frame")["record"])
        except ServiceUnavailable:
            time.sleep(0.1)
    return acknowledged


def take_until_refused(one: Service, acknowledged: set[int]) -> None:
    """Have frames taken until one is refused."""
    for _ in range(2000):
        acknowledged.add(one.ask("frame")["record"])


def fill(file: Path) -> None:
    """Write until there is no space left."""
    with suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass


def leave(place: Path, name: str, megabytes: int) -> None:
    """Fill a disk until only so much is free."""
    excess = shutil.disk_usage(place).free - megabytes * 1_000_000
    if excess > 0:
        with suppress(OSError), (place / name).open("wb", buffering=0) as stream:
            stream.write(bytes(excess))


@pytest.mark.parametrize("mounted", [disk.memory, disk.ext4], ids=["tmpfs", "ext4"])
def test_a_full_disk_stops_it_from_taking_frames_and_space_lets_it_go_on(
    service: Callable[..., Service], tmp_path: Path, mounted: Callable[..., AbstractContextManager[Path]]
) -> None:
    with mounted(tmp_path, 12) as place:
        one = service(TO_THE_LAST_BYTE, place / "state")
        acknowledged = take(one, 5)
        ballast = place / "ballast"
        fill(ballast)
        with pytest.raises(ServiceUnavailable, match="full"):
            take_until_refused(one, acknowledged)
        assert "full" in one.until(lambda report: report["state"] == "degraded")["reason"]
        ballast.unlink()
        one.until(lambda report: report["state"] == "ready")
        acknowledged |= take(one, 5)
        assert one.end() == 0
        assert acknowledged <= one.rows()


def test_a_full_disk_costs_pictures_and_no_row(service: Callable[..., Service], tmp_path: Path) -> None:
    with disk.ext4(tmp_path, 12) as place:
        one = service('save = "frames"\n' + TO_THE_LAST_BYTE, place / "state")
        acknowledged = take(one, 5)
        deadline_s = time.monotonic() + 120
        while time.monotonic() < deadline_s:
            try:
                acknowledged.add(one.ask("frame")["record"])
            except ServiceUnavailable:
                break
            if one.status()["failed"] >= 3:
                break
        # Space is there again, and all that was acknowledged too.
        shutil.rmtree(place / "state" / "pictures")
        one.until(lambda report: report["state"] == "ready")
        acknowledged |= take(one, 3)
        assert one.end() == 0
        assert acknowledged <= one.rows()


def test_pictures_stop_before_capture_and_the_log_of_what_was_done_never(
    service: Callable[..., Service], tmp_path: Path
) -> None:
    with disk.ext4(tmp_path, 80) as place:
        one = service('save = "frames"\nkeep_free_mb = 40\nleast_free_mb = 15\n', place / "state")
        acknowledged = take(one, 3)
        one.until(lambda report: report["pictures"] == "kept")
        leave(place, "first", 30)
        one.until(lambda report: not report["pictures"])
        acknowledged |= take(one, 3)
        leave(place, "second", 5)
        assert "no frame is captured" in one.until(lambda report: report["state"] == "degraded")["reason"]
        with pytest.raises(ServiceUnavailable):
            one.ask("frame")
        leave(place, "third", 0)
        assert any("no frame is captured" in detail for detail in one.events("service degraded"))
        for name in ("first", "second", "third"):
            (place / name).unlink(missing_ok=True)
        one.until(lambda report: report["state"] == "ready" and report["pictures"] == "kept")
        acknowledged |= take(one, 3)
        assert one.end() == 0
        assert acknowledged <= one.rows()
        told = one.events("disk")
        assert any("no more pictures are kept" in detail for detail in told), told


def test_a_disk_that_becomes_read_only_degrades_it_until_it_can_be_written_again(
    service: Callable[..., Service], tmp_path: Path
) -> None:
    with disk.ext4(tmp_path, 30) as place:
        one = service(TO_THE_LAST_BYTE, place / "state")
        acknowledged = take(one, 5)
        # The kernel takes an error of this disk's file system for real, and makes it read-only under open files.
        subprocess.run(["mount", "-o", "remount,errors=remount-ro", place], check=True)
        device = subprocess.run(["findmnt", "-no", "SOURCE", place], capture_output=True, text=True, check=True)
        name = Path(device.stdout.strip()).name
        Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("wbc-edge's test of a failing disk")
        with pytest.raises(ServiceUnavailable):
            one.ask("frame")
        assert "disk" in one.until(lambda report: report["state"] == "degraded")["reason"]
        # It is degraded and lets go of the disk, which then can be mended and comes back.
        subprocess.run(["umount", place], check=True)
        subprocess.run(["e2fsck", "-y", tmp_path / "disk.img"], check=False, capture_output=True)
        subprocess.run(["mount", "-o", "loop", tmp_path / "disk.img", place], check=True)
        one.until(lambda report: report["state"] == "ready")
        acknowledged |= take(one, 5)
        assert one.end() == 0
        assert acknowledged <= one.rows()


def test_a_disk_that_fails_now_and_then_loses_no_acknowledged_row(
    service: Callable[..., Service], tmp_path: Path, figures
) -> None:
    if subprocess.run([disk.DEBIANS_PYTHON, "-c", "import fusepy"], check=False, capture_output=True).returncode:
        pytest.skip("needs python3-fusepy")
    with disk.failing(tmp_path) as failing:
        state, settings = failing.place / "state", 'save = "frames"\n' + TO_THE_LAST_BYTE
        one = service(settings, state)
        acknowledged = take(one, 5)
        begun_s = time.monotonic()
        failing.fail(0.01)
        acknowledged |= take(one, 500, 300)
        took_s = time.monotonic() - begun_s
        writes, syncs = failing.failed("write"), failing.failed("sync")
        assert min(writes, syncs) > 0, "no failure was injected"
        degraded = one.log.count("tried again in")
        # Others read meanwhile, who share the index of SQLite's log with it.
        for _ in range(50):
            acknowledged |= take(one, 2)
            with suppress(JournalDiskFailed):  # a reader may have to write that index, too
                assert acknowledged <= one.rows()
        # At worst every write fails: it says so, and is ready again once only some do.
        failing.fail(1.0)
        with pytest.raises(ServiceUnavailable, match="disk I/O error"):
            take_until_refused(one, acknowledged)
        told = one.until(lambda report: report["state"] == "degraded")
        assert "disk I/O error" in told["reason"]
        assert told["last_error"] == told["reason"]
        failing.fail(0.01)
        mended_s = time.monotonic()
        one.until(lambda report: report["state"] == "ready")
        ready_s = time.monotonic() - mended_s
        acknowledged |= take(one, 100, 300)
        # Killed, it is begun anew on a disk that still fails.
        one.process.kill()
        one.process.wait()
        again = service(settings, state)
        acknowledged |= take(again, 100, 300)
        assert again.end() == 0
        failing.fail(0)
        assert acknowledged <= again.rows()
        assert any("writes failed and were made again" in detail for detail in again.events("disk"))
        with Journal.open_read_only(state / "journal.sqlite3") as journal:
            referred = {path for frame in journal.frames() for path in frame.pictures.values()}
        assert len(referred) > 500
        assert [path for path in referred if cv2.imread(str(path)) is None] == []
    figures(
        "1 % of disk writes and syncs fail",
        acknowledged=len(acknowledged),
        lost=0,
        failed_writes=writes,
        failed_syncs=syncs,
        degraded_times=degraded,
        first_500_s=round(took_s, 1),
        ready_after_all_failed_s=round(ready_s, 1),
    )


@pytest.mark.parametrize("sign", ["+", "-"])
def test_a_clock_that_jumps_ten_years_changes_times_and_nothing_else(
    service: Callable[..., Service], tmp_path: Path, sign: str
) -> None:
    needs("faketime")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # Under faketime Python cannot wait for a process for a limited time, as one does that looks for a GPU: its
        # sleep ends with EINVAL.
        "VK_DRIVER_FILES": "/nonexistent",
    }
    one = service(
        'interval = 0.2\nsave = "frames"\nkeep_frame_days = 30\nkeep_picture_days = 30\n', environment=environment
    )
    before = take(one, 5)
    clock.write_text(f"{sign}{TEN_YEARS_S:.0f}")
    after = take(one, 5)
    assert one.until(lambda report: report["frames"] >= 20)["state"] == "ready"
    # What the service throws away, it throws away when it starts, too.
    one.ask("reload")
    one.until(lambda report: report["state"] == "ready")
    after |= take(one, 5)
    clock.write_text("+0")
    after |= take(one, 5)
    assert one.end() == 0
    assert before | after <= one.rows()


def test_a_camera_that_hangs_is_left_and_opened_again(service: Callable[..., Service], figures) -> None:
    one = service("interval = 0.1\ntimeout = 2\n")
    one.until(lambda report: report["frames"] >= 5)
    one.mode.write_text("hang")
    one.until(lambda report: report["camera_lost"] >= 2)
    mended_s, before = time.monotonic(), one.status()["frames"]
    one.mode.write_text("good")
    one.until(lambda report: report["frames"] > before)
    figures("camera that hung: from its recovery to the next verdict", seconds=round(time.monotonic() - mended_s, 1))
    assert one.events("camera lost")[0].count("no answer within 2 s")
    assert one.events("camera reopened")
    assert one.end() == 0
    one.rows()


def test_a_camera_that_is_lost_comes_back(service: Callable[..., Service], figures) -> None:
    one = service("interval = 0.1\ntimeout = 2\n")
    one.until(lambda report: report["frames"] >= 5)
    before, lost_s = one.status()["frames"], time.monotonic()
    one.mode.write_text("lost")
    one.until(lambda report: report["camera_lost"] >= 1)
    one.mode.write_text("good")
    one.until(lambda report: report["frames"] > before + 1)
    figures("camera lost for a moment: from the loss to the next verdict", seconds=round(time.monotonic() - lost_s, 1))
    one.mode.write_text("lost")
    one.until(lambda report: report["state"] == "degraded", 120)
    before, mended_s = one.status()["frames"], time.monotonic()
    one.mode.write_text("good")
    one.until(lambda report: report["frames"] > before, 120)
    figures(
        "camera away until degraded: from its return to the next verdict", seconds=round(time.monotonic() - mended_s, 1)
    )
    assert one.end() == 0


def test_black_and_short_and_stale_frames_are_logged_for_what_they_are(service: Callable[..., Service]) -> None:
    one = service()
    take(one, 2)
    one.mode.write_text("black")
    black = one.ask("frame")
    assert black["verdict"] == "indeterminate"
    for wrong, why in (("short", "640x480 and then 640x160"), ("stale", "same picture twice")):
        acknowledged = take(one, 1)
        one.mode.write_text(wrong)
        with pytest.raises(ServiceUnavailable, match=why):
            take_until_refused(one, acknowledged)
        assert one.until(lambda report: report["state"] == "degraded")["camera_lost"] >= 5
        one.mode.write_text("good")
        one.until(lambda report: report["state"] == "ready")
        assert acknowledged <= one.rows()
    assert one.end() == 0


def test_a_model_that_turns_bad_on_the_disk_is_said_and_healed(service: Callable[..., Service], tmp_path: Path) -> None:
    from edge.model import shelf

    own = tmp_path / "own.wbc"
    shutil.copy(shelf.find(None), own)
    one = service(f'model = "{own}"\n')
    acknowledged = take(one, 3)
    content = own.read_bytes()
    own.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    acknowledged |= take(one, 3)
    one.process.kill()
    one.process.wait()
    again = service(f'model = "{own}"\n')
    assert "own.wbc" in again.until(lambda report: report["state"] == "degraded")["reason"]
    own.write_bytes(content)
    again.until(lambda report: report["state"] == "ready")
    acknowledged |= take(again, 3)
    assert again.end() == 0
    assert acknowledged <= again.rows()


def test_memory_that_runs_out_ends_at_most_the_process(service: Callable[..., Service], figures) -> None:
    one = service()
    acknowledged = take(one, 3)
    limit = int(Path(f"/proc/{one.process.pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
    subprocess.run(["prlimit", f"--pid={one.process.pid}", f"--as={limit + 2_000_000}"], check=True)
    deadline_s = time.monotonic() + 60
    one.mode.write_text("good")
    one.config.write_text(one.config.read_text().replace("640x480", "5120x3840"))
    one.mode.with_suffix(".fields.npy").unlink()
    with suppress(ServiceUnavailable):
        one.ask("reload")
    while one.process.poll() is None and time.monotonic() < deadline_s:
        if one.status().get("state") == "degraded":
            break
        time.sleep(0.2)
    outcome = "ended" if one.process.poll() is not None else "degraded"
    figures("memory ran out", outcome=outcome, said=one.log.strip().splitlines()[-1][:200])
    one.close()
    one.mode.with_suffix(".fields.npy").unlink(missing_ok=True)
    again = service()
    acknowledged |= take(again, 3)
    assert again.end() == 0
    assert acknowledged <= again.rows()
