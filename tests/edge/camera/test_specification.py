"""A camera is named by ``scheme[:argument]``; whoever gets it wrong is told what is possible."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera import (
    CameraSettings,
    _factories,
    attached_cameras,
    check,
    open_camera,
    parse_specification,
    register,
    schemes,
)
from edge.camera.doubles import ScriptedCamera
from edge.errors import CameraNotFound

SETTINGS = CameraSettings(um_per_px=0.1)


@given(st.sampled_from(schemes()), st.text().map(str.strip))
def test_everything_after_the_first_colon_is_the_argument(scheme, argument):
    assert parse_specification(f"{scheme}:{argument}") == (scheme, argument)


@pytest.mark.parametrize("scheme", ["sim", "picamera2", "v4l2", "file"])
def test_the_argument_may_be_left_out(scheme):
    assert parse_specification(scheme) == (scheme, "")


@given(st.text().filter(lambda text: text.strip().partition(":")[0] not in schemes()))
def test_any_other_scheme_is_refused_with_what_is_possible(text):
    with pytest.raises(CameraNotFound, match=r"sim:MM, picamera2:0, v4l2:/dev/video0, file:PATH-OR-GLOB"):
        parse_specification(text)


def test_a_further_back_end_is_one_line(monkeypatch):
    monkeypatch.setattr("edge.camera._factories", dict(_factories))
    register("mine", lambda _, settings: ScriptedCamera(iter([]), settings), "mine:1")
    assert open_camera("mine:1", SETTINGS).name == "scripted"


def test_importing_the_room_loads_neither_opencv_nor_any_back_end():
    code = "import sys, edge.camera; print([m for m in ('cv2', 'picamera2') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cv2" not in loaded.stdout
    assert "picamera2" not in loaded.stdout


@pytest.mark.parametrize("specification", ["picamera2:front", "picamera2:-1", "v4l2:/dev/null", "v4l2:/no/such/device"])
def test_an_argument_that_is_no_camera_is_refused(specification):
    with pytest.raises(CameraNotFound, match=r"Try|Attached|None is attached"):
        open_camera(specification, SETTINGS)


@pytest.mark.parametrize("specification", ["picamera2:front", "sim:nonsense", "sim:MM,colour=red", "v4l3:0"])
def test_an_argument_by_which_no_camera_could_be_opened_anywhere_is_told_without_opening_one(specification):
    with pytest.raises(CameraNotFound):
        check(specification)


@pytest.mark.parametrize("specification", ["picamera2:0", "picamera2", "sim:MM,seed=3", "v4l2:/dev/video9", "file:/x"])
def test_a_camera_that_is_not_there_may_come(specification):
    check(specification)


def test_what_is_no_video_device_is_listed_with_its_problem(tmp_path):
    (tmp_path / "video10").write_bytes(b"")
    (tmp_path / "video2").mkdir()
    (tmp_path / "videos").write_bytes(b"")
    found = attached_cameras(tmp_path)
    assert [camera.specification for camera in found] == [f"v4l2:{tmp_path}/video2", f"v4l2:{tmp_path}/video10"]
    assert all(camera.problem for camera in found)


def test_no_device_is_no_camera(tmp_path):
    assert attached_cameras(tmp_path) == []
