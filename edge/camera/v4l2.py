"""USB cameras, through the kernel's Video4Linux2."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.camera.attached import attached_cameras, query_device
from edge.camera.base import CameraSettings, stamp
from edge.camera.chatter import decoder_messages, only_errors, tells_damage
from edge.errors import CameraError, CameraLost, CameraNotFound, CameraSettingRefused, ImageError
from edge.frame import Frame, Pixels, SensorReport

_FORMATS = ("MJPG", "YUYV")
"""Tried in this order: at 2560x1920, YUYV is 10 MB a frame, more than many cameras offer over USB 2."""

_WARM_UP_FRAMES = 5
"""Left to automatic exposure after opening; also shows that frames arrive, which ``isOpened`` does not."""


_MANUAL_EXPOSURE = 1.0
"""V4L2_EXPOSURE_MANUAL of V4L2_CID_EXPOSURE_AUTO."""

_CLOCKS_AGREE_S = 1.0
"""Some drivers stamp the end that they expect; a stamp farther ahead is of another clock."""


def open_camera(argument: str, settings: CameraSettings) -> V4l2Camera:
    """Open ``v4l2:/dev/video0``; without an argument the first camera attached."""
    path = argument or _first_attached()
    return V4l2Camera(f"/dev/video{path}" if path.isdecimal() else path, settings)


class V4l2Camera:
    """A camera of the kernel's, opened at the size asked for and read back.

    Exposure is reported in microseconds, colour temperature in kelvin; gain and the balance of red and blue are the
    driver's own numbers, since Video4Linux2 defines no unit for them: they show a change, not an amount.

    Parameters
    ----------
    path : str
        Device node, such as ``/dev/video0`` or one below ``/dev/v4l/by-id``.
    settings : CameraSettings
        ``um_per_px`` is required.

    Raises
    ------
    CameraNotFound
        When the path is no camera.
    CameraError
        When it is one and does not open: no permission, in use.
    CameraSettingRefused
        When it delivers another size and ``allow_other_size`` is not set.
    ScaleError
        When no pixel size is given.
    """

    finite = False

    def __init__(self, path: str, settings: CameraSettings) -> None:
        self.name = f"v4l2:{path}"
        self._um_per_px = settings.required_um_per_px(self.name)
        self._label = "v4l2-" + re.sub(r"\W+", "-", os.path.basename(path))  # noqa: PTH119
        self._sequence = settings.first_sequence
        _require_capture_device(path)
        only_errors()
        self._capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
        try:
            if not self._capture.isOpened():
                raise CameraError(self.name, "it does not open", "Is another program using it?")
            choose_size(self._capture, self.name, settings)
            lock(self._capture, settings.locked)
            for _ in range(_WARM_UP_FRAMES):
                _grab(self._capture, self.name)
        except BaseException:
            self._capture.release()
            raise

    def read(self) -> Frame:
        """Capture a frame that was exposed after this call.

        Raises
        ------
        ImageError
            When it was torn on the way; the next one may be whole.
        CameraLost
            When none comes, or one without any picture.
        """
        asked_s = time.monotonic()
        grab_fresh(self._capture, self.name, asked_s)
        sequence, self._sequence = self._sequence, self._sequence + 1
        pixels = retrieve(self._capture, self.name)
        name, sensor = f"{self._label}-{sequence:06d}", sensor_report(self._capture)
        return stamp(pixels, name, sequence, self._um_per_px, asked_s=asked_s, sensor=sensor)

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


class Capture(Protocol):
    """The part of ``cv2.VideoCapture`` that settings and freshness are about."""

    def grab(self) -> bool:
        """Take the next buffer from the driver's queue."""
        ...

    def retrieve(self) -> tuple[bool, NDArray[np.integer[Any] | np.floating[Any]]]:
        """Decode the buffer taken last."""
        ...

    def get(self, propId: int) -> float:  # noqa: N803
        """Read a property; -1 where the driver has none such."""
        ...

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        """Ask for a property."""
        ...


def grab_fresh(capture: Capture, name: str, asked_s: float, clock: Callable[[], float] = time.monotonic) -> None:
    """Grab buffers until one was exposed after it was asked for; the driver's queue holds older ones.

    Buffers carry the kernel's monotonic time. Where a driver's clock is another one, as many buffers are dropped
    as the queue holds, and one more that may have been under way.

    Parameters
    ----------
    capture : Capture
        An open device.
    name : str
        The camera's name, for the error.
    asked_s : float
        ``clock()`` when the frame was asked for.
    clock : callable
        The monotonic clock, seconds.

    Raises
    ------
    CameraLost
        When no buffer comes.
    """
    queued = max(1, int(capture.get(cv2.CAP_PROP_BUFFERSIZE)))
    exposure_s = max(0.0, capture.get(cv2.CAP_PROP_EXPOSURE) * 1e-4)
    for _ in range(queued + 2):
        _grab(capture, name)
        # Drivers stamp the end of a frame, or its start: to be sure, it must lie an exposure behind the asking.
        stamped_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        if asked_s + exposure_s <= stamped_s <= clock() + _CLOCKS_AGREE_S:
            return


