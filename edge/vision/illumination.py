"""Uneven light: measured on an empty field, taken out of every later one, and watched for drift.

What a camera records is the light at each place times what the specimen lets through, so that dividing by an empty
field leaves the specimen (flat-field correction; Murphy and Davidson 2012, "Fundamentals of Light Microscopy and
Electronic Imaging"). Light varies slowly over the field: a coarse map holds all of it and none of the dust.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import Pixels, WhiteField

DARKEST, BRIGHTEST = 120.0, 252.0
"""Levels between which an empty field's brightest part should lie: well lit, and nothing clipped."""

MOST_COLOUR = 1.35
"""Ratio of the brightest channel to the darkest up to which a white balance is in order."""

MOST_UNEVEN = 0.5
MOST_BRIGHTNESS_DRIFT = 0.2
MOST_COLOUR_DRIFT = 0.1

BRIGHTNESS_DRIFTED = "brightness is not as calibrated"
COLOUR_DRIFTED = "white balance is not as calibrated"
SCALE_DRIFTED = "red cells are not of their usual size: another objective, or a wrong pixel size?"
NUCLEI_DRIFTED = "nuclei are not of their usual size: another objective, or a wrong pixel size?"
DRIFTS = frozenset({BRIGHTNESS_DRIFTED, COLOUR_DRIFTED, SCALE_DRIFTED, NUCLEI_DRIFTED})
"""What may stand among a frame's warnings; the first two only when its camera is calibrated."""

_GRID = 24
_MOST_GAIN = 4.0
_DARK = 0.15
_STRUCTURE = 0.06


def average(frames: Iterable[Pixels]) -> NDArray[np.float32]:
    """Average frames of one field.

    Parameters
    ----------
    frames : iterable of ndarray
        One at least, each of shape (height, width, 3), uint8, BGR; none is held any longer than it is looked at.

    Returns
    -------
    ndarray
        Same shape, float32.
    """
    remaining = iter(frames)
    total = next(remaining).astype(np.float32)
    count = 1
    for count, frame in enumerate(remaining, start=2):  # noqa: B007 - how many there were
        cv2.accumulate(frame, total)
    return np.divide(total, np.float32(count), dtype=np.float32)


def white_field(empty: NDArray[np.float32], um_per_px: float | None = None) -> WhiteField:
    """Make a map of the light from an empty field.

    Parameters
    ----------
    empty : ndarray
        Shape (height, width, 3), float32, BGR, 0 to 255: from :func:`average`.
    um_per_px : float, optional
        Pixel size that was measured, micrometres.

    Returns
    -------
    WhiteField
        The map, 24 squares across.
    """
    coarse = _coarse(empty)
    # The brightest, but for a glint.
    level = np.maximum(np.quantile(coarse.reshape(-1, 3), 0.98, axis=0), 1.0).astype(np.float32)
    gains = np.clip(level / np.maximum(coarse, 1.0), 1.0, _MOST_GAIN).astype(np.float32)
    lit = _lit(empty, coarse)
    # Half a square of light is no gain: at the rim of a round field the squares within are continued.
    weight = lit.astype(np.float32)
    near = cv2.blur(gains * weight[..., None], (5, 5)) / np.maximum(cv2.blur(weight, (5, 5)), 1e-6)[..., None]
    gains[~lit] = np.maximum(near, 1.0)[~lit]
    blue, green, red = (float(channel) for channel in level)
    return WhiteField((blue, green, red), gains, um_per_px)


def problems(empty: NDArray[np.float32]) -> list[str]:
    """Say why an empty field will not do to calibrate by.

    Parameters
    ----------
    empty : ndarray
        Shape (height, width, 3), float32, BGR, 0 to 255: from :func:`average`.

    Returns
    -------
    list of str
        A phrase each, with what to do; empty when it will do.
    """
    coarse = _coarse(empty)
    white = white_field(empty)
    lit = _lit(empty, coarse)
    found = []
    if max(white.level) > BRIGHTEST:
        found.append("it is over-exposed: turn the lamp down")
    if min(white.level) < DARKEST:
        found.append("it is under-exposed: turn the lamp up")
    if max(white.level) > MOST_COLOUR * min(white.level):
        found.append("it is coloured: set the lamp to daylight, or the camera's white balance")
    if lit.any() and float(white.gains[lit].max()) > 1 / (1 - MOST_UNEVEN):
        found.append("the light is too uneven: centre the lamp and open the field diaphragm (Koehler)")
    height, width = empty.shape[:2]
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    # What is left when the light is taken out: dust is little of the field, cells are much of it.
    rest = np.abs(cv2.blur(empty, (5, 5)) - smooth).max(axis=2) > _STRUCTURE * max(white.level)
    inside = cv2.erode(
        cv2.resize(lit.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST),
        np.ones((2 * (width // _GRID) + 1,) * 2, np.uint8),
    )
    if float((rest & (inside > 0)).sum()) > 0.01 * max(1, int(inside.sum())):
        found.append("it is not empty: move to clear glass, or clean what is in the way")
    return found


def flatten(pixels: Pixels, white: WhiteField) -> Pixels:
    """Take uneven light out of a field.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR; of any size: the map covers all of it.
    white : WhiteField
        The map of the light.

    Returns
    -------
    ndarray
        Same shape, uint8.
    """
    height, width = pixels.shape[:2]
    gains = np.asarray(cv2.resize(white.gains, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return cv2.multiply(pixels, gains, dtype=cv2.CV_8U).astype(np.uint8, copy=False)


def drift(white: WhiteField, glass: NDArray[np.float32]) -> tuple[str, ...]:
    """Say in what the light is no longer as it was calibrated.

    Parameters
    ----------
    white : WhiteField
        How it was.
    glass : ndarray
        Shape (3,), level of clear glass in the field, BGR, after :func:`flatten`.

    Returns
    -------
    tuple of str
        ``BRIGHTNESS_DRIFTED`` by more than a fifth, ``COLOUR_DRIFTED`` by more than a tenth; or nothing.
    """
    ratio = np.asarray(glass, np.float64) / np.asarray(white.level)
    found = []
    if not 1 - MOST_BRIGHTNESS_DRIFT <= ratio[1] <= 1 + MOST_BRIGHTNESS_DRIFT:
        found.append(BRIGHTNESS_DRIFTED)
    if max(ratio[0] / ratio[1], ratio[1] / ratio[0], ratio[2] / ratio[1], ratio[1] / ratio[2]) > 1 + MOST_COLOUR_DRIFT:
        found.append(COLOUR_DRIFTED)
    return tuple(found)


def _lit(empty: NDArray[np.float32], coarse: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say which squares are lit throughout: not those of the surround of an eyepiece, nor those at its rim."""
    brightest = empty.max(axis=2)
    dark = (brightest < _DARK * float(coarse.max())).astype(np.float32)
    return np.asarray(cv2.resize(dark, coarse.shape[1::-1], interpolation=cv2.INTER_AREA) == 0)


def _coarse(empty: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = empty.shape[:2]
    size = (min(_GRID, width), max(1, min(round(_GRID * height / width), height)))
    small = cv2.resize(empty, size, interpolation=cv2.INTER_AREA)
    # A grain of dust fills less than a square, and a median over nine leaves it out.
    return np.asarray(cv2.medianBlur(small, 3), np.float32)
