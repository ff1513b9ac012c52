"""The service as a process: ready when it works, degraded when it cannot, and nothing lost when it ends."""

from __future__ import annotations

import getpass
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import cv2
import pytest
from running import COMMAND, Running

from edge import calibration
from edge.camera import attached_cameras
from edge.daemon.health import Bulletin
from edge.daemon.notify import Notifier
from edge.daemon.parts import Parts
from edge.daemon.service import Service
from edge.errors import ServiceUnavailable
from edge.simulator import Smear, draw
from edge.vision.micrometer import MeasuredScale


def test_it_is_ready_when_camera_and_model_have_answered_and_takes_frames_when_asked(
    service: Callable[..., Running],
) -> None:
    one = service()
    one.told("READY=1")
    report = one.ask("status")
    assert (report["state"], report["camera"], report["frames"]) == ("ready", "sim:MM", 0)
    assert report["model"].startswith("marrow@")
    assert report["disk_free_mb"] > 0
    first = one.ask("frame")
    second = one.ask("frame")
    assert (first["record"], second["record"], second["sample"]) == (1, 2, first["sample"])
    other = one.ask("frame", "S-17")
    assert other["sample"] == "S-17"
    report = one.ask("status")
    assert (report["frames"], report["sample"]) == (3, "S-17")
    assert report["classified"] + report["indeterminate"] == 3
    with one.journal() as journal:
        assert [record.sample for record in journal.frames()] == [first["sample"], first["sample"], "S-17"]
        finished = [sample for sample in journal.samples() if sample.result is not None]
        assert [sample.name for sample in finished] == [first["sample"]]


def test_a_samples_verdict_grows_and_is_logged_when_it_is_finished(service: Callable[..., Running]) -> None:
    one = service()
    one.told("READY=1")
    assert one.ask("start", "S-1") == {"sample": "S-1"}
    frame = one.ask("frame")
    assert one.ask("status")["sample_verdict"].startswith(frame["so_far"])
    done = one.ask("finish")
    assert (done["sample"], done["frames"]) == ("S-1", 1)
    with pytest.raises(ServiceUnavailable, match="no sample is open"):
        one.ask("finish")
    with one.journal() as journal:
        result = journal.samples()[0].result
        assert result is not None
        assert result.verdict == done["verdict"]


def test_ended_it_finishes_the_frame_in_hand_and_logs_the_verdict_so_far(service: Callable[..., Running]) -> None:
    one = service('camera = "sim:ALL"\nsize = "640x480"\ninterval = 0.01\n')
    one.told("READY=1")
    one.until(lambda report: report["frames"] >= 3)
    log = one.end()
    assert one.process.returncode == 0
    *_, summary, last = log.splitlines()
    assert last == "stopped"
    assert summary.startswith("ready: ")
    one.told("STOPPING=1")
    assert not one.socket.exists()
    with one.journal() as journal:
        (sample,) = journal.samples()
        assert sample.result is not None
        assert sample.result.frames == sample.frames >= 3
        assert f" {sample.frames} frames, " in summary
        assert journal.check() == []
        assert journal.audit().problems == ()


def test_from_hour_to_hour_its_log_tells_what_it_did_and_how_the_device_is(service: Callable[..., Running]) -> None:
    hour = "from edge.daemon import service; service._SUMMARY_EVERY_S = 0.5; from edge.cli import main; main()"
    one = service(command=[sys.executable, "-c", hour, "run"])
    one.told("READY=1")
    one.ask("frame")
    time.sleep(2.0)
    counted = [line for line in one.end().splitlines() if line.startswith("ready: 1 frames, ")]
    assert len(counted) >= 2
    assert all(" MB free" in line for line in counted)


@pytest.mark.timeout(30)
def test_who_asks_when_it_has_ended_hears_so_at_once() -> None:
    ended = Service(cast(Parts, None), Bulletin(), Notifier({}), print)
    ended.stop()
    ended.run()
    with pytest.raises(ServiceUnavailable, match="ends"):
        ended.answer({"ask": "frame"}, "somebody")


def test_a_wrong_configuration_degrades_it_and_a_right_one_heals_it(service: Callable[..., Running]) -> None:
    one = service("um_per_px = 17\n")
    one.told("STATUS=degraded: ")
    one.told("READY=1")
    report = one.ask("status")
    assert report["state"] == "degraded"
    assert "um_per_px" in report["reason"]
    with pytest.raises(ServiceUnavailable, match="degraded"):
        one.ask("frame")
    one.config.write_text('camera = "sim"\nsize = "640x480"\n', "utf-8")
    one.process.send_signal(signal.SIGHUP)
    one.until(lambda report: report["state"] == "ready")
    assert one.ask("frame")["record"] == 1


