"""A Raspberry Pi camera is opened once, gives its memory back, has the right colours; its absence is explained."""

import contextlib
import importlib.util
import itertools
import sys
import time
from concurrent.futures import TimeoutError as JobTimeout
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from edge.camera import CameraSettings, attached_cameras, open_camera
from edge.camera.pi import locked_controls
from edge.errors import (
    CameraError,
    CameraLost,
    CameraNotFound,
    CameraSettingRefused,
    CameraTimeout,
    CameraUnavailable,
    ScaleError,
)
from edge.frame import SensorReport

SETTINGS = CameraSettings(um_per_px=0.1, size_px=(640, 480))

INSTALLED = importlib.util.find_spec("picamera2") is not None
needs_absence = pytest.mark.skipif(INSTALLED, reason="picamera2 is installed here")


class Request:
    def __init__(self, camera, is_old):
        self.camera, self.is_old = camera, is_old
        self.begun_s = time.monotonic() - is_old

    def make_array(self, name):
        """Give red pixels as picamera2 does: "RGB888" lies blue, green, red in memory, "BGR888" the other way."""
        main = self.camera.configured["main"]
        width, height = main["size"]
        assert not self.is_old, "an old frame would be delivered"
        padded = np.zeros((height, width + 16, 3), np.uint8)
        padded[:] = (0, 0, 200) if main["format"] == "RGB888" else (200, 0, 0)
        return padded[:, :width]

    def get_metadata(self):
        exposure_us = self.camera.tells.get("ExposureTime", 0)
        return {**self.camera.tells, "SensorTimestamp": round(1e9 * self.begun_s) + 1000 * exposure_us}


class Picamera2:
    """What picamera2's class of that name does, as far as we use it; one camera, two buffers."""

    opened = 0
    busy = False
    largest = (4056, 3040)

    @staticmethod
    def global_camera_info():
        return [
            {"Model": "imx477", "Location": 2, "Rotation": 180, "Id": "/base/soc/i2c0mux/i2c@1/imx477@1a", "Num": 0},
            {"Model": "Webcam", "Id": "/base/scb/pcie@7d500000/usb@0,0-1.3:1.0-046d:0825", "Num": 1},
        ]

    def __init__(self, camera_num=0):
        if Picamera2.busy:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        Picamera2.opened += 1
        self.running = False
        self.free_buffers = 0
        self.fails = None
        self.jobs = []
        self.are_old = itertools.cycle([True, False])
        self.tells = {"ExposureTime": 9981, "AnalogueGain": 1.5, "ColourGains": (2.25, 1.75)}

    def create_still_configuration(self, main, buffer_count=1):
        return {"main": dict(main), "buffer_count": buffer_count}

    def configure(self, configuration):
        # The real one changes what the sensor cannot do, without a word.
        size = configuration["main"]["size"]
        configuration["main"]["size"] = tuple(min(pair) for pair in zip(size, self.largest, strict=True))
        self.configured = configuration
        self.free_buffers = configuration["buffer_count"]

    def camera_configuration(self):
        return self.configured

    def set_controls(self, controls):
        assert not self.running, "what is set later is of effect some frames later"
        self.controls = controls

    def start(self):
        self.running = True

    @contextlib.contextmanager
    def captured_request(self, wait=None):
        """Give in turn a frame that has waited for a second and a new one."""
        assert self.running
        assert 0 < wait < SETTINGS.timeout_s, "the real one waits for ever unless it is told how long"
        is_old = next(self.are_old)
        if self.fails:
            if isinstance(self.fails, JobTimeout):
                self.jobs.append("capture")
            raise self.fails
        assert self.free_buffers > 0, "the real one hangs for ever when no request was released"
        self.free_buffers -= 1
        try:
            yield Request(self, is_old)
        finally:
            self.free_buffers += 1

    def cancel_all_and_flush(self):
        self.jobs.clear()

    def close(self):
        assert not self.jobs, "the real one would wait for a frame that does not come"
        self.running = False
        Picamera2.opened -= 1


@pytest.fixture
def picamera2(monkeypatch):
    module = ModuleType("picamera2")
    module.__spec__ = importlib.util.spec_from_loader("picamera2", loader=None)
    module.Picamera2 = Picamera2
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(Picamera2, "opened", 0)
    return Picamera2


def test_pixels_are_blue_green_red_and_whole(picamera2):
    frame = open_camera("picamera2:0", SETTINGS).read()
    assert frame.pixels.shape == (480, 640, 3)
    assert frame.pixels.flags.c_contiguous
    assert frame.pixels[0, 0].tolist() == [0, 0, 200]


def test_frames_are_numbered_and_carry_what_the_sensor_said(picamera2):
    camera = open_camera("picamera2", SETTINGS)
    frames = [camera.read() for _ in range(5)]
    assert [frame.name for frame in frames] == [f"picamera2-0-{number:06d}" for number in range(5)]
    assert frames[-1].sensor == SensorReport(9981, 1.5, (2.25, 1.75))


