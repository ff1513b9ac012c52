"""Size of a pixel from red cells, whose diameter in a dried smear is known: the ruler that every slide has.

Isolated round bodies without chromatin are red cells; the median of their diameters stands against 7.2 um, the mean of
adults on a dried smear (Bain, "Blood Cells", 5th edition 2015: 6.7 to 7.7 um). Disease makes them larger or smaller by
some tenths, so that this finds the wrong objective, and no error of a few per cent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import Pixels
from edge.vision import balance
from edge.vision.balance import OD_STEPS_PER_UNIT
from edge.vision.micrometer import MeasuredScale

DIAMETER_UM = 7.2
SPREAD = 0.07
"""Half the range of healthy means, 6.7 to 7.7 um, over their middle."""

LEAST_CELLS = 12

MOST_ODD = 1.35
"""No disease makes most red cells so much larger or smaller; the next objective does."""

_WIDEST_PX = 1280
_CUT_OFF = 0.15
_LEAST_OD = 0.04
_CHROMATIN_RED_OD = 0.22
_MOST_CHROMATIN = 0.03
_LEAST_ROUNDNESS = 0.78
_SMALLEST_PX = 6


def measure(frames: Iterable[Pixels]) -> MeasuredScale | None:
    """Measure the size of a pixel from the red cells of some fields.

    Parameters
    ----------
    frames : iterable of ndarray
        Each of shape (height, width, 3), uint8, BGR, all of one size: different fields of a stained smear. None is held
        any longer than it is looked at.

    Returns
    -------
    MeasuredScale or None
        The interval has what healthy people differ in and the median's own (McGill 1978); None when fewer than twelve
        red cells lie alone.
    """
    found, reduction = _sizes(frames)
    if len(found) < LEAST_CELLS:
        return None
    middle = float(np.median(found))
    quartiles = np.quantile(found, (0.25, 0.75))
    own = 1.57 * float(quartiles[1] - quartiles[0]) / math.sqrt(len(found)) / middle
    relative = math.hypot(own, SPREAD)
    um_per_px = DIAMETER_UM / middle / reduction
    return MeasuredScale(um_per_px, um_per_px * (1 - relative), um_per_px * (1 + relative), len(found))


def are_odd(pixels: Pixels, um_per_px: float) -> bool:
    """Say whether red cells are so far from their size that the pixel size must be wrong, as of another objective.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR: a stained smear.
    um_per_px : float
        What the pixel size is said to be, micrometres.
    """
    found, reduction = _sizes([_central(pixels)])
    if len(found) < LEAST_CELLS:
        return False
    # NumPy's median and quantile take 6 ms when they are first called, which is in the way of a process's first image.
    middle = _median(np.sort(found))
    return not 1 / MOST_ODD <= DIAMETER_UM / middle / reduction / um_per_px <= MOST_ODD


def _central(pixels: Pixels) -> Pixels:
    """Cut half of a large frame's area out of its middle: red cells enough for a rough look, in half the time."""
    height, width = pixels.shape[:2]
    if width <= _WIDEST_PX:
        return pixels
    top, left = round(height * _CUT_OFF), round(width * _CUT_OFF)
    return pixels[top : height - top, left : width - left]


def _sizes(frames: Iterable[Pixels]) -> tuple[NDArray[np.float64], int]:
    """Measure the diameters of lone red cells, in pixels of frames that were made smaller by a whole number."""
    every, reduction = [], 1
    for pixels in frames:
        # Of a very flat frame a line of pixels is left.
        reduction = max(1, min(math.ceil(pixels.shape[1] / _WIDEST_PX), pixels.shape[0]))
        small = cv2.resize(pixels, None, fx=1 / reduction, fy=1 / reduction, interpolation=cv2.INTER_AREA)
        every.append(_lone_px(np.asarray(small, np.uint8)))
    return _usual(np.concatenate(every)), reduction


def _lone_px(pixels: Pixels) -> NDArray[np.float64]:
    """Measure the round bodies without chromatin that lie alone, of whatever size."""
    _, glass_green, glass_red = balance.expose(pixels).glass.tolist()
    density = cv2.LUT(cv2.extractChannel(pixels, 1), _densities(glass_green))
    green = np.asarray(cv2.GaussianBlur(density, (5, 5), 0), np.uint8)
    # Otsu between glass and cells; nuclei, far denser than either, would draw it up to themselves.
    limit, _ = cv2.threshold(np.minimum(green, 30), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    _, mask = cv2.threshold(green, max(limit, _LEAST_OD * OD_STEPS_PER_UNIT), 1, cv2.THRESH_BINARY)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    is_chromatin = _densities(glass_red) > _CHROMATIN_RED_OD * OD_STEPS_PER_UNIT
    height, width = mask.shape
    found = []
    for contour in contours:
        x, y, across, down = cv2.boundingRect(contour)
        if min(across, down) < _SMALLEST_PX or not (x > 0 and y > 0 and x + across < width and y + down < height):
            continue
        # A contour runs through the middles of the border's pixels: half a pixel is outside it.
        area = cv2.contourArea(contour) + cv2.arcLength(contour, True) / 2
        if area < _LEAST_ROUNDNESS * math.pi * (max(across, down) / 2) ** 2:
            # Longer than it is wide: its circle is no smaller, and takes longest to find.
            continue
        _, radius = cv2.minEnclosingCircle(contour)
        if area < _LEAST_ROUNDNESS * math.pi * (radius + 0.5) ** 2:
            continue
        if float(is_chromatin[pixels[y : y + down, x : x + across, 2]].mean()) > _MOST_CHROMATIN:
            continue
        found.append(math.sqrt(4 * area / math.pi))
    return np.array(found, np.float64)


def _densities(glass: float) -> NDArray[np.uint8]:
    """Give the optical density, in hundredths, of each level of a channel whose clear glass has that level."""
    levels = np.clip(np.rint(np.arange(256) * (balance.WHITE / glass)), 0, 255).astype(np.uint8)
    return balance.density_of(levels)


def _median(ordered: NDArray[np.float64]) -> float:
    """Give the median of what is sorted."""
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _usual(diameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out the sizes that little of the area has: platelets and debris are many, and small."""
    if not len(diameters):
        return diameters
    ordered = np.sort(diameters)
    share = np.cumsum(ordered**2) / float((ordered**2).sum())
    # The middle of the narrowest stretch of sizes, as ratios, with half the area.
    begins = share - ordered**2 / float((ordered**2).sum())
    begins = begins[begins <= 0.5]
    ends = np.minimum(np.searchsorted(share, begins + 0.5 - 1e-9), len(ordered) - 1)
    begin = int(np.argmin(ordered[ends] / ordered[: len(ends)]))
    mode = _median(ordered[begin : ends[begin] + 1])
    # Specks pile up at the smallest size that is looked at.
    return diameters[(diameters > 0.75 * mode) & (diameters < 1.3 * mode) & (mode > 2 * _SMALLEST_PX)]
