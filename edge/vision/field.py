"""A frame made ready for measuring and tiling: the one preparation that training and the device share."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frame import Pixels, WhiteField
from edge.vision import balance, illumination, scale
from edge.vision.balance import Exposure

_DARK_SHARE_OF_GLASS = 0.15
_COARSENING = 8
_LEAST_SURROUND = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field of view at the model's scale.

    Attributes
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR, white-balanced: glass at ``edge.vision.balance.WHITE``.
    exposure : Exposure
        Level of clear glass, and of the darkest channels, as captured.
    inside : ndarray or None
        Shape (height, width), uint8, 255 inside the lit field of an eyepiece adapter, else 0; None: lit everywhere.
    um_per_px : float
        Pixel size, micrometres.
    """

    pixels: Pixels
    exposure: Exposure
    inside: NDArray[np.uint8] | None
    um_per_px: float


def prepare(pixels: Pixels, um_per_px: float, model_um_per_px: float, white: WhiteField | None = None) -> Field:
    """Bring a frame to the model's scale and white balance.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR, as captured.
    um_per_px : float
        Its pixel size, micrometres.
    model_um_per_px : float
        The model's, micrometres.
    white : WhiteField, optional
        What the camera was calibrated by: its uneven light is taken out first.

    Returns
    -------
    Field
        The prepared field.

    Raises
    ------
    ScaleError
        When the pixel size is out of range, or too coarse for the model.
    """
    raw = scale.resample(pixels, um_per_px, model_um_per_px)
    if white is not None:
        # After the scale: the light varies so slowly that averaging before or after is one, and this is 24 times less.
        raw = illumination.flatten(raw, white)
    inside = lit(raw)
    exposure = balance.expose(raw, inside)
    balanced = balance.white_balance(raw, exposure.glass)
    if inside is not None:
        balanced = np.where(inside[..., None] > 0, balanced, np.uint8(balance.WHITE))
    return Field(balanced, exposure, inside, model_um_per_px)


def lit(pixels: Pixels) -> NDArray[np.uint8] | None:
    """Find the lit field inside the dark surround that an eyepiece adapter leaves in the corners.

    A surround is what is nearly black in every channel, compared with the brightest part of the field, and
    touches a corner; stained cells never are that dark in red.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.

    Returns
    -------
    ndarray or None
        Shape (height, width), uint8, 255 inside; None when there is no surround.
    """
    height, width = pixels.shape[:2]
    corners = [pixels[y, x].tolist() for y in (0, height - 1) for x in (0, width - 1)]
    if min(map(max, corners)) >= _DARK_SHARE_OF_GLASS * 255:
        return None
    small = pixels[::_COARSENING, ::_COARSENING].max(axis=2)
    brightest = float(np.quantile(small, 0.99))
    dark = (small < _DARK_SHARE_OF_GLASS * brightest).astype(np.uint8)
    dark_corners = [(y, x) for y in (0, -1) for x in (0, -1) if dark[y, x]]
    if not dark_corners:
        return None
    _, parts = cv2.connectedComponents(dark, connectivity=4)
    surround = np.isin(parts, [parts[corner] for corner in dark_corners])
    if not _LEAST_SURROUND < surround.mean() < 1 - _LEAST_SURROUND:
        return None
    coarse = np.where(surround, np.uint8(0), np.uint8(255))
    # One coarse pixel less, because the rim of the field is a gradient and not an edge.
    inside = cv2.resize(cv2.erode(coarse, np.ones((3, 3), np.uint8)), (width, height), interpolation=cv2.INTER_NEAREST)
    return inside.astype(np.uint8, copy=False)
