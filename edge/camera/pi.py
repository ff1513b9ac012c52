"""Raspberry Pi cameras, through picamera2 and libcamera."""

from __future__ import annotations

import importlib
import os
import time
from concurrent.futures import TimeoutError as JobTimeout
from types import ModuleType
from typing import Any

import numpy as np

from edge.camera.attached import PICAMERA2_REMEDY
from edge.camera.base import CameraSettings, stamp
from edge.errors import (
    CameraError,
    CameraLost,
    CameraNotFound,
    CameraSettingRefused,
    CameraTimeout,
    CameraUnavailable,
)
from edge.frame import Frame, Pixels, SensorReport

_FORMAT = "RGB888"
"""Named after the value of a pixel read as a little-endian number: bytes lie blue, green, red in memory."""

_SHARE_OF_TIME_LIMIT = 0.9
"""Let go of a frame that does not come before the camera's guard gives up on it, and with it on the whole camera."""


def open_camera(argument: str, settings: CameraSettings) -> PiCamera:
    """Open ``picamera2:0``; without an argument the first camera."""
    check(argument)
    return PiCamera(int(argument or 0), settings)


def check(argument: str) -> None:
    """Refuse what is no number of a camera."""
    if argument and not (argument.isascii() and argument.isdecimal()):
        raise CameraNotFound(f"picamera2:{argument}", "cameras have numbers", "Try picamera2:0")


class PiCamera:
    """A camera of the Raspberry Pi's own connector.

    Opened once, since its memory is scarce and comes back late; every request is released as soon as its pixels
    are copied.

    Parameters
    ----------
    number : int
        Which camera, from 0.
    settings : CameraSettings
        ``um_per_px`` is required.

    Raises
    ------
    CameraUnavailable
        When picamera2 is not installed, is too old, or does not work in this environment.
    CameraNotFound
        When there is no camera of that number.
    CameraError
        When libcamera does not start, or the camera does not open: in use, out of memory.
    CameraSettingRefused
        When it delivers another size and ``allow_other_size`` is not set.
    ScaleError
        When no pixel size is given.
    """

    finite = False

    def __init__(self, number: int, settings: CameraSettings) -> None:
        self.name = f"picamera2:{number}"
        self._um_per_px = settings.required_um_per_px(self.name)
        self._number = number
        self._timeout_s = _SHARE_OF_TIME_LIMIT * settings.timeout_s
        self._sequence = settings.first_sequence
        picamera2 = _import_picamera2(self.name)
        if not hasattr(picamera2.Picamera2, "cancel_all_and_flush"):
            remedy = "Run: sudo apt update && sudo apt install --only-upgrade python3-picamera2"
            raise CameraUnavailable(self.name, "the picamera2 that is installed is older than 0.3.21", remedy)
        try:
            attached = len(picamera2.Picamera2.global_camera_info())
        except RuntimeError as error:
            raise CameraError(
                self.name, f"libcamera does not start: {error}", "Is its kernel driver loaded?"
            ) from error
        if number >= attached:
            have = f"Attached: {attached}, counted from 0" if attached else "None is attached; check the ribbon cable"
            raise CameraNotFound(self.name, "there is no such camera", have)
        try:
            self._camera: Any = picamera2.Picamera2(number)
        except (RuntimeError, OSError, IndexError) as error:
            raise CameraError(self.name, f"it does not open: {error}", "Is another program using it?") from error
        try:
            self._start(settings)
        except (RuntimeError, OSError) as error:
            self.close()
            raise error if isinstance(error, CameraError) else CameraError(self.name, str(error)) from error

    def read(self) -> Frame:
        """Capture a frame that was exposed after this call.

        Raises
        ------
        CameraTimeout
            When no frame comes within most of the settings' time limit: picamera2 by itself would wait for ever.
        CameraLost
            When libcamera reports a failure.
        """
        asked_s = time.monotonic()
        try:
            pixels, metadata = self._exposed_after(asked_s)
        except JobTimeout as error:
            why = f"no frame within {self._timeout_s:g} s"
            raise CameraTimeout(self.name, why, "Check the ribbon cable") from error
        except (RuntimeError, OSError, KeyError) as error:  # a KeyError where metadata lack the time
            raise CameraLost(self.name, str(error), "Check the ribbon cable") from error
        sequence, self._sequence = self._sequence, self._sequence + 1
        name = f"picamera2-{self._number}-{sequence:06d}"
        return stamp(pixels, name, sequence, self._um_per_px, asked_s=asked_s, sensor=_sensor_report(metadata))

    def close(self) -> None:
        """Stop the camera and give its memory back."""
        # To be stopped is a job as any other, and would wait for ever behind that of a frame that does not come.
        self._camera.cancel_all_and_flush()
        self._camera.close()

    def _exposed_after(self, asked_s: float) -> tuple[Pixels, dict[str, Any]]:
        """Capture a frame whose exposure began after a moment; older ones are given back.

        picamera2's own `flush` does so too, but fails where a camera does not tell its exposure.
        """
        until_s = asked_s + self._timeout_s
        while (left_s := until_s - time.monotonic()) > 0:
            # The block releases the request.
            with self._camera.captured_request(wait=left_s) as request:
                metadata = request.get_metadata()
                begun_s = metadata["SensorTimestamp"] / 1e9 - metadata.get("ExposureTime", 0) / 1e6
                if begun_s >= asked_s:
                    return np.ascontiguousarray(request.make_array("main"), np.uint8), metadata
        raise JobTimeout

    def _start(self, settings: CameraSettings) -> None:
        # Two buffers: one is filled while the other is copied; more cost 15 MB of the contiguous memory each.
        self._camera.configure(
            self._camera.create_still_configuration(main={"size": settings.size_px, "format": _FORMAT}, buffer_count=2)
        )
        main = self._camera.camera_configuration()["main"]
        if main["format"] != _FORMAT:
            raise CameraSettingRefused(self.name, f"asked for {_FORMAT}, it gives {main['format']}")
        if tuple(main["size"]) != settings.size_px and not settings.allow_other_size:
            asked, got = ("x".join(map(str, size)) for size in (settings.size_px, main["size"]))
            remedy = "Ask for that size, or allow another"
            raise CameraSettingRefused(self.name, f"asked for {asked}, it gives {got}", remedy)
        if controls := locked_controls(settings.locked):
            self._camera.set_controls(controls)
        # libcamera keeps back the first frames itself, until automatic exposure has settled.
        self._camera.start()