def test_options_go_over_the_configuration_also_when_that_is_read_again(service: Callable[..., Running]) -> None:
    one = service('camera = "sim:MM"\nsize = "640x480"\n', command=[*COMMAND, "--camera", "sim:ALL"])
    one.told("READY=1")
    assert one.ask("status")["camera"] == "sim:ALL"
    one.config.write_text('camera = "sim:normal"\nsize = "320x240"\n', "utf-8")
    one.ask("reload")
    one.until(lambda report: report["state"] == "ready")
    assert one.ask("status")["camera"] == "sim:ALL"
    record = one.ask("frame")["record"]
    with one.journal() as journal:
        assert journal.frame(record).result.size_px == (320, 240)


def test_a_wrong_option_starts_no_service(service: Callable[..., Running]) -> None:
    one = service(command=[*COMMAND, "--interval", "often"])
    _, log = one.process.communicate(timeout=60)
    assert (one.process.returncode, log.count("\n")) == (2, 1)
    assert "--interval" in log


def test_a_wrong_configuration_is_refused_while_it_works(service: Callable[..., Running]) -> None:
    one = service()
    one.told("READY=1")
    one.config.write_text("threads = 'many'\n", "utf-8")
    with pytest.raises(ServiceUnavailable, match="threads"):
        one.ask("reload")
    assert one.ask("frame")["record"] == 1
    one.config.write_text('camera = "sim:ALL"\nsize = "640x480"\n', "utf-8")
    assert one.ask("reload") == {"reloaded": True}
    one.until(lambda report: report["camera"] == "sim:ALL" and report["state"] == "ready")
    with one.journal() as journal:
        told = [event.detail for event in journal.events() if event.kind == "configuration"]
        in_force = [event.detail for event in journal.events() if event.kind == "settings"]
    assert told[0].startswith("not reloaded: ")
    assert told[1] == f"reloaded, asked for by {getpass.getuser()}"
    assert in_force == ["camera=sim:MM, size=640x480", "camera=sim:ALL, size=640x480"]


@pytest.mark.parametrize(
    "wrong", ['camera = "sim:nonsense"', 'camera = "file:/fields"', 'model = "doesnotexist"', 'watch_folder = "/drop"']
)
def test_what_it_could_not_work_by_is_refused_while_it_works(service: Callable[..., Running], wrong: str) -> None:
    one = service()
    one.told("READY=1")
    one.config.write_text(wrong + "\n", "utf-8")
    with pytest.raises(ServiceUnavailable, match=r"nonsense|has an end|no such bundle|um_per_px"):
        one.ask("reload")
    assert one.ask("frame")["record"] == 1
    assert one.ask("status")["camera"] == "sim:MM"


def test_each_time_that_it_begins_anew_it_says_that_it_is_ready(service: Callable[..., Running]) -> None:
    one = service()
    one.told("READY=1")
    one.ask("reload")

    def is_said_twice(_: dict[str, Any]) -> bool:
        with one.journal() as journal:
            return [event.kind for event in journal.events()].count("service") == 2

    one.until(is_said_twice)


def test_a_camera_that_is_not_there_is_said_and_waited_for(service: Callable[..., Running], tmp_path: Path) -> None:
    one = service(f'camera = "v4l2:{tmp_path / "video9"}"\num_per_px = 0.1\n')
    one.told("READY=1")
    report = one.ask("status")
    assert report["state"] == "degraded"
    assert "video9" in report["reason"]
    one.end()
    assert one.process.returncode == 0


