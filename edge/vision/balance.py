"""White balance to the clear glass between the cells, and optical density on top of it.

The colour of the lamp, the camera's white balance and the mounting medium multiply every pixel alike (Beer-Lambert:
transmitted = incident * 10 ** -optical density), so dividing by the brightest, clearest part of the field removes them.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import Pixels

WHITE = 240
"""Level (0 to 255) that clear glass is brought to; head-room above it keeps brighter glass from clipping."""

OD_STEPS_PER_UNIT = 100
"""Optical density is kept as uint8 in hundredths: 0 (clear) to 2.38 (level 1 of 240)."""

_GLASS_QUANTILE = 0.95
_DARKEST_GLASS = 16
_SAMPLES = 20_000

_Level = TypeVar("_Level", np.uint8, np.int16)


class Exposure(NamedTuple):
    """How a field is lit.

    Attributes
    ----------
    glass : ndarray
        Shape (3,), float32, level of clear glass, 16 to 255, BGR.
    darkest : ndarray
        Shape (256,), float32: of the sampled pixels how many have each level in their darkest channel.
    """

    glass: NDArray[np.float32]
    darkest: NDArray[np.float32]


def expose(pixels: Pixels, inside: NDArray[np.uint8] | None = None) -> Exposure:
    """Estimate the level of clear glass in each channel, and how the darkest channel's levels are distributed.

    Glass is taken over the pixels whose darkest channel is among the brightest 5%, so that neither a stained cell nor a
    coloured reflection is mistaken for glass.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.
    inside : ndarray, optional
        Shape (height, width), uint8, non-zero where the field is lit.

    Returns
    -------
    Exposure
        Glass of level 255 where nothing is lit.
    """
    pixels = sampled(pixels)
    inside = None if inside is None else sampled(inside)
    blue, green, red = cv2.split(pixels)
    darkest = cv2.min(cv2.min(blue, green), red)
    histogram = np.asarray(cv2.calcHist([darkest], [0], inside, [256], [0, 256]), np.float32).ravel()
    cumulative = histogram.cumsum()
    if cumulative[-1] == 0:
        return Exposure(np.full(3, 255, np.float32), histogram)
    level = int(cumulative.searchsorted(_GLASS_QUANTILE * cumulative[-1]))
    _, glass = cv2.threshold(darkest, min(level, 255) - 1, 255, cv2.THRESH_BINARY)
    if inside is not None:
        glass = cv2.bitwise_and(glass, inside)
    # OpenCV's mean under a mask takes several times as long.
    sums = np.asarray(cv2.sumElems(cv2.copyTo(pixels, glass))[:3])
    return Exposure(np.maximum(sums / cv2.countNonZero(glass), _DARKEST_GLASS).astype(np.float32), histogram)


def sampled(image: NDArray[_Level], least: int = _SAMPLES) -> NDArray[_Level]:
    """Take some rows of a large image, evenly spaced: plenty for a statistic, and nothing is copied.

    Parameters
    ----------
    image : ndarray
        Shape (height, width) or (height, width, 3), uint8 or int16.
    least : int
        About how many pixels at least, unless the image has fewer.

    Returns
    -------
    ndarray
        Every second row from twice as many pixels on, every third from three times; a smaller image itself.
    """
    height, width = image.shape[:2]
    step = min(max(1, height * width // least), height)
    return image[step // 2 :: step]


def white_balance(pixels: Pixels, glass: NDArray[np.float32]) -> Pixels:
    """Scale each channel so that glass comes to ``WHITE``.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.
    glass : ndarray
        Shape (3,), level of clear glass in each channel, from :func:`expose`.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR.
    """
    return cv2.transform(pixels, np.diag(WHITE / glass).astype(np.float32)).astype(np.uint8, copy=False)


_OD_TABLE = np.clip(np.rint(-OD_STEPS_PER_UNIT * np.log10(np.maximum(np.arange(256), 1) / WHITE)), 0, 255).astype(
    np.uint8
)


def optical_density(balanced: Pixels) -> NDArray[np.uint8]:
    """Convert a white-balanced image to optical density.

    Parameters
    ----------
    balanced : ndarray
        Shape (height, width, 3), uint8, BGR, glass at ``WHITE``.

    Returns
    -------
    ndarray
        Shape (3, height, width), uint8, a plane a channel, blue, green, red: hundredths of optical density, 0 to 238.
    """
    planes = np.empty((3, *balanced.shape[:2]), np.uint8)
    cv2.split(cv2.LUT(balanced, _OD_TABLE), tuple(planes))
    return planes


def density_of(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the optical density of white-balanced levels.

    Parameters
    ----------
    levels : ndarray
        Any shape, uint8, glass at ``WHITE``.

    Returns
    -------
    ndarray
        Same shape, uint8: hundredths of optical density, 0 to 238.
    """
    return np.asarray(_OD_TABLE[levels], np.uint8)


def green_density(balanced: Pixels) -> NDArray[np.uint8]:
    """Convert one channel of a white-balanced image to optical density: green, in which every stain shows.

    Parameters
    ----------
    balanced : ndarray
        Shape (height, width, 3), uint8, BGR, glass at ``WHITE``.

    Returns
    -------
    ndarray
        Shape (height, width), uint8: hundredths of optical density, 0 to 238.
    """
    return np.asarray(cv2.LUT(cv2.extractChannel(balanced, 1), _OD_TABLE), np.uint8)
