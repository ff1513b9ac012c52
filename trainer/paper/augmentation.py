"""The paper's augmentation: pictures turned by 90 degrees, and edge maps.

The paper makes 424 pictures of 190 and does not say how many are turned and how many are edge maps. Here each field has
its picture, and of all turned pictures and edge maps so many are drawn that the numbers come out as the paper's.

What augmentation makes of a picture depends on nothing but that picture. Augmenting before or after a split is
therefore a question of which rows a protocol deals out to whom (:mod:`trainer.paper.protocols`), and answered there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.paper.fields import Pictures

PAPER_SHARE = 424 / 190
"""Pictures after augmentation for each before it."""

TURNED = "turned"
EDGES = "edges"


def turned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn a picture by 90 degrees, counter-clockwise.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, ...), uint8.

    Returns
    -------
    ndarray
        Shape (width, height, ...), uint8.
    """
    return np.rot90(pixels)


def edge_map(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the edges of a picture: the magnitude of the Sobel gradient of its gray levels.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, three times the same; 0 where it is flat, 255 at and above the steepness of a
        step of 128 levels.
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    along_x, along_y = (cv2.Sobel(gray, cv2.CV_64F, *order) for order in ((1, 0), (0, 1)))
    # OpenCV's own magnitude differs in the last bit from call to call.
    steepness = np.minimum(np.sqrt(along_x**2 + along_y**2) / 2, 255).astype(np.uint8)
    return np.repeat(steepness[..., None], 3, axis=2)


VARIANTS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {TURNED: turned, EDGES: edge_map}


def expand(pictures: Pictures, share: float = PAPER_SHARE, seed: int = 0) -> Pictures:
    """Add turned pictures and edge maps.

    Parameters
    ----------
    pictures : Pictures
        One picture a field.
    share : float
        Pictures wanted for each that is there, 1 (none are added) to 3 (all are).
    seed : int
        Seed of the choice among turned pictures and edge maps.

    Returns
    -------
    Pictures
        The pictures as they were, then those added.
    """
    names = list(VARIANTS)
    candidates = [(row, name) for name in names for row in range(len(pictures.labels))]
    wanted = min(len(candidates), round(len(pictures.labels) * (share - 1)))
    drawn = np.sort(np.random.default_rng(seed).permutation(len(candidates))[:wanted])
    chosen = [candidates[index] for index in drawn.tolist()]
    rows = np.array([row for row, _ in chosen], np.int64)
    made = [VARIANTS[name](pictures.pixels[row]) for row, name in chosen]
    # Of a turned picture the background is turned; an edge map's stays where it was.
    grounds = [turned(pictures.background[row]) if name == TURNED else pictures.background[row] for row, name in chosen]
    return replace(
        pictures,
        pixels=np.concatenate([pictures.pixels, *(one[None] for one in made)]),
        background=np.concatenate([pictures.background, *(one[None] for one in grounds)]),
        labels=np.concatenate([pictures.labels, pictures.labels[rows]]),
        fields=np.concatenate([pictures.fields, pictures.fields[rows]]),
        variants=np.concatenate([pictures.variants, np.array([name for _, name in chosen], pictures.variants.dtype)]),
    )
