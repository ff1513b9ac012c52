"""A heat map over the field: which tiles the model judged, and as what.

Tiles around cells overlap where cells are dense. Each pixel belongs to the tile whose middle is nearest, so that every
cell shows its own tile's colour and no other's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import Pixels

COLOURS_BGR = ((40, 40, 220), (220, 120, 0), (60, 160, 60), (0, 170, 230), (180, 60, 180), (150, 150, 0))
"""Colour of each class in the model's order, then round again; they differ in lightness too, for the colour-blind."""

_HEAT = 0.25
"""Tint of a tile judged with certainty: more would hide the stain, by which a haematologist judges."""

_PALE = 0.85
"""How far the legend's plate is brought to white."""

_LEAST_SIDE_PX, _MOST_SIDE_PX = 450, 4096
"""A smaller field is enlarged, pixel by pixel, until its legend can be read; but not beyond the larger."""

_STRIP_PX = 64
"""Rows that are drawn at a time, so that drawing takes hardly more memory than the picture."""


class JudgedTile(Protocol):
    """What is drawn of a tile: :class:`edge.result.TileResult` has it."""

    @property
    def x_px(self) -> int:
        """Left edge, pixels of the frame."""
        ...

    @property
    def y_px(self) -> int:
        """Top edge, pixels of the frame."""
        ...

    @property
    def width_px(self) -> int:
        """Width, pixels of the frame."""
        ...

    @property
    def height_px(self) -> int:
        """Height, pixels of the frame."""
        ...

    @property
    def label(self) -> str:
        """Most probable class."""
        ...

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Probability of each class."""
        ...


def draw(pixels: Pixels, tiles: Sequence[JudgedTile], classes: Sequence[str], caption: str) -> Pixels:
    """Draw the judged tiles over a field.

    A tile's part of the field, which is all of it where no other tile overlaps, is tinted by its class, more strongly
    the more probable, and framed along its outermost pixels.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR, the frame as captured; not changed.
    tiles : sequence of JudgedTile
        The judged tiles, in pixels of the frame.
    classes : sequence of str
        The model's classes.
    caption : str
        One line, ASCII, written at the top.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR; each a whole number of times as large where the field is small.
    """
    height, width = pixels.shape[:2]
    thickness = max(1, round(min(height, width) / 400))
    around = np.ones((2 * thickness + 1, 2 * thickness + 1), np.uint8)
    picture = pixels.copy()
    for first in range(0, height, _STRIP_PX):
        last = min(first + _STRIP_PX, height)
        # A rim is told by what lies beyond it.
        before, after = max(0, first - thickness), min(height, last + thickness)
        owners = owned(width, (before, after), tiles)
        is_rim = cv2.dilate(owners, around) != cv2.erode(owners, around)
        rows = np.s_[first - before : last - before]
        _tint(picture[first:last], owners[rows], is_rim[rows], tiles, classes)
    times = max(1, min(-(-_LEAST_SIDE_PX // min(height, width)), _MOST_SIDE_PX // max(height, width)))
    if times > 1:
        picture = picture.repeat(times, axis=0).repeat(times, axis=1)
    _legend(picture, classes, caption)
    return picture


def owned(width: int, rows: tuple[int, int], tiles: Sequence[JudgedTile]) -> NDArray[np.int16]:
    """Deal the pixels of a frame out to its tiles.

    Parameters
    ----------
    width : int
        Width of the frame, pixels.
    rows : tuple of int
        First row, and the one after the last.
    tiles : sequence of JudgedTile
        The judged tiles, 32767 at most.

    Returns
    -------
    ndarray
        Shape (rows, width), int16: index of the tile that covers the pixel and whose middle is nearest, of equally
        near ones the most probable; -1 where there is none.
    """
    first, end = rows
    owners = np.full((end - first, width), -1, np.int16)
    nearest = np.full(owners.shape, np.inf, np.float32)
    for index in sorted(range(len(tiles)), key=lambda index: max(tiles[index].probabilities)):
        tile = tiles[index]
        left, top = max(0, tile.x_px), max(first, tile.y_px)
        right, bottom = min(width, tile.x_px + tile.width_px), min(end, tile.y_px + tile.height_px)
        if left >= right or top >= bottom:
            continue
        place = np.s_[top - first : bottom - first, left:right]
        across = np.arange(left, right, dtype=np.float32) - (tile.x_px + (tile.width_px - 1) / 2)
        down = np.arange(top, bottom, dtype=np.float32) - (tile.y_px + (tile.height_px - 1) / 2)
        apart = across**2 + down[:, None] ** 2
        is_nearer = apart <= nearest[place]
        np.copyto(nearest[place], apart, where=is_nearer)
        np.copyto(owners[place], np.int16(index), where=is_nearer)
    return owners


def _tint(
    strip: Pixels,
    owners: NDArray[np.int16],
    is_rim: NDArray[np.bool_],
    tiles: Sequence[JudgedTile],
    classes: Sequence[str],
) -> None:
    width = strip.shape[1]
    for index in np.unique(owners[owners >= 0]).tolist():
        tile = tiles[index]
        colour = np.array(_colour(tile.label, classes))
        heat = _HEAT * max(tile.probabilities)
        columns = np.s_[:, max(0, tile.x_px) : min(width, tile.x_px + tile.width_px)]
        is_own = owners[columns] == index
        blend = np.column_stack([(1 - heat) * np.eye(3), heat * colour])
        cv2.copyTo(cv2.transform(strip[columns], blend), is_own.view(np.uint8), strip[columns])
        strip[columns][is_own & is_rim[columns]] = colour


def _colour(label: str, classes: Sequence[str]) -> tuple[int, int, int]:
    return COLOURS_BGR[list(classes).index(label) % len(COLOURS_BGR)]


def _legend(picture: Pixels, classes: Sequence[str], caption: str) -> None:
    size = min(picture.shape[:2]) / 1400
    thickness = max(1, round(2 * size))
    step = max(8, round(36 * size))
    rows = [(caption, (0, 0, 0)), *((name, _colour(name, classes)) for name in classes)]
    for row, (text, colour) in enumerate(rows):
        (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
        # On a plate as pale as glass, and no larger than it need be: a word must be read over whatever cell lies there.
        plate = picture[row * step : (row + 1) * step, : width + 2 * (step // 3)]
        plate[:] = np.rint((1 - _PALE) * plate + _PALE * 255)
        origin = (step // 3, row * step + round(0.75 * step))
        cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness)
