"""Bars around a field: of letterboxing, of a microscope's software, of a figure in a paper.

They say which program saved the picture, so a network learns them instead of cells; and they spoil the white balance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.camera.decode import LEAST_SIDE_PX, read_image
from edge.errors import ImageError
from edge.frame import Pixels
from trainer.manifest import LabelledField, Roi

_TOLERANCE = 8
_RINGING = 40
_LEAST_STEP = 16
_PLAIN_SHARE = 0.98


def find(pixels: Pixels) -> Roi | None:
    """Find the region inside a picture's borders.

    A border is made of whole lines of one colour at an edge that end at a step: clear glass is of one colour as well,
    but does not end along a straight line. Bars with writing on them are not found.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.

    Returns
    -------
    Roi or None
        What is left without the borders; None when there is none, or nothing usable would be left.
    """
    top, left, bottom, right = 0, 0, pixels.shape[0], pixels.shape[1]
    # Twice, since bars at the sides are seen as such only without those above and below, or the other way round.
    for _ in range(2):
        rows = pixels[top:bottom, left:right]
        columns = rows.swapaxes(0, 1)
        top, bottom = top + _depth(rows), bottom - _depth(rows[::-1])
        left, right = left + _depth(columns), right - _depth(columns[::-1])
        if min(bottom - top, right - left) < LEAST_SIDE_PX:
            return None
    roi = Roi(left, top, right - left, bottom - top)
    return roi if (roi.height, roi.width) != pixels.shape[:2] else None


def remove(fields: Sequence[LabelledField], progress: Callable[[int], None] = lambda _: None) -> list[LabelledField]:
    """Give the fields that have borders a region of interest without them.

    Parameters
    ----------
    fields : sequence of LabelledField
        The data set; fields with a region of interest, and those that cannot be read, stay as they are.
    progress : callable
        Called with the number of fields done.

    Returns
    -------
    list of LabelledField
        All fields.
    """
    found = []
    for done, field in enumerate(fields, start=1):
        found.append(replace(field, roi=field.roi or _read_and_find(field)))
        progress(done)
    return found


def _read_and_find(field: LabelledField) -> Roi | None:
    try:
        return find(read_image(field.path))
    except ImageError:
        return None


def _depth(lines: Pixels) -> int:
    """Count the lines of the border that begins with the first."""
    colour = np.median(lines[0], axis=0).astype(np.int16)
    if _quantile(lines[0], colour, _PLAIN_SHARE) > _TOLERANCE:
        return 0
    for depth in range(1, len(lines) // 2):
        line = lines[depth]
        # JPEG lets the field ring into its border, in a few pixels of a line.
        if _quantile(line, colour, 0.5) > _TOLERANCE or _quantile(line, colour, _PLAIN_SHARE) > _RINGING:
            # This line may be blended of both, where the picture was resized.
            return depth + 1 if _quantile(lines[depth + 1], colour, 0.5) >= _LEAST_STEP else 0
    return 0


def _quantile(line: NDArray[np.uint8], colour: NDArray[np.int16], share: float) -> float:
    """Give the distance from a colour, in the channel that differs most, that a share of a line's pixels keeps."""
    return float(np.quantile(np.abs(line.astype(np.int16) - colour).max(axis=-1), share))