def test_what_fails_as_often_as_it_is_ready_is_tried_ever_less_often_and_logged_once(
    service: Callable[..., Running], tmp_path: Path
) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    pixels = draw(Smear(kind="MM", size_px=(640, 480), um_per_px=0.4), 1).pixels
    (drop / "field.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    one = service(f'camera = "none"\num_per_px = 1.9\nwatch_folder = "{drop}"\n')
    begun_s = time.monotonic()
    for _ in range(3):
        one.told("READY=1")  # it works
        one.told("READY=1")  # it is degraded by the image, and says so
    assert time.monotonic() - begun_s > 2 + 4
    with one.journal() as journal:
        kinds = [event.kind for event in journal.events() if event.kind in ("service", "service degraded")]
    assert kinds == ["service", "service degraded", "service"]
    assert "too coarse" in one.ask("status")["reason"]


def test_images_dropped_into_a_folder_are_judged_once_and_put_aside(
    service: Callable[..., Running], tmp_path: Path
) -> None:
    drop = tmp_path / "drop"
    one = service(f'camera = "none"\num_per_px = 0.4\nwatch_folder = "{drop}"\n')
    one.told("READY=1")
    pixels = draw(Smear(kind="MM", size_px=(640, 480), um_per_px=0.4), 1).pixels
    content = cv2.imencode(".png", pixels)[1].tobytes()
    (drop / "whole.png").write_bytes(content)
    (drop / "torn.png").write_bytes(content[:9000])
    (drop / "notes.txt").write_text("no image")
    one.until(lambda report: report["frames"] == 1 and report["failed"] == 1)
    aside = ["done/whole.png", "failed/torn.png", "notes.txt"]
    # An image is logged before it is moved: what ends between the two judges it again rather than never.
    one.until(lambda _: sorted(str(path.relative_to(drop)) for path in drop.rglob("*.*")) == aside)
    with pytest.raises(ServiceUnavailable, match="has none"):
        one.ask("frame")
    one.until(lambda report: report["state"] == "ready")


def test_a_folder_full_of_images_keeps_nobody_else_waiting(service: Callable[..., Running], tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    content = cv2.imencode(".png", draw(Smear(kind="MM", size_px=(64, 64), um_per_px=0.4), 1).pixels)[1].tobytes()
    for number in range(200):
        (drop / f"{number:03}.png").write_bytes(content)
    settings = f'camera = "sim:MM"\nsize = "64x64"\num_per_px = 0.4\nwatch_folder = "{drop}"\n'
    one = service(settings)
    one.told("READY=1")
    one.until(lambda report: report["frames"] > 0)
    record = one.ask("frame")["record"]
    assert record < 200, "it waited for all of them"
    one.until(lambda report: report["frames"] == 201)


def test_a_samples_frames_all_count_and_otherwise_only_the_newest_matters(service: Callable[..., Running]) -> None:
    one = service('camera = "sim:ALL"\nsize = "640x480"\ninterval = 0.01\n')
    one.told("READY=1")
    assert one.until(lambda report: report["frames"] >= 2)["every_frame"] is False
    one.ask("start", "S-1")
    assert one.until(lambda report: report["sample"] == "S-1")["every_frame"] is True
    dropped = one.ask("status")["dropped"]
    done = one.ask("finish")
    assert one.until(lambda report: report["sample"] not in ("", "S-1"))["every_frame"] is False
    with one.journal() as journal:
        names = [record.result.sequence for record in journal.frames(sample="S-1")]
    assert names == list(range(names[0], names[0] + done["frames"])) if names else done["frames"] == 0
    assert dropped == 0 or one.ask("status")["dropped"] >= dropped


def test_who_has_a_folder_and_no_camera_is_told_how_to_say_so(service: Callable[..., Running], tmp_path: Path) -> None:
    if attached_cameras():
        pytest.skip("a camera is attached here")
    one = service(f'um_per_px = 0.4\nwatch_folder = "{tmp_path / "drop"}"\n')
    one.told("READY=1")
    assert "camera=none" in one.ask("status")["reason"]


def test_what_is_not_as_calibrated_is_told_at_the_start(service: Callable[..., Running], tmp_path: Path) -> None:
    measured = calibration.scale(MeasuredScale(0.2, 0.19, 0.21, 30), "micrometer")
    made = calibration.Calibration(camera="sim", size_px=(640, 480), objective="50x", scale=measured)
    calibration.write(tmp_path / "calibration.json", made)
    settings = f'camera = "sim:MM"\nsize = "640x480"\ncalibration = "{tmp_path / "calibration.json"}"\n'
    one = service(settings + "um_per_px = 0.1\n")
    one.told("READY=1")
    report = one.ask("status")
    assert report["calibration"].startswith("sim, 50x, 0.2 um per px")
    assert report["drift"] == "um_per_px 0.1, not 0.2"
    with one.journal() as journal:
        assert [event.detail for event in journal.events() if event.kind == "drift"] == [
            "at the start: um_per_px 0.1, not 0.2"
        ]
    one.config.write_text(settings, "utf-8")  # then the scale is the calibration's
    one.ask("reload")
    one.until(lambda report: report["state"] == "ready" and report["drift"] == "")


def test_the_commands_speak_to_it(service: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from edge.cli.commands import command_line

    one = service()
    one.told("READY=1")
    monkeypatch.setenv("WBC_EDGE_SOCKET", str(one.socket))

    def wbc(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(command_line, arguments, catch_exceptions=False)
        return result.exit_code, result.stdout, result.stderr

    code, _, err = wbc("sample", "start", " ")
    assert (code, "Name the sample" in err) == (2, True)
    assert wbc("sample", "start", "S-1")[0] == 0
    code, out, _ = wbc("trigger", "--json")
    assert (code, json.loads(out)["sample"]) == (0, "S-1")
    assert wbc("trigger")[1].startswith("record 2, sample S-1: ")
    code, out, _ = wbc("status")
    assert code == 0
    assert "state             ready" in out
    code, out, err = wbc("sample", "finish")
    assert out.startswith("sample S-1: ")
    assert "research use only" in err.lower()
    one.end()
    code, _, err = wbc("status")
    assert (code, err.count("\n")) == (55, 1)
    assert "does not run" in err
