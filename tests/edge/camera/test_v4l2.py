"""A USB camera delivers what was asked for, when it was asked for; tested on a queue that behaves like the kernel's."""

import errno
import os

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera import CameraSettings, open_camera, v4l2
from edge.camera.v4l2 import choose_size, grab_fresh, is_dead, lock, retrieve, sensor_report
from edge.errors import CameraError, CameraLost, CameraNotFound, CameraSettingRefused, ImageError, ScaleError
from edge.frame import SensorReport


class Queue:
    """A driver with a full queue: old buffers first, then a new one every ``period_s`` as long as it lives."""

    def __init__(self, stamps_s=(), period_s=0.1, now_s=100.0, sizes=None, properties=None):
        self.now_s = now_s
        self.stamps_s = list(stamps_s)
        self.period_s = period_s
        self.sizes = sizes or {}
        self.properties = {cv2.CAP_PROP_BUFFERSIZE: 4.0, **(properties or {})}
        self.stamp_s = 0.0
        self.lives = True

    def grab(self):
        if self.stamps_s:
            self.stamp_s = self.stamps_s.pop(0)
        else:
            self.now_s += self.period_s
            self.stamp_s = self.now_s
        return self.lives

    def retrieve(self):
        """Decode as OpenCV does for a camera of motion JPEG."""
        pixels = cv2.imdecode(self.jpeg, cv2.IMREAD_COLOR)
        return pixels is not None, pixels

    def get(self, propId):  # noqa: N803
        if propId == cv2.CAP_PROP_POS_MSEC:
            return self.stamp_s * 1e3
        return self.properties.get(propId, -1.0)

    def set(self, propId, value):  # noqa: N803
        """Give the only size that the format has, whatever is asked, and say that all is well."""
        if propId == cv2.CAP_PROP_FOURCC:
            width, height = self.sizes[int(value).to_bytes(4, "little").decode()]
            self.properties |= {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height}
        elif propId not in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            self.properties[propId] = value
        return True

    def clock(self):
        return self.now_s


@given(st.lists(st.floats(1, 99.9), max_size=4).map(sorted), st.floats(0.01, 2))
def test_the_frame_was_exposed_after_it_was_asked_for(old_stamps_s, period_s):
    queue = Queue(old_stamps_s, period_s)
    grab_fresh(queue, "v4l2", 100.0, queue.clock)
    assert queue.stamp_s > 100.0
    assert queue.stamp_s == pytest.approx(100.0 + period_s)


def test_a_frame_whose_exposure_was_under_way_is_not_taken():
    queue = Queue([99.9, 100.05], 0.1, properties={cv2.CAP_PROP_EXPOSURE: 1000.0})
    grab_fresh(queue, "v4l2", 100.0, queue.clock)
    assert queue.stamp_s >= 100.1


@pytest.mark.parametrize("stamp_s", [0.0, 1e6])
def test_without_a_usable_clock_the_whole_queue_is_dropped(stamp_s):
    queue = Queue([stamp_s] * 10)
    grab_fresh(queue, "v4l2", 100.0, queue.clock)
    assert len(queue.stamps_s) == 10 - (4 + 2)


def test_a_queue_that_stops_is_a_lost_camera():
    queue = Queue()
    queue.lives = False
    with pytest.raises(CameraLost, match="no frames"):
        grab_fresh(queue, "v4l2", 100.0, queue.clock)


def test_a_size_that_the_camera_chose_itself_is_refused():
    queue = Queue(sizes={"MJPG": (1920, 1080), "YUYV": (640, 480)})
    with pytest.raises(CameraSettingRefused, match="asked for 2560x1920, it gives 1920x1080 or 640x480"):
        choose_size(queue, "v4l2", CameraSettings(0.1))


def test_the_format_that_has_the_size_is_taken():
    queue = Queue(sizes={"MJPG": (1920, 1080), "YUYV": (2560, 1920)})
    choose_size(queue, "v4l2", CameraSettings(0.1))
    assert queue.get(cv2.CAP_PROP_FRAME_WIDTH) == 2560


def test_another_size_is_taken_when_allowed():
    queue = Queue(sizes={"MJPG": (1920, 1080), "YUYV": (640, 480)})
    choose_size(queue, "v4l2", CameraSettings(0.1, allow_other_size=True))
    assert queue.get(cv2.CAP_PROP_FRAME_WIDTH) == 640


@pytest.mark.parametrize(("bgr", "dead"), [((0, 0, 0), True), ((0, 135, 0), True), ((255, 255, 255), False)])
def test_one_colour_throughout_is_no_picture_unless_it_is_too_much_light(bgr, dead):
    assert is_dead(np.full((480, 640, 3), bgr, np.uint8)) is dead


