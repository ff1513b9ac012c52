"""What a simulated field of view shows and how it is seen: parameters, and plausible random ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from edge.errors import ConfigurationError
from edge.simulator.stain import Stain, random_stain

SmearKind = Literal["ALL", "MM", "normal"]

_USUAL_PER_MM2: dict[str, tuple[float, float, float]] = {
    "ALL": (1300.0, 5000.0, 400.0),
    "MM": (1150.0, 2500.0, 600.0),
    "normal": (90.0, 9500.0, 700.0),
}
"""White cells, red cells and debris per square millimetre of each kind of smear."""

_RANGES: dict[str, tuple[float, float, str]] = {
    "um_per_px": (0.02, 1.0, "micrometres"),
    "white_cells": (0.0, 10_000.0, "cells per square millimetre"),
    "red_cells": (0.0, 30_000.0, "cells per square millimetre"),
    "debris": (0.0, 20_000.0, "pieces per square millimetre"),
    "illumination": (0.0, 1.0, "share of the light"),
    "defocus_um": (0.0, 20.0, "micrometres"),
    "noise": (0.0, 64.0, "gray levels"),
    "exposure": (0.0, 10.0, "times the right one"),
    "round_field": (0.1, 2.0, "times the frame's shorter side"),
}
_OPTIONAL = {"white_cells", "red_cells", "debris", "round_field"}
_LARGEST_SIDE_PX = 10_000


@dataclass(frozen=True, slots=True)
class Smear:
    """A kind of smear and the microscope and camera it is seen with.

    Attributes
    ----------
    kind : {"ALL", "MM", "normal"}
        Marrow with acute lymphoblastic leukaemia, marrow with multiple myeloma, or normal blood.
    size_px : tuple of int
        Width and height of the field, 1 to 10,000 pixels.
    um_per_px : float
        Pixel size in the plane of the specimen, 0.02 to 1 micrometres.
    white_cells : float or None
        Nucleated cells per square millimetre, 0 to 10,000; None: usual for the kind.
    red_cells : float or None
        Red cells per square millimetre, 0 to 30,000; None: usual for the kind.
    debris : float or None
        Platelets, stain precipitate, droplets and smudged cells per square millimetre, 0 to 20,000; None: usual.
        With all three at 0 the field is bare glass.
    stain : Stain
        Optical densities of the dyed parts.
    illumination : float
        Share of the light lost in the darkest corner, 0 (even) to 1.
    defocus_um : float
        Standard deviation of the blur, 0 to 20 micrometres; a good objective in focus has about 0.12.
    noise : float
        Standard deviation of the sensor's noise, 0 to 64 gray levels.
    exposure : float
        Exposure relative to the right one, 0 (black) to 10; 3 saturates.
    white_balance : tuple of float
        Gains of red and blue relative to green, 0.2 to 5.
    brightest : tuple of float or None
        Where the light is brightest, across and down, 0 to 1 of the frame; None: somewhere else in every field.
    round_field : float or None
        Diameter of the lit circle that an eyepiece adapter leaves, 0.1 to 2 times the frame's shorter side, dark
        outside; None: the whole frame is lit.

    Raises
    ------
    ConfigurationError
        When a value is outside its range.
    """

    kind: SmearKind = "normal"
    size_px: tuple[int, int] = (2560, 1920)
    um_per_px: float = 0.1
    white_cells: float | None = None
    red_cells: float | None = None
    debris: float | None = None
    stain: Stain = field(default_factory=Stain)
    illumination: float = 0.08
    defocus_um: float = 0.12
    noise: float = 1.5
    exposure: float = 1.0
    white_balance: tuple[float, float] = (1.0, 1.0)
    brightest: tuple[float, float] | None = None
    round_field: float | None = None

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.kind not in get_args(SmearKind):
            raise ConfigurationError(f"smear kind {self.kind!r}", f"must be one of {', '.join(get_args(SmearKind))}")
        if len(self.size_px) != 2 or not all(
            isinstance(side, int) and 1 <= side <= _LARGEST_SIDE_PX for side in self.size_px
        ):
            raise ConfigurationError(
                f"smear size_px={self.size_px!r}", f"needs a width and a height of 1 to {_LARGEST_SIDE_PX} pixels"
            )
        for name, (low, high, unit) in _RANGES.items():
            value = getattr(self, name)
            usual = value is None and name in _OPTIONAL
            if not usual and not (value is not None and low <= value <= high):
                raise ConfigurationError(f"smear {name}={value!r}", f"must be {low:g} to {high:g} {unit}")
        if self.brightest is not None and not (
            len(self.brightest) == 2 and all(0 <= part <= 1 for part in self.brightest)
        ):
            raise ConfigurationError(f"smear brightest={self.brightest!r}", "needs two parts of the frame, 0 to 1")
        if len(self.white_balance) != 2 or not all(0.2 <= gain <= 5 for gain in self.white_balance):
            raise ConfigurationError(
                f"smear white_balance={self.white_balance!r}", "needs a red and a blue gain of 0.2 to 5"
            )

    def per_mm2(self) -> tuple[float, float, float]:
        """Give the densities that will be drawn.

        Returns
        -------
        tuple of float
            White cells, red cells and debris per square millimetre.
        """
        white, red, debris = _USUAL_PER_MM2[self.kind]
        return (
            white if self.white_cells is None else self.white_cells,
            red if self.red_cells is None else self.red_cells,
            debris if self.debris is None else self.debris,
        )


def random_smear(rng: np.random.Generator, kind: SmearKind | None = None, **fixed: Any) -> Smear:
    """Draw a plausible smear, for training on what laboratories and microscopes vary in.

    Stain, densities, focus, noise, exposure, white balance and illumination vary; size and scale stay at their
    defaults unless fixed.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    kind : {"ALL", "MM", "normal"}, optional
        Kind of smear; any by default.
    **fixed
        Attributes of :class:`Smear` that shall not vary. They do not change how the others fall.

    Returns
    -------
    Smear
        Usable most of the time: neither blank nor grossly out of focus.

    Raises
    ------
    ConfigurationError
        When a fixed value is unknown or outside its range.
    """
    drawn = get_args(SmearKind)[int(rng.integers(len(get_args(SmearKind))))]
    kind = kind or drawn
    white, red, debris = _USUAL_PER_MM2.get(kind, _USUAL_PER_MM2["normal"])
    plausible: dict[str, Any] = {
        "kind": kind,
        "white_cells": white * math.exp(rng.normal(0, 0.4)),
        "red_cells": red * math.exp(rng.normal(0, 0.4)),
        "debris": debris * math.exp(rng.normal(0, 0.6)),
        "stain": random_stain(rng),
        "illumination": float(rng.uniform(0, 0.35)),
        "defocus_um": float(0.1 + abs(rng.normal(0, 0.15))),
        "noise": float(rng.uniform(0.5, 5)),
        "exposure": float(rng.uniform(0.8, 1.1)),
        "white_balance": (float(rng.normal(1, 0.05)), float(rng.normal(1, 0.07))),
    }
    try:
        return Smear(**(plausible | fixed))
    except TypeError as error:
        raise ConfigurationError("smear", str(error)) from error
