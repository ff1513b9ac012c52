"""From what a specimen absorbs to what a camera records: transmission, blur, illumination, sensor."""

from __future__ import annotations

import math
from functools import cache
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import Pixels
from edge.simulator.smear import Smear

OD_STEPS = 1000
"""Steps of the absorbance plane for an optical density of 1."""

GLASS_LEVEL = 232.0
"""Gray level of bare glass at the right exposure."""

_BAND_ROWS = 128
_BLACKEST_OD = 4.0
_CLOSED_LEVEL = 0.004
_NARROWEST_BLUR_PX = 0.2
_WIDEST_BLUR_PX = 3.0


def photograph(absorbance: NDArray[np.uint16], smear: Smear, rng: np.random.Generator) -> Pixels:
    """Photograph a specimen with the microscope and camera that the smear describes.

    Parameters
    ----------
    absorbance : ndarray
        Shape (height, width, 3), uint16, BGR: optical density in steps of 1/1000. Overwritten.
    smear : Smear
        Illumination, defocus, noise, exposure, white balance and round field are used.
    rng : numpy.random.Generator
        Source of the sensor's noise and of where the light is brightest.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR.
    """
    height, width = absorbance.shape[:2]
    light = _Light(smear, rng)
    # Band by band what was read stays in the cache, and no float copy of the whole frame is ever made.
    bands = [slice(top, min(top + _BAND_ROWS, height)) for top in range(0, height, _BAND_ROWS)]
    table = _transmission_table()
    for rows in bands:
        np.take(table, absorbance[rows], out=absorbance[rows], mode="clip")
    sigma_px = smear.defocus_um / smear.um_per_px
    reduction = int(sigma_px / _WIDEST_BLUR_PX)
    if reduction > 1:
        # A wide blur is done on a reduced image, where it costs no more than a narrow one.
        small_size = max(1, round(width / reduction)), max(1, round(height / reduction))
        small = cv2.resize(absorbance, small_size, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma_px / reduction)
        cv2.resize(small, (width, height), absorbance, interpolation=cv2.INTER_LINEAR)
        sigma_px = 0.0
    pixels = np.empty((height, width, 3), np.uint8)
    noise_levels = _normal_quantiles() * np.float32(smear.noise)
    for rows in bands:
        level = cv2.multiply(_blurred(absorbance, rows, sigma_px), light.on(rows), dtype=cv2.CV_32F)
        dither = rng.integers(0, 256, level.shape, np.uint8)
        pixels[rows] = cv2.add(level, cv2.LUT(dither, noise_levels), dtype=cv2.CV_8U)
    return pixels


def _blurred(image: NDArray[np.uint16], rows: slice, sigma_px: float) -> NDArray[np.uint16]:
    """Blur a band of rows with a Gaussian, as if the whole image were blurred."""
    if sigma_px < _NARROWEST_BLUR_PX:
        return image[rows]
    margin = math.ceil(4 * sigma_px)
    above = min(margin, rows.start)
    blurred = cv2.GaussianBlur(image[rows.start - above : rows.stop + margin], (0, 0), sigma_px)
    return np.asarray(blurred[above : above + rows.stop - rows.start], np.uint16)


class _Light:
    """Gray level of bare glass at each pixel, over the full scale of the transmission."""

    def __init__(self, smear: Smear, rng: np.random.Generator) -> None:
        width, height = smear.size_px
        anywhere = rng.uniform(0.3, 0.7, 2)  # drawn in any case: the noise that follows stays the same
        brightest_x, brightest_y = anywhere if smear.brightest is None else smear.brightest
        self._x = (np.arange(width, dtype=np.float32) + 0.5) / width - np.float32(brightest_x)
        self._y = (np.arange(height, dtype=np.float32) + 0.5) / height - np.float32(brightest_y)
        farthest = float(np.square(self._x).max() + np.square(self._y).max())
        self._falloff = np.float32(smear.illumination / farthest) if farthest else np.float32(0)
        self._x2, self._y2 = np.square(self._x), np.square(self._y)
        red, blue = smear.white_balance
        self._channels = [np.float32(smear.exposure * GLASS_LEVEL / 65535 * gain) for gain in (blue, 1.0, red)]
        self._radius_px = math.inf if smear.round_field is None else smear.round_field * min(width, height) / 2
        self._edge_px = max(1.0, 2.0 / smear.um_per_px)
        self._columns = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
        self._rows = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)

    def on(self, rows: slice) -> NDArray[np.float32]:
        """Give the light on a band of rows, shape (rows, width, 3), float32."""
        gain = 1 - self._falloff * (self._x2[None, :] + self._y2[rows, None])
        if math.isfinite(self._radius_px):
            away = np.sqrt(np.square(self._columns)[None, :] + np.square(self._rows[rows])[:, None])
            lit = np.clip((np.float32(self._radius_px) - away) / np.float32(self._edge_px) + 0.5, _CLOSED_LEVEL, 1)
            gain = gain * lit
        return np.asarray(cv2.merge([gain * channel for channel in self._channels]), np.float32)


@cache
def _transmission_table() -> NDArray[np.uint16]:
    steps = np.arange(int(_BLACKEST_OD * OD_STEPS) + 1)
    return np.rint(65535 * 10.0 ** (-steps / OD_STEPS)).astype(np.uint16)


@cache
def _normal_quantiles() -> NDArray[np.float32]:
    """Turn a uniform byte into a normal deviate: ten times as fast as drawing deviates."""
    normal = NormalDist()
    deviates = np.array([normal.inv_cdf((byte + 0.5) / 256) for byte in range(256)])
    return np.asarray(deviates / deviates.std(), np.float32)
