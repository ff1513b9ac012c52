"""The doctor sees what would spoil a session, and says what to do about it."""

import os
import time
from threading import Event

import cv2
import numpy as np
import pytest

from edge import doctor
from edge.camera.attached import AttachedCamera
from edge.camera.doubles import ScriptedCamera
from edge.doctor import examine
from edge.errors import BundleNotFound
from edge.frame import Frame
from edge.journal import Journal
from edge.model import Execution, shelf
from edge.model.store import Store
from edge.pipeline import measure
from edge.simulator import Smear, draw


@pytest.fixture
def root(tmp_path):
    """Give a machine whose /sys, /proc and /dev are below a folder."""
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    (root / "proc").mkdir()
    (root / "proc" / "mounts").write_text("/dev/sda1 / ext4 rw 0 0\n")
    zone = root / "sys" / "class" / "thermal" / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "temp").write_text("45000\n")
    return root


@pytest.fixture
def found(root, tmp_path):
    """Examine that machine, and give the findings that are not ok."""

    def look(journal=tmp_path / "journal.sqlite3", model=lambda: shelf.find(None), **settings):
        findings = list(examine(journal, model, Store(tmp_path / "models"), root=root, **settings))
        assert all(finding.remedy for finding in findings if finding.state != "ok")
        assert not any(finding.remedy for finding in findings if finding.state == "ok")
        return [(finding.state, finding.what) for finding in findings if "no camera" not in finding.what]

    return look


def unwell(findings):
    return [finding for finding in findings if finding[0] != "ok"]


def test_a_healthy_device_has_no_finding_but_the_missing_camera(found, root):
    assert unwell(found()) == []
    (camera,) = [
        each
        for each in examine(root / "j.sqlite3", lambda: shelf.find(None), Store(root), root=root)
        if each.state != "ok"
    ]
    assert "no camera is attached" in camera.what
    assert "--camera sim" in camera.remedy


