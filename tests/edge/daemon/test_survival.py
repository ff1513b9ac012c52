"""The service hung, waiting and killed: whether it tells that it is alive, and what the next one finds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from running import PATIENCE_S, Running

from edge.errors import ServiceUnavailable

HANGING = """
import threading
from edge import pipeline
judge, judged = pipeline.judge, []

def hang(prepared, model):
    judged.append(prepared)
    if len(judged) == 3:
        threading.Event().wait()
    return judge(prepared, model)

pipeline.judge = hang
from edge.cli import main
main()
"""


def test_a_stage_that_hangs_is_not_told_alive_and_what_was_acknowledged_is_safe(
    service: Callable[..., Running],
) -> None:
    settings = 'camera = "sim:MM"\nsize = "640x480"\ninterval = 0.2\n'
    one = service(settings, watchdog_s=0.6, command=[sys.executable, "-c", HANGING, "run"])
    one.told("READY=1")
    one.until(lambda report: report["frames"] == 2)
    deadline_s = time.monotonic() + PATIENCE_S
    while one.tells("WATCHDOG=1", 2.0):  # while the third frame is on its way
        assert time.monotonic() < deadline_s
    assert one.ask("status")["frames"] == 2
    one.process.kill()
    with one.journal() as journal:
        assert [record.record for record in journal.frames()] == [1, 2]
        assert journal.check() == []


HANGING_FOLDER = """
import threading
from edge.daemon import folder, service
looks, whole = [], folder.WatchedFolder.whole

def hang(watched):
    looks.append(watched)
    if len(looks) == 2:
        threading.Event().wait()
    return whole(watched)

folder.WatchedFolder.whole = hang
service._OVERDUE_S = 1.0
from edge.cli import main
main()
"""


def test_a_folder_that_hangs_is_not_told_alive(service: Callable[..., Running], tmp_path: Path) -> None:
    settings = f'camera = "none"\nwatch_folder = "{tmp_path}/drop"\num_per_px = 0.1\n'
    one = service(settings, watchdog_s=0.6, command=[sys.executable, "-c", HANGING_FOLDER, "run"])
    one.told("READY=1")
    deadline_s = time.monotonic() + PATIENCE_S
    while one.tells("WATCHDOG=1", 2.0):
        assert time.monotonic() < deadline_s


def test_it_is_alive_while_it_waits(service: Callable[..., Running]) -> None:
    one = service(watchdog_s=0.3)
    one.told("READY=1")
    begun_s = time.monotonic()
    for _ in range(5):
        one.told("WATCHDOG=1")
    assert time.monotonic() - begun_s < 5


HANGING_CAMERA = """
import threading
from edge.camera import register
register("sim", lambda *_: threading.Event().wait(), "sim")
from edge.cli import main
main()
"""


def test_it_is_alive_while_it_waits_for_a_camera_that_does_not_open(service: Callable[..., Running]) -> None:
    settings = 'camera = "sim:MM"\ntimeout = 3600\n'
    one = service(settings, watchdog_s=0.3, command=[sys.executable, "-c", HANGING_CAMERA, "run"])
    # Before it was ever ready, systemd would wait for TimeoutStartSec= only.
    one.told("EXTEND_TIMEOUT_USEC=300000")
    for _ in range(2):
        one.told("WATCHDOG=1")
    assert one.ask("status")["state"] == "starting"


def test_systemd_waits_for_a_journal_that_is_brought_up_to_date(service: Callable[..., Running]) -> None:
    one = service()
    # Before all else: a journal of years takes longer than TimeoutStartSec=.
    one.told("EXTEND_TIMEOUT_USEC=1800000000")
    one.told("READY=1")


HUNG_CAMERA = """
import threading
from edge.camera import register, sim

class Hung(sim.SimulatedCamera):
    def read(self):
        if self._sequence == {frames}:
            threading.Event().wait()
        return super().read()

