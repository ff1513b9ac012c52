"""Where tiles lie and how they are cut: a grid that covers every pixel, or squares around the nuclei."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import Pixels
from edge.vision.balance import WHITE

Corners = NDArray[np.int32]
"""Tiles' top left corners: shape (n, 2), int32, x and y in pixels; a tile may reach beyond the image."""

NO_CORNERS: Corners = np.empty((0, 2), np.int32)


def grid(width: int, height: int, tile: int, overlap: int = 0) -> Corners:
    """Lay tiles over an image so that every pixel is covered and no tile leaves the image unless it must.

    Neighbours overlap by at least ``overlap``; the last column and row are moved inward to end at the edge. An
    image smaller than a tile gets one tile that starts at its corner.

    Parameters
    ----------
    width, height : int
        Size of the image, pixels, at least 1.
    tile : int
        Side of a tile, pixels, at least 1.
    overlap : int
        Least overlap of neighbours, pixels, 0 to ``tile - 1``.

    Returns
    -------
    ndarray
        Shape (columns * rows, 2), row by row, with columns = 1 + ceil(max(0, width - tile) / (tile - overlap)).

    Raises
    ------
    ValueError
        When a size is below 1 or the overlap is not below the tile's side.
    """
    if min(width, height, tile) < 1 or not 0 <= overlap < tile:
        raise ValueError(f"no grid of tiles of {tile} px with overlap {overlap} px over {width}x{height} px")
    xs, ys = (_starts(length, tile, tile - overlap) for length in (width, height))
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.int32)


def _starts(length: int, tile: int, stride: int) -> NDArray[np.int64]:
    last = max(0, length - tile)
    return np.minimum(np.arange(-(-last // stride) + 1) * stride, last)


def around(centres: NDArray[np.float32], tile: int) -> Corners:
    """Centre a tile on each point.

    Parameters
    ----------
    centres : ndarray
        Shape (n, 2), float32, x and y, pixels.
    tile : int
        Side of a tile, pixels.

    Returns
    -------
    ndarray
        Shape (n, 2), int32.
    """
    return np.asarray(np.rint(centres - (tile - 1) / 2), np.int32)


def sample(count: int, most: int) -> NDArray[np.int64]:
    """Choose which of a field's cells are judged: all of them, or a systematic sample of their order.

    A field's verdict is the share of its cells that are of each class. The order is by size, and the first ones only
    would be the largest: every second or third has the shares of all.

    Parameters
    ----------
    count : int
        Number of cells, 0 or more.
    most : int
        At most so many are chosen, 1 or more.

    Returns
    -------
    ndarray
        Shape (min(count, most),), int64, increasing: evenly spaced numbers from 0 to ``count - 1``.
    """
    chosen = min(count, most)
    return (2 * np.arange(chosen, dtype=np.int64) + 1) * count // (2 * max(1, chosen))


def sample_of_each(owners: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Choose the cells of many fields that are judged, a :func:`sample` of each.

    Parameters
    ----------
    owners : ndarray
        Shape (n,), int64, which field each cell is of; the cells of a field in their order.
    most : int
        At most so many of a field are chosen, 1 or more.

    Returns
    -------
    ndarray
        Shape (n,), bool.
    """
    judged = np.zeros(len(owners), np.bool_)
    order = np.argsort(owners, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(owners[order])) + 1):
        judged[own[sample(len(own), most)]] = True
    return judged


def chromatin(corners: Corners, tile: int, mask: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Measure how much stained nucleus each tile holds, so that the network's time goes to tiles that have some.

    Parameters
    ----------
    corners : ndarray
        Shape (n, 2), int32.
    tile : int
        Side of a tile, pixels.
    mask : ndarray
        Shape (height, width), uint8, 1 where chromatin is.

    Returns
    -------
    ndarray
        Shape (n,), float64, share of the tile's area, 0 to 1.
    """
    sums = cv2.integral(mask)
    height, width = mask.shape
    left, right = (np.clip(corners[:, 0] + d, 0, width) for d in (0, tile))
    top, bottom = (np.clip(corners[:, 1] + d, 0, height) for d in (0, tile))
    covered = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray(covered / (tile * tile), np.float64)


def cut(image: Pixels, corners: Corners, tile: int) -> Pixels:
    """Copy tiles out of an image; what lies beyond its edge is clear glass.

    Parameters
    ----------
    image : ndarray
        Shape (height, width, 3), uint8, BGR, white-balanced.
    corners : ndarray
        Shape (n, 2), int32; may lie outside the image.
    tile : int
        Side of a tile, pixels.

    Returns
    -------
    ndarray
        Shape (n, tile, tile, 3), uint8, BGR.
    """
    height, width = image.shape[:2]
    tiles = np.empty((len(corners), tile, tile, 3), np.uint8)
    for copy, (x, y) in zip(tiles, corners.tolist(), strict=True):
        if 0 <= x <= width - tile and 0 <= y <= height - tile:
            copy[:] = image[y : y + tile, x : x + tile]
            continue
        left, top, right, bottom = max(0, x), max(0, y), min(width, x + tile), min(height, y + tile)
        copy[:] = WHITE
        if right > left and bottom > top:
            copy[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    return tiles