@given(st.integers(0, 479), st.integers(0, 639), st.integers(0, 2))
def test_a_single_live_sample_makes_a_picture(y, x, channel):
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[y, x, channel] = 1
    assert not is_dead(pixels)


def test_a_whole_frame_is_decoded():
    queue = Queue()
    queue.jpeg = cv2.imencode(".jpg", np.tile(np.arange(256, dtype=np.uint8), (64, 1)))[1]
    assert retrieve(queue, "v4l2").shape == (64, 256, 3)


def test_a_torn_frame_is_one_unreadable_image_not_a_half_gray_one(capfd):
    queue = Queue()
    noise = np.random.default_rng(0).integers(0, 256, (64, 256), np.uint8)
    queue.jpeg = cv2.imencode(".jpg", noise)[1].ravel()
    half = len(queue.jpeg) // 2
    queue.jpeg = np.concatenate([queue.jpeg[:half], np.array([0xFF, 0xD9], np.uint8)])
    with pytest.raises(ImageError, match="damaged"):
        retrieve(queue, "v4l2")
    assert capfd.readouterr().err == ""


def test_no_picture_at_all_is_a_lost_camera():
    queue = Queue()
    queue.jpeg = np.zeros(100, np.uint8)
    with pytest.raises(CameraLost, match="no picture"):
        retrieve(queue, "v4l2")


def test_the_report_has_what_the_driver_has():
    assert sensor_report(Queue()) == SensorReport()
    told = {
        cv2.CAP_PROP_EXPOSURE: 156.0,
        cv2.CAP_PROP_GAIN: 64.0,
        cv2.CAP_PROP_WHITE_BALANCE_RED_V: 1.5,
        cv2.CAP_PROP_WHITE_BALANCE_BLUE_U: 1.25,
    }
    assert sensor_report(Queue(properties=told)) == SensorReport(15600.0, 64.0, (1.5, 1.25))


def test_what_was_calibrated_is_locked_and_read_back():
    calibrated = SensorReport(15600.0, 64.0, (1.5, 1.25))
    camera = Queue()
    lock(camera, calibrated)
    assert sensor_report(camera) == calibrated
    assert camera.properties[cv2.CAP_PROP_AUTO_EXPOSURE] == 1.0
    assert camera.properties[cv2.CAP_PROP_AUTO_WB] == 0
    untouched = Queue()
    lock(untouched, SensorReport())
    assert untouched.properties == Queue().properties


def test_white_is_locked_by_its_colour_temperature_where_a_camera_has_no_gains():
    # As USB Video Class has it: V4L2_CID_WHITE_BALANCE_TEMPERATURE, and an automatic that would go on changing it.
    camera = Queue(properties={cv2.CAP_PROP_AUTO_WB: 1.0, cv2.CAP_PROP_WB_TEMPERATURE: 4600.0})
    calibrated = sensor_report(camera)
    assert calibrated == SensorReport(colour_temperature_k=4600.0)
    camera.properties[cv2.CAP_PROP_WB_TEMPERATURE] = 5200.0  # the automatic saw another field meanwhile
    lock(camera, calibrated)
    assert camera.properties[cv2.CAP_PROP_AUTO_WB] == 0
    assert sensor_report(camera) == calibrated


def test_a_pixel_size_is_required():
    with pytest.raises(ScaleError):
        open_camera("v4l2:/dev/video0", CameraSettings())


@pytest.mark.parametrize("path", ["/dev/null", "/dev", "/no/such/device", __file__])
def test_what_is_no_camera_is_told_in_one_line(path, capfd):
    with pytest.raises(CameraNotFound, match=r"no camera|no such device") as error:
        open_camera(f"v4l2:{path}", CameraSettings(0.1))
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif("WBC_TEST_V4L2" not in os.environ, reason="WBC_TEST_V4L2 names no device, such as vivid's")
def test_a_real_camera_delivers_fresh_frames_of_its_size():
    camera = open_camera(f"v4l2:{os.environ['WBC_TEST_V4L2']}", CameraSettings(0.1, allow_other_size=True))
    frames = [camera.read() for _ in range(3)]
    camera.close()
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    assert not np.array_equal(frames[0].pixels, frames[2].pixels)


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EACCES, "usermod -aG video"), (errno.EPERM, "systemctl restart wbc-edge")]
)
def test_who_may_not_open_it_is_told_why(monkeypatch, tmp_path, number, remedy):
    node = tmp_path / "video0"
    node.touch()

    def refused(path):
        raise PermissionError(number, "refused")

    monkeypatch.setattr(v4l2, "query_device", refused)
    with pytest.raises(CameraError, match=remedy):
        open_camera(f"v4l2:{node}", CameraSettings(0.1))
