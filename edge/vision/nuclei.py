"""Where the nuclei are: a cheap mask of nuclear stain and one centre per nucleated cell.

Works on white-balanced optical density, so that stain and lamp matter little, at half the model's resolution: ample for
bodies of 5 um and more, and a quarter of the work. Thiazine dyes (azure B, methylene blue) bound to chromatin absorb
green most, and red more than blue; a red cell (eosin, haemoglobin) absorbs blue at least as much as green, and
cytoplasm much less than chromatin. Both differences together leave chromatin.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import Pixels
from edge.vision.balance import optical_density, sampled
from edge.vision.scale import blur, blur_side_px

_LEAST_CHROMATIN = 11
_OTSU_SHARE = 0.85
_OTSU_SAMPLES = 48_000
_SMOOTHING_UM = 0.5
_BODY_UM = 2.0
_SPACING_UM = 7.0
_LEAST_COVER = 0.4
_KERNEL_SUM = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """Nuclear stain of a field, seen at half its resolution.

    Attributes
    ----------
    coarse : ndarray
        Shape (max(1, height // 2), max(1, width // 2)), uint8, 1 where chromatin is, else 0.
    density : ndarray
        Optical density in hundredths, shape (3, max(1, height // 2), max(1, width // 2)), uint8: planes of blue, green,
        red.
    centres : ndarray
        Shape (n, 2), float32, x and y of one point per nucleated cell, pixels of the field, largest bodies first.
    size_px : tuple of int
        Width and height of the field.
    """

    coarse: NDArray[np.uint8]
    density: NDArray[np.uint8]
    centres: NDArray[np.float32]
    size_px: tuple[int, int]

    @property
    def mask(self) -> NDArray[np.uint8]:
        """The mask in pixels of the field: shape (height, width), uint8, 1 where chromatin is, else 0."""
        return np.asarray(cv2.resize(self.coarse, self.size_px, interpolation=cv2.INTER_NEAREST), np.uint8)


def find(pixels: Pixels, um_per_px: float, inside: NDArray[np.uint8] | None = None) -> Nuclei:
    """Find the nuclei of a field.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR, white-balanced: glass at ``edge.vision.balance.WHITE``.
    um_per_px : float
        Pixel size, micrometres.
    inside : ndarray, optional
        Shape (height, width), uint8, non-zero where the field is lit; nothing is found outside.

    Returns
    -------
    Nuclei
        Mask and centres. The lobes of one segmented nucleus share a centre; touching cells have one each.
    """
    height, width = pixels.shape[:2]
    size = max(1, width // 2), max(1, height // 2)
    # Exact means of four: a linear step gives other levels on other processors, and shifts a field of odd size.
    even = pixels[: max(1, height & ~1), : max(1, width & ~1)]
    half = np.asarray(cv2.resize(even, size, interpolation=cv2.INTER_AREA), np.uint8)
    density = optical_density(half)
    chromatin = _chromatin(density)
    if inside is not None:
        chromatin[cv2.resize(inside, size, interpolation=cv2.INTER_NEAREST) == 0] = 0
    smooth = blur(chromatin, _SMOOTHING_UM / um_per_px / 2)
    otsu, _ = cv2.threshold(sampled(np.asarray(smooth, np.uint8), _OTSU_SAMPLES), 0, 255, cv2.THRESH_OTSU)
    _, stained = cv2.threshold(smooth, max(_OTSU_SHARE * otsu, _LEAST_CHROMATIN), 1, cv2.THRESH_BINARY)
    # A speck is no nucleus: of nine pixels the most decide.
    coarse = np.asarray(cv2.medianBlur(stained, 3), np.uint8)
    return Nuclei(coarse, density, _centres(coarse, um_per_px), (width, height))


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


def _centres(coarse: NDArray[np.uint8], um_per_px: float) -> NDArray[np.float32]:
    """Find the middles of bodies of chromatin: peaks of the mask blurred to the size of a small nucleus."""
    body, most = _bodies(coarse, _BODY_UM / um_per_px / 2)
    reach = max(3, round(_SPACING_UM / um_per_px / 2) | 1)
    highest = cv2.dilate(body, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    x, y = _middles((body == highest) & (body > _LEAST_COVER * most))
    largest_first = np.argsort(-body[np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)], kind="stable")
    return np.asarray(2 * np.stack((x, y), axis=1)[largest_first] + 0.5, np.float32)


def _bodies(coarse: NDArray[np.uint8], sigma_px: float) -> tuple[NDArray[np.float32], float]:
    """Blur a mask with a Gaussian of whole numbers, and say what comes of a mask that is full.

    The sums stay below 2**24, where float32 counts exactly: they are the same on every processor, in whatever order it
    adds, in a third of the time of OpenCV's blur in fixed point.
    """
    kernel, total = _whole_gaussian(sigma_px)
    return np.asarray(cv2.sepFilter2D(coarse, cv2.CV_32F, kernel, kernel), np.float32), total**2


@cache
def _whole_gaussian(sigma_px: float) -> tuple[NDArray[np.float32], float]:
    """Give a Gaussian of whole numbers, and their sum; a model has one scale, so that one is made again and again."""
    kernel = np.rint(_KERNEL_SUM * cv2.getGaussianKernel(blur_side_px(sigma_px), sigma_px, cv2.CV_64F))
    return kernel.astype(np.float32), float(kernel.sum())


def _middles(peaks: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find x and y of each connected peak; asking OpenCV for statistics of components takes three times as long."""
    places = np.flatnonzero(peaks)
    mask = peaks.view(np.uint8)
    _, parts = cv2.connectedComponents(mask, connectivity=8, ltype=label_depth(mask))
    owners = parts.ravel()[places] - 1
    pixels = np.bincount(owners)
    y, x = np.divmod(places, peaks.shape[1])
    return np.bincount(owners, x) / pixels, np.bincount(owners, y) / pixels