def retrieve(capture: Capture, name: str) -> Pixels:
    """Decode the buffer that was grabbed last.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR.

    Raises
    ------
    ImageError
        When a compressed frame was torn on its way over USB, as happens now and then.
    CameraLost
        When there is no picture.
    """
    with decoder_messages() as messages:
        delivered, image = capture.retrieve()
    if tells_damage(messages):
        raise ImageError(name, "this frame arrived damaged", "If it happens often, try a shorter cable")
    pixels = np.asarray(image, np.uint8) if delivered else None
    if pixels is None or is_dead(pixels):
        raise CameraLost(name, "it delivers no picture", "Check cable, power and lamp")
    return pixels


def is_dead(pixels: Pixels) -> bool:
    """Tell a frame without any picture: one colour throughout, and not the white of too much light.

    A sensor that sees anything at all has noise; a driver that lost its sensor hands over its empty buffer,
    black in RGB and green in YUYV.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.
    """
    corner = pixels[0, 0]
    if (corner == 255).all() or (pixels[::64, ::64] != corner).any():
        return False
    return not bool((pixels != corner).any())


def sensor_report(capture: Capture) -> SensorReport:
    """Read back exposure, gain and white balance; see ``V4l2Camera`` for their units."""

    def known(value: float) -> float | None:
        return value if value > 0 else None

    exposure = known(capture.get(cv2.CAP_PROP_EXPOSURE))
    red = known(capture.get(cv2.CAP_PROP_WHITE_BALANCE_RED_V))
    blue = known(capture.get(cv2.CAP_PROP_WHITE_BALANCE_BLUE_U))
    return SensorReport(
        # V4L2_CID_EXPOSURE_ABSOLUTE counts in 100 us.
        exposure_us=None if exposure is None else exposure * 100.0,
        analogue_gain=known(capture.get(cv2.CAP_PROP_GAIN)),
        white_balance=None if red is None or blue is None else (red, blue),
        colour_temperature_k=known(capture.get(cv2.CAP_PROP_WB_TEMPERATURE)),
    )


def lock(capture: Capture, locked: SensorReport) -> None:
    """Set what is to be kept, in the units of :func:`sensor_report`; what a driver cannot set stays as it is.

    Whether it was set shows in every frame's report, which is compared with the calibration.
    """
    if locked.exposure_us is not None:
        capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL_EXPOSURE)
        capture.set(cv2.CAP_PROP_EXPOSURE, round(locked.exposure_us / 100))
    if locked.analogue_gain is not None:
        capture.set(cv2.CAP_PROP_GAIN, locked.analogue_gain)
    if locked.white_balance is not None or locked.colour_temperature_k is not None:
        capture.set(cv2.CAP_PROP_AUTO_WB, 0)
    if locked.colour_temperature_k is not None:
        capture.set(cv2.CAP_PROP_WB_TEMPERATURE, locked.colour_temperature_k)
    if locked.white_balance is not None:
        red, blue = locked.white_balance
        capture.set(cv2.CAP_PROP_WHITE_BALANCE_RED_V, red)
        capture.set(cv2.CAP_PROP_WHITE_BALANCE_BLUE_U, blue)


def _grab(capture: Capture, name: str) -> None:
    if not capture.grab():
        raise CameraLost(name, "it delivers no frames", "Check its cable, and that no other program uses it")


def choose_size(capture: Capture, name: str, settings: CameraSettings) -> None:
    """Set the size, in the first pixel format that has it; read it back, since drivers give another one silently.

    Raises
    ------
    CameraSettingRefused
        When no format has it and ``allow_other_size`` is not set.
    """
    width_px, height_px = settings.size_px
    got = []
    for code in _FORMATS:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*code))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width_px)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height_px)
        size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        if size == settings.size_px:
            return
        got.append(f"{size[0]}x{size[1]}")
    if not settings.allow_other_size:
        raise CameraSettingRefused(
            name,
            f"asked for {width_px}x{height_px}, it gives {' or '.join(dict.fromkeys(got))}",
            "Ask for a size that it has (v4l2-ctl --list-formats-ext), or allow another",
        )


def _require_capture_device(path: str) -> None:
    try:
        if query_device(path).captures:
            return
        why = "it is a video device that captures nothing"
    except PermissionError as error:
        # EACCES is the node's rights; EPERM is a unit that was started before the kernel knew such devices.
        in_unit = "Restart the service, whose unit does not allow it yet: sudo systemctl restart wbc-edge"
        own = "Run: sudo usermod -aG video $USER, and log in again"
        remedy = in_unit if error.errno == errno.EPERM else own
        raise CameraError(f"v4l2:{path}", "no permission to open it", remedy) from error
    except FileNotFoundError:
        why = "there is no such device"
    except OSError as error:
        why = "it is no camera" if error.errno in (errno.ENOTTY, errno.EISDIR, errno.EINVAL) else str(error.strerror)
    raise CameraNotFound(f"v4l2:{path}", why, _attached())


def _first_attached() -> str:
    for camera in attached_cameras():
        scheme, _, path = camera.specification.partition(":")
        if scheme == "v4l2" and camera.problem is None:
            return path
    raise CameraNotFound("v4l2", "no USB camera is attached", "Try --camera sim, the simulated microscope")


def _attached() -> str:
    found = ", ".join(camera.specification for camera in attached_cameras() if camera.problem is None)
    return f"Attached: {found}" if found else "None is attached; try --camera sim, the simulated microscope"