register("sim", lambda argument, settings: Hung(sim.parse_options(argument), settings), "sim")
from edge.cli import main
main()
"""


@pytest.mark.parametrize("camera", [HANGING_CAMERA, HUNG_CAMERA.format(frames=0)], ids=["opening", "first frame"])
def test_told_to_end_it_waits_for_no_camera(service: Callable[..., Running], camera: str) -> None:
    one = service('camera = "sim:MM"\ntimeout = 3600\n', watchdog_s=0.3, command=[sys.executable, "-c", camera, "run"])
    one.told("WATCHDOG=1")
    one.told("WATCHDOG=1")
    assert one.end().splitlines()[-1] == "stopped"  # within the patience of a test
    assert one.process.returncode == 0
    with one.journal() as journal:
        assert "service degraded" not in [event.kind for event in journal.events()]


def test_degraded_it_leaves_the_gpu(
    service: Callable[..., Running], gpu: Callable[[str], None], tmp_path: Path
) -> None:
    gpu("works")
    settings = f'camera = "v4l2:{tmp_path / "video9"}"\num_per_px = 0.1\naccelerator = "gpu"\n'
    one = service(settings)
    one.told("STATUS=degraded")
    assert children(one) == []


def children(one: Running) -> list[str]:
    """List what processes a service has begun and not ended."""
    threads = Path(f"/proc/{one.process.pid}/task").iterdir()
    begun = [number for thread in threads for number in (thread / "children").read_text().split()]
    return [Path(f"/proc/{number}/cmdline").read_text() for number in begun]


def refused_frame(one: Running, meanwhile: Callable[[], object]) -> str:
    """Ask for a frame that the camera does not give; return what is told after something else was done meanwhile."""
    refused: list[ServiceUnavailable] = []

    def wait_for_a_frame() -> None:
        try:
            one.ask("frame", "S-1")
        except ServiceUnavailable as error:
            refused.append(error)

    asker = Thread(target=wait_for_a_frame)
    asker.start()
    time.sleep(0.5)  # or it is refused before it begins
    meanwhile()
    asker.join()
    return str(refused)


def test_told_to_end_it_refuses_the_frame_that_its_camera_does_not_give(service: Callable[..., Running]) -> None:
    settings = 'camera = "sim:MM"\nsize = "640x480"\ntimeout = 3600\n'
    one = service(settings, command=[sys.executable, "-c", HUNG_CAMERA.format(frames=2), "run"])
    one.told("READY=1")
    assert one.ask("frame", "S-1")["record"] == 1
    ended: list[str] = []
    assert "ends" in refused_frame(one, lambda: ended.append(one.end()))
    assert ended[0].splitlines()[-1] == "stopped"


def test_begun_anew_it_refuses_the_frame_that_its_camera_does_not_give(service: Callable[..., Running]) -> None:
    settings = 'camera = "sim:MM"\nsize = "640x480"\ntimeout = 3600\n'
    one = service(settings, command=[sys.executable, "-c", HUNG_CAMERA.format(frames=2), "run"])
    one.told("READY=1")
    assert one.ask("frame", "S-1")["record"] == 1
    assert "begins anew" in refused_frame(one, lambda: one.ask("reload"))
    assert one.ask("frame", "S-1")["record"] == 2


EXCLUSIVE_CAMERA = """
from edge.camera import register, sim
from edge.errors import CameraError, JournalLocked
from edge.journal import Journal
held, log = [], Journal.event

class Exclusive(sim.SimulatedCamera):
    def __init__(self, *given):
        if held:
            raise CameraError("sim", "it does not open", "Is another program using it?")
        super().__init__(*given)
        held.append(self)
    def close(self):
        held.remove(self)

def locked_once(journal, kind, *told, **named):
    if kind == "accelerator":
        Journal.event = log
        raise JournalLocked("journal", "another process kept it locked")
    return log(journal, kind, *told, **named)

Journal.event = locked_once
register("sim", lambda argument, settings: Exclusive(sim.parse_options(argument), settings), "sim")
from edge.cli import main
main()
"""


def test_what_fails_while_it_begins_does_not_keep_the_camera(service: Callable[..., Running]) -> None:
    one = service(command=[sys.executable, "-c", EXCLUSIVE_CAMERA, "run"])
    one.told("STATUS=degraded: journal: another process kept it locked")
    one.until(lambda report: report["state"] == "ready" or "another program" in report["reason"])
    assert one.ask("status")["state"] == "ready"


LOST_CAMERA = """
from edge.camera import guard, register
from edge.errors import CameraLost

class Lost:
    finite, name = False, "sim"
    def read(self):
        raise CameraLost("sim", "no cable")
    def close(self):
        pass

