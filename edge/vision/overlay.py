"""A heat map over the field: which tiles the model judged, and as what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from edge.frame import Pixels

COLOURS_BGR = ((40, 40, 220), (220, 120, 0), (60, 160, 60), (0, 170, 230), (180, 60, 180), (150, 150, 0))
"""Colour of each class in the model's order, then round again; they differ in lightness too, for the colour-blind."""

_HEAT = 0.35


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
    def size_px(self) -> int:
        """Side of the square, pixels of the frame."""
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

    A tile is tinted by its class, more strongly the more probable, and framed along its outermost pixels, so that
    what lies inside the frame is what the model saw.

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
        Shape (height, width, 3), uint8, BGR.
    """
    height, width = pixels.shape[:2]
    thickness = max(1, round(min(height, width) / 400))
    picture = pixels.copy()
    for tile in sorted(tiles, key=lambda tile: max(tile.probabilities)):
        left, top = max(0, tile.x_px), max(0, tile.y_px)
        right, bottom = min(width, tile.x_px + tile.size_px), min(height, tile.y_px + tile.size_px)
        heat = _HEAT * max(tile.probabilities)
        tint = heat * np.array(_colour(tile.label, classes), np.float32)
        picture[top:bottom, left:right] = np.rint((1 - heat) * pixels[top:bottom, left:right] + tint)
    for tile in tiles:
        # A thick line of OpenCV's would straddle the tile's edge: line by line it stays within.
        for inset in range(min(thickness, (tile.size_px + 1) // 2)):
            corner = (tile.x_px + inset, tile.y_px + inset)
            opposite = (tile.x_px + tile.size_px - 1 - inset, tile.y_px + tile.size_px - 1 - inset)
            cv2.rectangle(picture, corner, opposite, _colour(tile.label, classes))
    _legend(picture, classes, caption)
    return picture


def _colour(label: str, classes: Sequence[str]) -> tuple[int, int, int]:
    return COLOURS_BGR[list(classes).index(label) % len(COLOURS_BGR)]


def _legend(picture: Pixels, classes: Sequence[str], caption: str) -> None:
    size = min(picture.shape[:2]) / 1000
    thickness = max(1, round(2 * size))
    step = max(8, round(36 * size))
    rows = [(caption, (0, 0, 0)), *((name, _colour(name, classes)) for name in classes)]
    for row, (text, colour) in enumerate(rows, start=1):
        origin = (step // 3, row * step)
        cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 4 * thickness)
        cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, colour, thickness)
