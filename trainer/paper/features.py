"""What the paper's classical systems read of a picture: colour histogram and discrete Fourier transform.

The paper names both and no sizes. Chosen here: 32 bins a channel, and the logarithm of the magnitudes of the lowest
frequencies, up to 8 periods across the picture in both directions; half of the plane, as the other half mirrors it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BINS = 32
LOWEST = 8


def colour_histogram(pixels: NDArray[np.uint8], within: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Count the levels of each channel.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.
    within : ndarray, optional
        Shape (height, width), bool, which pixels count; all by default.

    Returns
    -------
    ndarray
        Shape (96,), float32: shares of 32 levels of blue, then of green, then of red; each sums to 1, or is 0 where no
        pixel counts.
    """
    mask = None if within is None else within.astype(np.uint8)
    counts = [cv2.calcHist([pixels], [channel], mask, [BINS], [0, 256]).ravel() for channel in range(3)]
    return np.concatenate([count / max(1.0, float(count.sum())) for count in counts]).astype(np.float32)


def fourier(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Take the lowest frequencies of a picture's gray levels.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR, at least 17 pixels each way.

    Returns
    -------
    ndarray
        Shape (153,), float32: ln(1 + magnitude), magnitudes as of gray levels 0 to 255 averaged over the pixels;
        a row a vertical frequency, 0 to 8 then -8 to -1, a column a horizontal one, 0 to 8.
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    spectrum = np.fft.rfft2(gray) / gray.size
    low = np.concatenate([spectrum[: LOWEST + 1], spectrum[-LOWEST:]])[:, : LOWEST + 1]
    return np.asarray(np.log1p(np.abs(low)), np.float32).ravel()


def describe(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe a picture by both.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.

    Returns
    -------
    ndarray
        Shape (249,), float32, none negative; :func:`names` says what each is.
    """
    return np.concatenate([colour_histogram(pixels), fourier(pixels)])


def names() -> tuple[str, ...]:
    """Name the features of :func:`describe`, in order: ``red_248`` are the shares of levels 248 to 255."""
    step = 256 // BINS
    colours = [f"{channel}_{level * step}" for channel in ("blue", "green", "red") for level in range(BINS)]
    vertical = [*range(LOWEST + 1), *range(-LOWEST, 0)]
    return (*colours, *(f"dft_{y}_{x}" for y in vertical for x in range(LOWEST + 1)))