guard.BackOff.delays_s = lambda self: [0.01] * 3
register("sim", lambda *_: Lost(), "sim")
from edge.cli import main
main()
"""


def test_a_camera_that_is_lost_for_good_does_not_fill_the_trail(service: Callable[..., Running]) -> None:
    one = service('camera = "sim"\n', command=[sys.executable, "-c", LOST_CAMERA, "run"])
    one.told("READY=1")
    one.until(lambda report: report["camera_lost"] >= 9)  # the service begins anew for the third time
    log = one.end()
    kinds = ["camera lost", "camera reopened", "accelerator", "service degraded"]
    with one.journal() as journal:
        logged = [event.kind for event in journal.events()]
    assert [logged.count(kind) for kind in kinds] == [1, 1, 1, 1]
    assert (log.count("camera lost"), log.count("runs on")) == (1, 1)


FAILING_DISK = """
import resource, sqlite3
from pathlib import Path
from edge.journal import connection
usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
begun, to_write = 0, connection.to_write

def failing(file, timeout_s):
    def watch(statement):
        global begun
        if statement.startswith("BEGIN"):
            begun += 1
            size = file.with_name(file.name + "-wal").stat().st_size
            # The log cannot grow in two transactions of five: "disk I/O error".
            resource.setrlimit(resource.RLIMIT_FSIZE, (size if begun % 5 < 2 else usual, most))

    opened = to_write(file, timeout_s)
    opened.set_trace_callback(watch)
    return opened

connection.to_write = failing
from edge.cli import main
main()
"""


def test_a_disk_that_fails_now_and_then_costs_neither_a_frame_nor_readiness(service: Callable[..., Running]) -> None:
    one = service(command=[sys.executable, "-c", FAILING_DISK, "run"])
    one.told("READY=1")
    acknowledged = [one.ask("frame", "S-1")["record"] for _ in range(20)]
    report = one.until(lambda report: report["last_error"] != "")
    assert report["state"] == "ready"
    assert "writes failed and were made again" in report["last_error"]
    assert "tried again in" not in one.end()
    with one.journal() as journal:
        assert [record.record for record in journal.frames()] == acknowledged
        assert journal.check() == []
        assert journal.audit().problems == ()
        assert any("writes failed" in event.detail for event in journal.events() if event.kind == "disk")


def test_killed_and_started_again_it_finds_what_it_acknowledged(service: Callable[..., Running]) -> None:
    one = service()
    one.told("READY=1")
    acknowledged = [one.ask("frame", "S-1")["record"] for _ in range(3)]
    one.process.kill()
    one.process.communicate()
    assert one.socket.exists()
    with one.journal() as journal:
        assert [record.record for record in journal.frames()] == acknowledged
    # The socket that the dead one left must not keep the next one from starting.
    one.process = one.start()
    one.told("READY=1")
    assert one.ask("frame", "S-1")["record"] == acknowledged[-1] + 1


def test_killed_and_started_again_it_goes_on_with_the_sample_that_was_open(service: Callable[..., Running]) -> None:
    one = service()
    one.told("READY=1")
    one.ask("start", "S-1")
    one.ask("frame")
    one.process.kill()
    one.process.communicate()
    one.process = one.start()
    one.told("READY=1")
    report = one.ask("status")
    assert (report["sample"], report["every_frame"]) == ("S-1", True)
    assert one.ask("frame")["sample"] == "S-1"
    done = one.ask("finish")
    assert (done["sample"], done["frames"]) == ("S-1", 2)
    assert "still open: sample S-1, every frame counts" in one.end()
    one.process = one.start()
    one.told("READY=1")
    assert one.ask("status")["sample"] == ""
    with one.journal() as journal:
        kinds = [event.kind for event in journal.events() if event.kind.startswith("sample ")]
        (sample,) = journal.samples()
    assert kinds == ["sample opened", "sample taken up", "sample finished"]
    assert sample.result is not None


def test_a_sample_left_open_by_a_kill_gets_its_verdict_when_the_next_one_is_started(
    service: Callable[..., Running],
) -> None:
    one = service()
    one.told("READY=1")
    one.ask("frame", "S-1")
    one.process.kill()
    one.process.communicate()
    one.process = one.start()
    one.told("READY=1")
    one.ask("start", "S-2")
    with one.journal() as journal:
        first, second = journal.samples()
    assert (first.name, first.result is not None) == ("S-1", True)
    assert (second.name, second.result) == ("S-2", None)