def test_it_writes_nothing_that_stays(found, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    found()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_model_and_too_many_threads_are_told(found):
    def find():
        raise BundleNotFound("model mine", "no such bundle", "see `wbc-edge model list`")

    assert ("problem", "model mine: no such bundle") in found(model=find)
    assert any("threads on" in what for state, what in found(execution=Execution(threads=64)) if state == "warning")


def test_a_runtime_that_is_not_installed_is_a_problem(found):
    assert any("abacus" in what for state, what in found(execution=Execution(runtime="abacus")) if state == "problem")


def test_what_a_model_runs_on_and_who_signed_it_is_told(found):
    assert ("ok", "the model runs on the processor: as set") in found()
    assert any("unsigned" in what for state, what in found() if state == "ok")


def test_a_gpu_that_was_asked_for_and_is_not_there_is_told(found, monkeypatch):
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere.json")
    (finding,) = unwell(found(execution=Execution(accelerator="gpu")))
    assert finding == ("warning", "the model runs on the processor: no Vulkan driver is installed")


def test_a_model_that_took_the_place_of_another_is_told_and_so_is_a_choice_that_cannot_be_read(found, tmp_path):
    store = Store(tmp_path / "models")
    store.activate("mine@0123")
    store.fall_back("marrow", "it failed its self-test")
    assert unwell(found()) == [("warning", "model marrow took the place of another: it failed its self-test")]
    (store.folder / "activated.json").write_text("{")
    ((state, what),) = unwell(found())
    assert state == "problem"
    assert "activated.json" in what


def test_a_camera_without_permission_or_sense_is_told(found, root):
    (root / "dev" / "video0").touch()
    (camera,) = unwell(found())
    assert camera[0] == "warning"
    assert "video0" in camera[1]


@pytest.fixture
def camera(root, tmp_path, monkeypatch):
    """Attach a camera, and give what the doctor says of it."""

    def said(specification, **opening):
        attached = AttachedCamera(specification, "a camera", None)
        monkeypatch.setattr(doctor, "attached_cameras", lambda _: [attached])
        findings = examine(tmp_path / "journal.sqlite3", lambda: shelf.find(None), Store(root), root=root, **opening)
        (finding,) = [each for each in findings if each.what.startswith("camera ")]
        return finding

    return said


def test_a_camera_that_answers_is_told_with_the_size_of_its_picture(camera):
    finding = camera("sim:ALL")
    assert finding.state == "ok"
    assert "answers: 2560x1920 in " in finding.what


def test_a_camera_that_answers_black_or_in_another_size_is_told(camera, tmp_path):
    assert "black" in camera("sim:ALL,exposure=0").what
    cv2.imwrite(str(tmp_path / "field.png"), np.full((120, 160, 3), 200, np.uint8))
    finding = camera(f"file:{tmp_path / 'field.png'}")
    assert finding.state == "warning"
    assert finding.remedy == "Capture with --size 160x120"


def test_a_camera_that_is_there_and_does_not_answer_is_told(camera, monkeypatch):
    monkeypatch.setattr(doctor, "_CAMERA_TIMEOUT_S", 0.05)
    hanging = camera("v4l2:/dev/video0", opener=lambda _, settings: ScriptedCamera(iter([Event()]), settings))
    assert hanging.state == "warning"
    assert "does not answer: no answer within 0.05 s" in hanging.what
    assert "Check cable" in hanging.remedy


@pytest.mark.parametrize(
    "mounts",
    [
        "/dev/sda1 / ext4 rw 0 0\ntmpfs {folder} tmpfs rw 0 0\n",
        "/dev/sda1 / ext4 rw 0 0\n/dev/sdb {folder} ext4 rw 0 0\ntmpfs {folder} tmpfs rw 0 0\n",
        "tmpfs /media/root-rw tmpfs rw 0 0\noverlayroot / overlay rw,lowerdir=/ro,upperdir=/media/root-rw/up 0 0\n",
    ],
    ids=["tmpfs", "tmpfs-on-top", "overlayroot"],
)
def test_a_journal_in_memory_is_told(found, root, tmp_path, mounts):
    (root / "proc" / "mounts").write_text(mounts.format(folder=tmp_path))
    (memory,) = unwell(found())
    assert "in memory" in memory[1]


@pytest.mark.parametrize(
    "mounts",
    [
        "tmpfs {folder}/other tmpfs rw 0 0\n/dev/sda1 / ext4 rw 0 0\n",
        "tmpfs / tmpfs rw 0 0\n/dev/sda1 {folder} ext4 rw 0 0\n",
        "/dev/sda1 /data ext4 rw 0 0\noverlay / overlay rw,upperdir=/data/up 0 0\n",
        "nonsense\n",
    ],
    ids=["beside", "below", "overlay-on-disk", "unreadable"],
)
def test_a_journal_on_a_disk_is_not(found, root, tmp_path, mounts):
    (root / "proc" / "mounts").write_text(mounts.format(folder=tmp_path))
    assert unwell(found()) == []


def test_a_folder_that_cannot_be_written_is_a_problem(found, tmp_path):
    (tmp_path / "file").touch()
    (problem,) = unwell(found(journal=tmp_path / "file" / "journal.sqlite3"))
    assert problem[0] == "problem"
    assert "cannot be written" in problem[1]


def test_a_folder_is_tried_through_no_link(found, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / f".wbc-edge-{os.getpid()}.part").symlink_to(precious)
    assert unwell(found()) == []
    assert precious.read_text() == "kept"


@pytest.mark.parametrize(("least_mb", "state"), [("_LITTLE_SPACE_MB", "warning"), ("_NO_SPACE_MB", "problem")])
def test_little_space_is_told(found, monkeypatch, least_mb, state):
    monkeypatch.setattr(doctor, least_mb, 1e12)
    monkeypatch.setattr(doctor, "_LITTLE_SPACE_MB", 1e12)
    (disk,) = unwell(found())
    assert disk[0] == state
    assert "MB are free" in disk[1]


def test_a_journal_is_checked_and_its_clock_compared(found, tmp_path):
    path = tmp_path / "journal.sqlite3"
    field = draw(Smear(kind="ALL", size_px=(320, 240)), 1).pixels
    with Journal.open(path) as journal:
        tomorrow_s = time.time() + 86400
        journal.record(journal.sample("S-1"), measure(Frame(field, "field", 0, 0.1, tomorrow_s, 0.0)))
    findings = found()
    assert any("1 samples, 1 frames" in what for _, what in findings)
    (clock,) = unwell(findings)
    assert "behind the last frame" in clock[1]


def test_a_damaged_journal_is_a_problem(found, tmp_path):
    (tmp_path / "journal.sqlite3").write_bytes(b"no journal" * 1000)
    (journal,) = unwell(found())
    assert journal[0] == "problem"


def test_a_clock_that_starts_in_1970_is_a_problem(found):
    (clock,) = unwell(found(now_s=lambda: 100.0))
    assert clock[0] == "problem"
    assert "1970" in clock[1]


def test_heat_and_a_weak_supply_are_told(found, root):
    (root / "sys" / "class" / "thermal" / "thermal_zone0" / "temp").write_text("84500\n")
    firmware = root / "sys" / "devices" / "platform" / "soc" / "soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50005\n")
    told = [what for _, what in unwell(found())]
    assert any("84 degrees" in what for what in told)
    assert "the power supply is too weak" in told
    assert "the processor is slowed down" in told


def test_sensors_that_say_nothing_are_passed_over(found, root):
    (root / "sys" / "class" / "thermal" / "thermal_zone0" / "temp").write_text("unknown\n")
    assert not any("degrees" in what for _, what in found())


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + "/journal.sqlite3"])
def test_a_journal_whose_name_no_file_can_have_is_a_problem(found, tmp_path, name):
    ((state, what),) = unwell(found(journal=tmp_path / name))
    assert state == "problem"
    assert "too long" in what


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_journal_in_a_folder_that_may_not_be_entered_is_a_problem(found, tmp_path):
    (tmp_path / "locked" / "state").mkdir(parents=True)
    (tmp_path / "locked").chmod(0)
    try:
        told = unwell(found(journal=tmp_path / "locked" / "state" / "journal.sqlite3"))
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert {state for state, _ in told} == {"problem"}
    assert all("ermission" in what for _, what in told)
