"""Bars around a field: of letterboxing, of a microscope's software, of a figure in a paper.

They say which program saved the picture, so a network learns them instead of cells; and they spoil the white balance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edge.camera.decode import LEAST_SIDE_PX, read_image
from edge.errors import ImageError
from edge.frame import Pixels
from trainer.manifest import LabelledField, Roi

_TOLERANCE = 8
_LEAST_STEP = 12
_LEAST_SHARE = 0.98


def find(pixels: Pixels) -> Roi | None:
    """Find the region inside a picture's borders.

    A border is made of whole lines of one colour at an edge, that end at a step: clear glass is of one colour as well,
    but never ends along a straight line. Bars with writing on them are not found.

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
    while min(bottom - top, right - left) >= LEAST_SIDE_PX:
        rows = pixels[top:bottom, left:right]
        columns = rows.swapaxes(0, 1)
        bars = _depth(rows), _depth(columns), _depth(rows[::-1]), _depth(columns[::-1])
        if not any(bars):
            break
        top, left, bottom, right = top + bars[0], left + bars[1], bottom - bars[2], right - bars[3]
    if min(bottom - top, right - left) < LEAST_SIDE_PX or (bottom - top, right - left) == pixels.shape[:2]:
        return None
    return Roi(left, top, right - left, bottom - top)


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
    if not _is_plain(lines[:1], colour)[0]:
        return 0
    plain = _is_plain(lines[: len(lines) // 2], colour)
    depth = int(plain.argmin())
    # A bar over half the picture, or one colour all over.
    if plain.all():
        return 0
    # The line at the step is blended of both when the picture was resized.
    beyond = lines[depth + 1].astype(np.int16)
    step = float(np.median(np.abs(beyond - colour).max(axis=-1)))
    return depth + 1 if step >= _LEAST_STEP else 0


def _is_plain(
    lines: Pixels, colour: np.ndarray[tuple[int, ...], np.dtype[np.int16]]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    near = np.abs(lines.astype(np.int16) - colour).max(axis=-1) <= _TOLERANCE
    return np.asarray(near.mean(axis=1) >= _LEAST_SHARE)
