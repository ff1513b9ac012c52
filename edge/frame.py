"""A field of view as it left the camera."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""An image: shape (height, width, 3), dtype uint8, colour order blue, green, red (OpenCV's)."""

MOST_PIXELS = 1 << 26
"""67 megapixels (8192x8192): more than any sensor on a microscope, and 200 MB as BGR, what a 1 GB device can bear."""


@dataclass(frozen=True, slots=True)
class SensorReport:
    """What the sensor said of a frame's capture; None where it said nothing.

    Attributes
    ----------
    exposure_us : float or None
        Exposure time in microseconds.
    analogue_gain : float or None
        Analogue gain, 1.0 is none.
    white_balance : tuple of float or None
        Gains of red and blue relative to green.
    colour_temperature_k : float or None
        Colour temperature that white is balanced for, kelvin, as most USB cameras have it in the place of gains. It is
        compared with the calibration, and not logged.
    """

    exposure_us: float | None = None
    analogue_gain: float | None = None
    white_balance: tuple[float, float] | None = None
    colour_temperature_k: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class WhiteField:
    """What a camera saw of an empty, lit field when it was calibrated; a property of microscope and camera.

    Attributes
    ----------
    level : tuple of float
        Level of the brightest part, 0 to 255, blue, green, red.
    gains : ndarray
        Shape (rows, columns, 3), float32, BGR, a coarse map over the field: by what a part of it is to be multiplied
        to come to that level; 1 and more.
    um_per_px : float or None
        Pixel size that was measured, micrometres; None: none was.
    """

    level: tuple[float, float, float]
    gains: NDArray[np.float32]
    um_per_px: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One captured field of view.

    Attributes
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.
    name : str
        What a person calls it: a file's path, or the camera and the sequence number.
    sequence : int
        Number of the frame within its source, from 0; a gap means frames were dropped.
    um_per_px : float
        Physical size of a pixel in the plane of the specimen, micrometres.
    wall_time_s : float
        Seconds since the Unix epoch, UTC, when the frame was complete; may be wrong on a device without a clock
        battery.
    monotonic_s : float
        Seconds of the system's monotonic clock at the same moment; comparable only within one boot.
    capture_ms : float
        Milliseconds that the capture took, from asking to having the pixels (decoding included).
    sensor : SensorReport
        What the sensor said of exposure, gain and white balance.
    white : WhiteField or None
        What its camera was calibrated by; None: it was not.
    """

    pixels: Pixels
    name: str
    sequence: int
    um_per_px: float
    wall_time_s: float
    monotonic_s: float
    capture_ms: float = 0.0
    sensor: SensorReport = field(default_factory=SensorReport)
    white: WhiteField | None = None