def locked_controls(locked: SensorReport) -> dict[str, Any]:
    """Give libcamera's controls for what is to be kept; empty when everything is left to the camera."""
    controls: dict[str, Any] = {}
    if locked.exposure_us is not None or locked.analogue_gain is not None:
        # libcamera leaves to automatic exposure what of the two is 0.
        controls["AeEnable"] = False
        controls["ExposureTime"] = round(locked.exposure_us or 0)
        controls["AnalogueGain"] = locked.analogue_gain or 0.0
    if locked.white_balance is not None:
        controls["AwbEnable"] = False
        controls["ColourGains"] = locked.white_balance
    return controls


def _import_picamera2(name: str) -> ModuleType:
    # libcamera writes its progress to standard error, several lines for every start.
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    try:
        picamera2: ModuleType = importlib.import_module("picamera2")
    except ModuleNotFoundError as error:
        raise CameraUnavailable(name, f"{error.name} is not installed here", PICAMERA2_REMEDY) from error
    except (ImportError, ValueError, AttributeError, OSError) as error:
        # ValueError is what a simplejpeg built for another numpy raises.
        remedy = "It must come from apt and match this environment's numpy. " + PICAMERA2_REMEDY
        raise CameraUnavailable(name, f"picamera2 does not load: {error}", remedy) from error
    return picamera2


def _sensor_report(metadata: dict[str, Any]) -> SensorReport:
    gains = metadata.get("ColourGains")
    return SensorReport(
        exposure_us=metadata.get("ExposureTime"),
        analogue_gain=metadata.get("AnalogueGain"),
        white_balance=None if gains is None else (float(gains[0]), float(gains[1])),
    )
