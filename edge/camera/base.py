"""What every source of frames has in common."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from edge.errors import ScaleError
from edge.frame import Frame, Pixels, SensorReport, WhiteField

_NO_REPORT = SensorReport()


class EndOfFrames(Exception):
    """Raised by a finite source (files, a video) when it has no further frame; not a failure."""


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What is asked of a camera; what it gives is read back and compared.

    Attributes
    ----------
    um_per_px : float or None
        Pixel size in micrometres in the plane of the specimen; None: the source must know it (the simulator does).
    size_px : tuple of int
        Width and height asked for; files and videos keep their own size.
    allow_other_size : bool
        Take the size that the camera chose instead of raising ``CameraSettingRefused``.
    timeout_s : float
        Time limit for opening and for each capture.
    locked : SensorReport
        Exposure, gain and white balance to keep, in the camera's own units; what is None is left to the camera.
    white : WhiteField or None
        What the camera was calibrated by; given on with each frame.
    first_sequence : int
        Number of the first frame; above 0 when a lost camera is reopened, so that no two frames share a name.
    """

    um_per_px: float | None = None
    size_px: tuple[int, int] = (2560, 1920)
    allow_other_size: bool = False
    timeout_s: float = 10.0
    locked: SensorReport = _NO_REPORT
    white: WhiteField | None = None
    first_sequence: int = 0

    def required_um_per_px(self, source: str) -> float:
        """Give the pixel size, for a source that cannot know it itself.

        Raises
        ------
        ScaleError
            When none was given.
        """
        if self.um_per_px is None:
            raise ScaleError(
                source, "its pixel size is not known", "Say how many micrometres a pixel is, such as --um-per-px 0.1"
            )
        return self.um_per_px


class Camera(Protocol):
    """A source of frames. Opened by its constructor; reads block; used from one thread at a time."""

    @property
    def name(self) -> str:
        """Specification that opens this camera again, such as ``v4l2:/dev/video0``."""
        ...

    @property
    def finite(self) -> bool:
        """Whether the source has an end (files); reopening such a source would start it over."""
        ...

    def read(self) -> Frame:
        """Capture the next frame.

        Raises
        ------
        EndOfFrames
            When a finite source is exhausted.
        ImageError
            When this one frame is unreadable; the next read goes on with the next one.
        CameraError
            When the camera failed; it must be reopened before the next read.
        """
        ...

    def close(self) -> None:
        """Release the device; may be called twice."""
        ...


def stamp(
    pixels: Pixels, name: str, sequence: int, um_per_px: float, *, asked_s: float, sensor: SensorReport = _NO_REPORT
) -> Frame:
    """Make a frame of pixels that are complete now.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.
    name : str
        What a person calls the frame.
    sequence : int
        Number of the frame within its source.
    um_per_px : float
        Pixel size, micrometres.
    asked_s : float
        ``time.monotonic()`` when the frame was asked for.
    sensor : SensorReport
        What the sensor said.
    """
    now_s = time.monotonic()
    return Frame(pixels, name, sequence, um_per_px, time.time(), now_s, (now_s - asked_s) * 1e3, sensor)
