"""Slides by which a microscope is calibrated: clear glass, and a scale of lines."""

from __future__ import annotations

import math

import numpy as np

from edge.frame import Pixels
from edge.simulator.optics import OD_STEPS, photograph
from edge.simulator.smear import Smear

PITCH_UM = 10.0
"""Distance of the lines of a stage micrometer: a hundredth of a millimetre."""

_LINE_UM = 2.0
_LINE_OD = 1.2
_EDGE_UM = 0.15
_TILT_RAD = 0.03


def glass(smear: Smear, seed: int) -> Pixels:
    """Photograph an empty field.

    Parameters
    ----------
    smear : Smear
        How it is seen; what is on the glass is left out.
    seed : int
        Which noise, 0 or more.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR.
    """
    width, height = smear.size_px
    return photograph(np.zeros((height, width, 3), np.uint16), smear, np.random.default_rng([seed, 1]))


def micrometer(smear: Smear, seed: int) -> Pixels:
    """Photograph a stage micrometer: dark lines 10 um apart, not quite upright.

    Parameters
    ----------
    smear : Smear
        How it is seen; ``um_per_px`` is the scale that the lines show.
    seed : int
        Which noise, 0 or more; the scale lies still.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR.
    """
    width, height = smear.size_px
    x = np.arange(width, dtype=np.float32) * np.float32(smear.um_per_px * math.cos(_TILT_RAD))
    y = np.arange(height, dtype=np.float32) * np.float32(smear.um_per_px * math.sin(_TILT_RAD))
    place = np.mod(x[None, :] + y[:, None], PITCH_UM)
    away = np.abs(place - PITCH_UM / 2)
    line = np.clip((_LINE_UM / 2 - away) / _EDGE_UM + 0.5, 0, 1) * np.float32(_LINE_OD * OD_STEPS)
    absorbance = np.repeat(line.astype(np.uint16)[..., None], 3, axis=2)
    return photograph(absorbance, smear, np.random.default_rng([seed, 1]))