def test_a_camera_that_does_not_tell_its_exposure_gives_new_frames_too(picamera2):
    camera = open_camera("picamera2:0", SETTINGS)
    camera._camera.tells = {}
    assert camera.read().sensor == SensorReport()


def test_old_frames_only_are_no_frame(picamera2):
    camera = open_camera("picamera2:0", replace(SETTINGS, timeout_s=0.2))
    camera._camera.are_old = itertools.repeat(True)
    with pytest.raises(CameraTimeout, match=r"no frame within 0.18 s"):
        camera.read()


def test_what_was_calibrated_is_locked_before_the_first_frame(picamera2):
    camera = open_camera("picamera2", replace(SETTINGS, locked=SensorReport(8000.4, 2.0, (1.5, 1.25))))
    assert camera._camera.controls == {
        "AeEnable": False,
        "ExposureTime": 8000,
        "AnalogueGain": 2.0,
        "AwbEnable": False,
        "ColourGains": (1.5, 1.25),
    }
    assert locked_controls(SensorReport()) == {}
    assert locked_controls(SensorReport(white_balance=(1.5, 1.25))).keys() == {"AwbEnable", "ColourGains"}


def test_it_is_opened_once_and_closed(picamera2):
    camera = open_camera("picamera2:0", SETTINGS)
    for _ in range(3):
        camera.read()
    assert picamera2.opened == 1
    camera.close()
    assert picamera2.opened == 0


def test_another_size_is_refused_and_the_camera_given_back(picamera2):
    with pytest.raises(CameraSettingRefused, match="asked for 9000x3000, it gives 4056x3000"):
        open_camera("picamera2:0", CameraSettings(0.1, (9000, 3000)))
    assert picamera2.opened == 0


def test_another_size_is_taken_when_allowed(picamera2):
    camera = open_camera("picamera2:0", CameraSettings(0.1, (9000, 100), allow_other_size=True))
    assert camera.read().pixels.shape == (100, 4056, 3)


def test_a_failing_capture_is_a_lost_camera(picamera2):
    camera = open_camera("picamera2:0", SETTINGS)
    camera._camera.fails = RuntimeError("Camera frontend has timed out!")
    with pytest.raises(CameraLost, match="frontend has timed out"):
        camera.read()


def test_a_frame_that_does_not_come_is_let_go_of_and_so_is_the_camera(picamera2):
    camera = open_camera("picamera2:0", SETTINGS)
    camera._camera.fails = JobTimeout()
    with pytest.raises(CameraTimeout, match=r"no frame within 9 s"):
        camera.read()
    camera.close()
    assert picamera2.opened == 0


def test_a_picamera2_that_cannot_be_told_how_long_to_wait_is_refused(picamera2, monkeypatch):
    monkeypatch.delattr(picamera2, "cancel_all_and_flush")
    with pytest.raises(CameraUnavailable, match=r"older than 0\.3\.21.*apt"):
        open_camera("picamera2:0", SETTINGS)


def test_a_frame_without_a_time_is_a_lost_camera(picamera2, monkeypatch):
    monkeypatch.setattr(Request, "get_metadata", lambda _: {})
    with pytest.raises(CameraLost, match="SensorTimestamp"):
        open_camera("picamera2:0", SETTINGS).read()


def test_a_camera_in_use_is_told(picamera2, monkeypatch):
    monkeypatch.setattr(picamera2, "busy", True)
    with pytest.raises(CameraError, match="another program"):
        open_camera("picamera2:0", SETTINGS)


def test_a_libcamera_that_does_not_start_is_told(picamera2, monkeypatch):
    def broken():
        raise RuntimeError("Failed to start CameraManager: No such device")

    monkeypatch.setattr(picamera2, "global_camera_info", broken)
    with pytest.raises(CameraError, match="libcamera does not start: Failed to start CameraManager"):
        open_camera("picamera2:0", SETTINGS)


def test_a_number_without_camera_is_refused(picamera2):
    with pytest.raises(CameraNotFound, match=r"picamera2:2.*Attached: 2"):
        open_camera("picamera2:2", SETTINGS)


def test_a_pixel_size_is_required(picamera2):
    with pytest.raises(ScaleError):
        open_camera("picamera2:0", CameraSettings())


def test_attached_cameras_lists_it_but_not_usb_cameras_twice(picamera2, tmp_path):
    assert attached_cameras(tmp_path) == [("picamera2:0", "imx477", None)]


def test_a_broken_installation_does_not_break_the_list(picamera2, monkeypatch, tmp_path):
    monkeypatch.setattr(picamera2, "global_camera_info", lambda: 1 / 0)
    (camera,) = attached_cameras(tmp_path)
    assert "does not work here" in str(camera.problem)


@needs_absence
def test_without_picamera2_the_way_to_get_it_is_told():
    with pytest.raises(CameraUnavailable, match=r"apt install python3-picamera2.*--system-site-packages"):
        open_camera("picamera2:0", SETTINGS)


@needs_absence
def test_a_picamera2_built_for_another_numpy_is_explained(tmp_path, monkeypatch):
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CameraUnavailable, match=r"numpy.dtype size changed.*match this environment's numpy"):
        open_camera("picamera2:0", SETTINGS)
