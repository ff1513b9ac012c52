"""What a cell may look like elsewhere: other stains, lamps, cameras, sharpness, orientation.

All functions are pure on batches of white-balanced tiles and take their randomness from the generator they are given.
They are applied after the data are split, in training only.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.balance import WHITE
from trainer import bounds

Tiles = NDArray[np.uint8]
"""A batch of tiles: shape (n, side, side, 3), uint8, BGR, glass at ``edge.vision.balance.WHITE``."""

Stains = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Mean and covariance of the optical density of each picture of a batch: shapes (n, 3) and (n, 3, 3), float32."""

_DENSITY = -np.log10(np.maximum(np.arange(256), 1) / WHITE).astype(np.float32)
_SMALLEST_VARIANCE = 1e-4
_BOUNDS = {
    **dict.fromkeys(("restain", "restain_least_mix", "gray", "border"), (0.0, 1.0)),
    **dict.fromkeys(("zoom", "density_jitter", "gamma"), (0.0, 0.9)),
    **dict.fromkeys(("shift_px", "blur_px", "noise"), (0.0, 255.0)),
}


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly training tiles are varied; every probability 0 to 1.

    Attributes
    ----------
    restain : float
        Probability that a tile takes the stain of a tile from another laboratory.
    restain_least_mix : float
        Least share of the foreign stain in the mixture; the most is 1.
    zoom : float
        Largest relative change of size, either way.
    shift_px : float
        Largest shift of the cell from the centre, pixels.
    density_jitter : float
        Largest relative change of optical density, per channel and common.
    gamma : float
        Largest relative change of the camera's exponent.
    gray : float
        Probability of losing all colour.
    blur_px : float
        Largest sigma of blur, pixels; half of the tiles are blurred or sharpened.
    noise : float
        Largest sigma of sensor noise, gray levels.
    border : float
        Probability that one or two sides are clear glass, as at the edge of a field.
    """

    restain: float = 0.75
    restain_least_mix: float = 0.6
    zoom: float = 0.15
    shift_px: float = 4.0
    density_jitter: float = 0.15
    gamma: float = 0.2
    gray: float = 0.1
    blur_px: float = 1.2
    noise: float = 6.0
    border: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what is no probability, turns a tile inside out, or makes a density negative."""
        bounds.require(self, _BOUNDS)


def stain_statistics(tiles: Tiles) -> Stains:
    """Mean and covariance of the optical density of each tile.

    Parameters
    ----------
    tiles : ndarray
        Shape (n, side, side, 3), uint8, BGR.

    Returns
    -------
    tuple of ndarray
        Means, shape (n, 3), and covariances, shape (n, 3, 3), float32.
    """
    mean = np.empty((len(tiles), 3), np.float32)
    covariance = np.empty((len(tiles), 3, 3), np.float32)
    for number, tile in enumerate(tiles):
        # NumPy takes three times as long over three colours that lie side by side.
        density = cv2.LUT(tile, _DENSITY).reshape(-1, 3)
        mean[number] = cv2.mean(density.reshape(-1, 1, 3))[:3]
        centred = density - mean[number]
        covariance[number] = centred.T @ centred / len(density)
    return mean, covariance


def restain(
    tiles: Tiles, mean: NDArray[np.float32], covariance: NDArray[np.float32], mix: NDArray[np.float32]
) -> Tiles:
    """Give each tile another stain: a linear map of optical density moves its mean and covariance to those given.

    Of all such maps the one that changes the densities least is taken (Monge-Kantorovich, after Pitie and Kokaram
    2007, "The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer").

    Parameters
    ----------
    tiles : ndarray
        Shape (n, side, side, 3), uint8, BGR.
    mean : ndarray
        Shape (n, 3), wanted mean optical density.
    covariance : ndarray
        Shape (n, 3, 3), wanted covariance.
    mix : ndarray
        Shape (n,), 0 keeps the tile, 1 takes the new stain whole.

    Returns
    -------
    ndarray
        Shape (n, side, side, 3), uint8, BGR.
    """
    return transport(tiles, stain_statistics(tiles), (mean, covariance), mix)


def transport(
    pixels: Tiles,
    own: Stains,
    wanted: Stains,
    mix: NDArray[np.float32],
) -> Tiles:
    """Give pictures another stain by the map that :func:`restain` takes, from statistics that may be of a part of them.

    Parameters
    ----------
    pixels : ndarray
        Shape (n, height, width, 3), uint8, BGR.
    own, wanted : tuple of ndarray
        Means (n, 3) and covariances (n, 3, 3) of optical density, what they are and what they shall be.
    mix : ndarray
        Shape (n,), 0 keeps a picture, 1 takes the new stain whole.

    Returns
    -------
    ndarray
        Shape (n, height, width, 3), uint8, BGR.
    """
    (own_mean, own_covariance), (mean, covariance) = own, wanted
    before, after = (c + _SMALLEST_VARIANCE * np.eye(3) for c in (own_covariance, covariance))
    root = _power(before, 0.5)
    inverse = _power(before, -0.5)
    whole = inverse @ _power(root @ after @ root, 0.5) @ inverse
    m = mix[:, None, None]
    turn = (1 - m) * np.eye(3) + m * whole
    target = own_mean + mix[:, None] * (mean - own_mean)
    offset = target[:, :, None] - turn @ own_mean[:, :, None]
    maps = np.concatenate([turn, offset], axis=2)
    return np.stack([_developed(picture, each) for picture, each in zip(pixels, maps, strict=True)])


