"""What microscope and camera were calibrated to: kept in a file, checked at every start.

The file is JSON that a person can read: when, by whom, with which camera and objective; the settings of the sensor,
locked from then on; the level and evenness of the light; the size of a pixel with its interval.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from edge import durable
from edge.errors import CalibrationRefused, OutputError
from edge.frame import Frame, SensorReport, WhiteField
from edge.vision.micrometer import MeasuredScale

Method = Literal["micrometer", "red cells"]

_Level = Annotated[float, Meta(ge=0, le=255)]
_Gain = Annotated[float, Meta(ge=1, le=10)]
_UmPerPx = Annotated[float, Meta(ge=0.01, le=2.0)]
_TOLERANCE = 0.05

_MODE = 0o644
"""Root measures, the service's account reads, whatever the one who called it hides from others."""


class Light(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an empty field was lit, and the sensor's settings at the time; see ``SensorReport`` and ``WhiteField``."""

    made: str
    exposure_us: float | None
    analogue_gain: float | None
    white_balance: tuple[float, float] | None
    level: tuple[_Level, _Level, _Level]
    gains: list[list[tuple[_Gain, _Gain, _Gain]]]
    colour_temperature_k: float | None = None


class Scale(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size of a pixel, micrometres, with its interval of 95%, and what it was measured from."""

    made: str
    um_per_px: _UmPerPx
    low: float
    high: float
    marks: int
    method: Method


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a camera at a microscope was calibrated to; light and scale are measured one after the other.

    Attributes
    ----------
    camera : str
        Its specification.
    size_px : tuple of int
        Width and height of the frames.
    objective : str
        What its user calls the objective.
    who : str
        Who measured last.
    light : Light or None
        From an empty field.
    scale : Scale or None
        From a stage micrometer or from red cells.
    """

    camera: str
    size_px: tuple[int, int]
    objective: str = ""
    who: str = ""
    light: Light | None = None
    scale: Scale | None = None

    @property
    def locked(self) -> SensorReport:
        """What the sensor is to keep."""
        light = self.light
        if light is None:
            return SensorReport()
        return SensorReport(light.exposure_us, light.analogue_gain, light.white_balance, light.colour_temperature_k)

    @property
    def white(self) -> WhiteField | None:
        """How an empty field was lit."""
        if self.light is None:
            return None
        um_per_px = None if self.scale is None else self.scale.um_per_px
        return WhiteField(self.light.level, np.array(self.light.gains, np.float32), um_per_px)

    def summary(self) -> str:
        """Say in a line what it holds."""
        parts = [self.camera, self.objective]
        if self.light is not None:
            parts.append(f"light of {self.light.made[:10]}")
        if self.scale is not None:
            parts.append(f"{self.scale.um_per_px:.4g} um per px by {self.scale.method} of {self.scale.made[:10]}")
        return ", ".join(part for part in parts if part)


def light(white: WhiteField, sensor: SensorReport) -> Light:
    """Note how an empty field is lit, and the settings of the sensor that saw it so."""
    gains = [[(float(b), float(g), float(r)) for b, g, r in row] for row in np.round(white.gains, 4).tolist()]
    level = tuple(round(channel, 2) for channel in white.level)
    return Light(
        made=_now(),
        exposure_us=sensor.exposure_us,
        analogue_gain=sensor.analogue_gain,
        white_balance=sensor.white_balance,
        colour_temperature_k=sensor.colour_temperature_k,
        level=(level[0], level[1], level[2]),
        gains=gains,
    )


def scale(measured: MeasuredScale, method: Method) -> Scale:
    """Note the size of a pixel."""
    return Scale(
        made=_now(),
        um_per_px=measured.um_per_px,
        low=measured.low,
        high=measured.high,
        marks=measured.marks,
        method=method,
    )


def read(path: Path) -> Calibration | None:
    """Read a calibration.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Calibration or None
        None when there is no such file.

    Raises
    ------
    CalibrationRefused
        When it cannot be read, or holds what no calibration does.
    """
    remedy = "Remove the file, and calibrate again: `wbc-edge calibrate light`"
    try:
        content = path.read_bytes()
        return msgspec.json.decode(content, type=Calibration)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = error.strerror or str(error)
        raise CalibrationRefused(f"calibration {path}", why, "Give this user the right to read it") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CalibrationRefused(f"calibration {path}", f"is damaged: {error}", remedy) from error


def write(path: Path, calibration: Calibration) -> None:
    """Write a calibration; the one before is kept as ``NAME.before``.

    Parameters
    ----------
    path : Path
        The file.
    calibration : Calibration
        What it is to hold.

    Raises
    ------
    OutputError
        When it cannot be written; it is as it was then.
    CalibrationRefused
        When what is there is no calibration.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if (before := read(path)) is not None:
            # Not as bytes: the account could have linked what root alone may read, and everybody can read the copy.
            durable.write(path.with_name(f"{path.name}.before"), _encoded(before), _MODE)
        durable.write(path, _encoded(calibration), _MODE)
    except OSError as error:
        raise OutputError(f"calibration {path}", error.strerror or str(error), "Call it with sudo") from error


def _encoded(calibration: Calibration) -> bytes:
    return msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n"


def departures(calibration: Calibration, frame: Frame) -> list[str]:
    """Say in what a frame's camera is not set as it was calibrated.

    Parameters
    ----------
    calibration : Calibration
        How it was.
    frame : Frame
        One of its frames.

    Returns
    -------
    list of str
        A phrase each; empty when all that the sensor reports is within 5%.
    """
    found = []
    height, width = frame.pixels.shape[:2]
    if (width, height) != calibration.size_px:
        found.append(f"frames of {width}x{height}, not {calibration.size_px[0]}x{calibration.size_px[1]}")
    if calibration.scale is not None and not _near(frame.um_per_px, calibration.scale.um_per_px):
        found.append(f"um_per_px {frame.um_per_px:.4g}, not {calibration.scale.um_per_px:.4g}")
    locked, sensor = calibration.locked, frame.sensor
    for name, was, now in (
        ("exposure_us", locked.exposure_us, sensor.exposure_us),
        ("analogue_gain", locked.analogue_gain, sensor.analogue_gain),
        ("red gain", _part(locked, 0), _part(sensor, 0)),
        ("blue gain", _part(locked, 1), _part(sensor, 1)),
        ("colour_temperature_k", locked.colour_temperature_k, sensor.colour_temperature_k),
    ):
        if was is not None and now is not None and not _near(now, was):
            found.append(f"{name} {now:.4g}, not {was:.4g}")
    return found


def _part(sensor: SensorReport, index: int) -> float | None:
    return None if sensor.white_balance is None else sensor.white_balance[index]


def _near(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= _TOLERANCE * abs(wanted)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
