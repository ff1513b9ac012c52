"""Where the nuclei are: a cheap mask of nuclear stain and one centre per nucleated cell.

Works on white-balanced optical density at the model's scale, so that stain and lamp matter little. Thiazine dyes
(azure B, methylene blue) bound to chromatin absorb green most, and red more than blue; a red cell (eosin, haemoglobin)
absorbs blue at least as much as green, and cytoplasm much less than chromatin. Both differences together leave
chromatin.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.balance import sampled
from edge.vision.scale import blur

_LEAST_CHROMATIN = 15
_OTSU_SHARE = 0.85
_OTSU_SAMPLES = 48_000
_SMOOTHING_UM = 0.5
_BODY_UM = 2.0
_SPACING_UM = 7.0
_LEAST_COVER = 0.4
_FULL = 65535


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """Nuclear stain of a field at the model's scale.

    Attributes
    ----------
    mask : ndarray
        Shape (height, width), uint8, 1 where chromatin is, else 0.
    centres : ndarray
        Shape (n, 2), float32, x and y of one point per nucleated cell, pixels, largest bodies first.
    """

    mask: NDArray[np.uint8]
    centres: NDArray[np.float32]


def find(density: NDArray[np.uint8], um_per_px: float, inside: NDArray[np.uint8] | None = None) -> Nuclei:
    """Find the nuclei of a field.

    Parameters
    ----------
    density : ndarray
        Shape (3, height, width), uint8, hundredths of optical density in blue, green, red
        (:func:`edge.vision.balance.optical_density`).
    um_per_px : float
        Pixel size, micrometres.
    inside : ndarray, optional
        Shape (height, width), uint8, non-zero where the field is lit; nothing is found outside.

    Returns
    -------
    Nuclei
        Mask and centres. The lobes of one segmented nucleus share a centre; touching cells have one each.
    """
    chromatin = _chromatin(density)
    if inside is not None:
        chromatin[inside == 0] = 0
    smooth = blur(chromatin, _SMOOTHING_UM / um_per_px)
    otsu, _ = cv2.threshold(sampled(np.asarray(smooth, np.uint8), _OTSU_SAMPLES), 0, 255, cv2.THRESH_OTSU)
    _, stained = cv2.threshold(smooth, max(_OTSU_SHARE * otsu, _LEAST_CHROMATIN), 255, cv2.THRESH_BINARY)
    mask = cv2.morphologyEx(stained, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(np.uint8, copy=False)
    return Nuclei((mask > 0).astype(np.uint8), _centres(mask, um_per_px))


def label_depth(mask: NDArray[np.uint8]) -> int:
    """Choose the depth of labels for OpenCV's connected components.

    Labels of 16 bits take half the time, but more components than they can count crash OpenCV, and noise has that many.

    Parameters
    ----------
    mask : ndarray
        Shape (height, width).

    Returns
    -------
    int
        ``cv2.CV_16U`` where that is enough for any image of that size, else ``cv2.CV_32S``.
    """
    height, width = mask.shape
    most_components = ((height + 1) // 2) * ((width + 1) // 2)
    return cv2.CV_16U if most_components < np.iinfo(np.uint16).max else cv2.CV_32S


def _chromatin(density: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Combine both differences, in fiftieths of optical density so that no sum saturates."""
    blue, green, red = density
    green_over_blue = cv2.addWeighted(cv2.addWeighted(green, 1.0, red, -0.15, 0), 1.0, blue, -0.5, 0)
    red_and_green_over_blue = cv2.addWeighted(cv2.addWeighted(red, 0.575, green, 0.575, 0), 1.0, blue, -0.575, 0)
    return np.asarray(cv2.min(green_over_blue, red_and_green_over_blue), np.uint8)


def _centres(mask: NDArray[np.uint8], um_per_px: float) -> NDArray[np.float32]:
    """Find the middles of bodies of chromatin: peaks of the mask blurred to the size of a small nucleus.

    Half the resolution is ample for that and four times as fast; 16 bits keep the top of a large nucleus from being
    flat.
    """
    height, width = mask.shape
    half_size = max(1, round(width / 2)), max(1, round(height / 2))
    half = cv2.resize(mask, half_size, interpolation=cv2.INTER_AREA).astype(np.uint16) * 257
    body = blur(half, _BODY_UM / um_per_px / 2)
    reach = max(3, round(_SPACING_UM / um_per_px / 2) | 1)
    highest = cv2.dilate(body, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    peaks = ((body == highest) & (body > _LEAST_COVER * _FULL)).astype(np.uint8)
    found = _middles(peaks)
    cover = body[tuple(np.rint(found[:, ::-1]).astype(np.intp).T)].astype(np.int64)
    return np.asarray(2 * found[np.argsort(-cover, kind="stable")] + 0.5, np.float32)


def _middles(peaks: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Find the middle of each connected peak; asking OpenCV for statistics of components takes three times as long."""
    points = cv2.findNonZero(peaks)
    if points is None:
        return np.zeros((0, 2))
    x, y = points.reshape(-1, 2).T
    _, parts = cv2.connectedComponents(peaks, connectivity=8, ltype=label_depth(peaks))
    owners = parts[y, x]
    pixels = np.bincount(owners)[1:]
    return np.column_stack([np.bincount(owners, along)[1:] / pixels for along in (x, y)])