def _power(symmetric: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(symmetric)
    return np.asarray((vectors * np.maximum(values, 0)[:, None, :] ** exponent) @ vectors.transpose(0, 2, 1))


def _developed(picture: Tiles, density_map: NDArray[np.float64]) -> Tiles:
    """Change a picture's optical densities by an affine map, shape (3, 4)."""
    darkening = cv2.transform(cv2.LUT(picture, _DENSITY), -np.log(10.0) * density_map)
    return np.asarray(cv2.convertScaleAbs(cv2.exp(darkening), alpha=WHITE), np.uint8)


def warp(tiles: Tiles, side: int, settings: Augmentation, rng: np.random.Generator) -> Tiles:
    """Turn, mirror, zoom and shift each tile, and cut its middle.

    Parameters
    ----------
    tiles : ndarray
        Shape (n, larger, larger, 3), uint8, BGR.
    side : int
        Side of the tiles wanted, pixels.
    settings : Augmentation
        Zoom and shift are used.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        Shape (n, side, side, 3), uint8, BGR.
    """
    centre = (tiles.shape[1] - 1) / 2
    warped = np.empty((len(tiles), side, side, 3), np.uint8)
    angles = rng.uniform(0, 2 * np.pi, len(tiles))
    zooms = np.exp(rng.uniform(-1, 1, len(tiles)) * np.log1p(settings.zoom))
    mirrors = rng.choice((-1.0, 1.0), len(tiles))
    shifts = rng.uniform(-settings.shift_px, settings.shift_px, (len(tiles), 2))
    middle = np.array([(side - 1) / 2] * 2)
    for tile, out, angle, zoom, mirror, shift in zip(tiles, warped, angles, zooms, mirrors, shifts, strict=True):
        c, s = np.cos(angle) / zoom, np.sin(angle) / zoom
        turn = np.array([[c, -s * mirror], [s, c * mirror]])
        offset = centre + shift - turn @ middle
        cv2.warpAffine(
            tile,
            np.column_stack([turn, offset]),
            (side, side),
            dst=out,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(WHITE, WHITE, WHITE),
        )
    return warped


def camera(tiles: Tiles, settings: Augmentation, rng: np.random.Generator) -> Tiles:
    """Vary what lamp, stain strength, lens and sensor do to each tile.

    Parameters
    ----------
    tiles : ndarray
        Shape (n, side, side, 3), uint8, BGR.
    settings : Augmentation
        Strengths.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray
        Shape (n, side, side, 3), uint8, BGR.
    """
    n, side = len(tiles), tiles.shape[1]
    strength = rng.uniform(-1, 1, (n, 1)) + rng.uniform(-0.5, 0.5, (n, 3))
    gain = np.exp(strength * np.log1p(settings.density_jitter))
    offset = rng.normal(0, 0.01, (n, 3))
    exponent = np.exp(rng.uniform(-1, 1, (n, 1)) * np.log1p(settings.gamma))
    maps = np.concatenate([(gain * exponent)[:, :, None] * np.eye(3), offset[:, :, None]], axis=2)
    gray = rng.random(n) < settings.gray
    maps[gray] = maps[gray].mean(axis=1, keepdims=True)
    kind = rng.random(n)
    blurs = rng.uniform(0.3, max(0.3, settings.blur_px), n)
    noises = rng.uniform(0, settings.noise, n)
    varied = np.empty_like(tiles)
    for tile, out, density_map, k, blur, noise in zip(tiles, varied, maps, kind, blurs, noises, strict=True):
        developed: cv2.typing.MatLike = _developed(tile, density_map)
        if k < 0.5:
            soft = cv2.GaussianBlur(developed, (0, 0), blur)
            developed = soft if k < 0.35 else cv2.addWeighted(developed, 1.8, soft, -0.8, 0)
        if noise > 0:
            grain = rng.standard_normal((side, side), dtype=np.float32) * np.float32(noise)
            developed = cv2.add(developed, cv2.merge([grain] * 3), dtype=cv2.CV_8U)
        out[:] = developed
    bordered = np.flatnonzero(rng.random(n) < settings.border)
    for i, depth, edge in zip(
        bordered, rng.integers(1, side // 3, len(bordered)), rng.integers(0, 4, len(bordered)), strict=True
    ):
        np.rot90(varied[i], edge)[:depth] = WHITE
    return varied
