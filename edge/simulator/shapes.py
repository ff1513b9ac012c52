"""Soft outlines and grain, measured in micrometres, that cells are drawn from.

A shape is a *depth*: at each sample the distance to the outline, positive inside. Union and intersection of shapes are
the maximum and minimum of depths, and a membrane is a depth of about zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.float32]
"""One value a sample: shape (samples, samples), float32."""

Outline: TypeAlias = NDArray[np.float32]
"""Radius in micrometres at each of ``_ANGLES`` directions around a centre."""

_ANGLES = 1024
_DIRECTIONS = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
_TILE_SAMPLES = 640
_TILE_UM_PER_SAMPLE = 0.1


@dataclass(frozen=True, slots=True)
class Grid:
    """The samples at which a cell is drawn.

    Attributes
    ----------
    x_um, y_um : ndarray
        Shape (samples, samples), float32: position relative to the cell's centre.
    pitch_um : float
        Distance of neighbouring samples.
    """

    x_um: Plane
    y_um: Plane
    pitch_um: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A cell that presses against another one.

    Attributes
    ----------
    dx_um, dy_um : float
        From the centre of the cell that is being drawn to that of the neighbour.
    border_um : float
        Distance from the centre of the cell that is being drawn to the border between the two.
    """

    dx_um: float
    dy_um: float
    border_um: float


def outline(rng: np.random.Generator, radius_um: float, roughness: float, stretch: float = 1.0) -> Outline:
    """Draw a closed outline: an ellipse in a random direction, perturbed by a few harmonics.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    radius_um : float
        Radius of the circle of about the same area.
    roughness : float
        Relative amplitude of the irregularity; 0.05 is a gently uneven cell.
    stretch : float
        Long axis over short axis.

    Returns
    -------
    ndarray
        Shape (1024,), float32, micrometres.
    """
    # An ellipse has cos 2t in the inverse square of its radius; turning it only shifts the phase.
    slant = np.cos(2 * _DIRECTIONS + rng.uniform(0, 2 * np.pi))
    ellipse = 1 / np.sqrt((1 / stretch + stretch) / 2 + (1 / stretch - stretch) / 2 * slant)
    harmonics = np.arange(2, 9)
    spectrum = np.zeros(_ANGLES // 2 + 1, np.complex128)
    phases = np.exp(1j * rng.uniform(0, 2 * np.pi, harmonics.size))
    spectrum[harmonics] = rng.normal(0, roughness, harmonics.size) / harmonics * phases * _ANGLES
    ripple = np.fft.irfft(spectrum, _ANGLES)
    return np.asarray(radius_um * ellipse * np.maximum(1 + ripple, 0.3), np.float32)


def pressed(shape: Outline, neighbours: Iterable[Neighbour]) -> Outline:
    """Flatten an outline where neighbours press against it.

    Parameters
    ----------
    shape : ndarray
        Outline around the cell's centre.
    neighbours : iterable of Neighbour
        Cells in contact.

    Returns
    -------
    ndarray
        Outline that keeps on its side of each border.
    """
    for neighbour in neighbours:
        toward = math.atan2(neighbour.dy_um, neighbour.dx_um)
        facing = np.maximum(np.cos(_DIRECTIONS - toward), 1e-3)
        border = np.maximum(neighbour.border_um, 0.3) / facing
        # A smooth minimum: membranes round off where a border begins.
        shape = np.asarray((shape**-12.0 + border**-12.0) ** (-1 / 12), np.float32)
    return shape


def depth(grid: Grid, shape: Outline, centre_um: tuple[float, float] = (0.0, 0.0)) -> Plane:
    """Measure how deep each sample lies within an outline.

    Parameters
    ----------
    grid : Grid
        Samples.
    shape : ndarray
        Outline.
    centre_um : tuple of float
        Centre of the outline relative to that of the cell.

    Returns
    -------
    ndarray
        Micrometres along the ray from the centre, positive inside.
    """
    radius, angle = cv2.cartToPolar(grid.x_um - np.float32(centre_um[0]), grid.y_um - np.float32(centre_um[1]))
    direction = (angle * np.float32(_ANGLES / (2 * np.pi))).astype(np.int32) & (_ANGLES - 1)
    return np.asarray(shape[direction] - radius, np.float32)


def chain(grid: Grid, beads_um: Iterable[tuple[float, float, float]]) -> Plane:
    """Measure depth within a chain of discs, such as a lobed nucleus.

    Parameters
    ----------
    grid : Grid
        Samples.
    beads_um : iterable of tuple of float
        Centre x, y and radius of each disc, relative to the cell's centre.

    Returns
    -------
    ndarray
        Micrometres, positive inside.
    """
    deepest = np.full_like(grid.x_um, -1e3)
    for x_um, y_um, radius_um in beads_um:
        away = cv2.magnitude(grid.x_um - np.float32(x_um), grid.y_um - np.float32(y_um))
        np.maximum(deepest, np.float32(radius_um) - away, out=deepest)
    return deepest


def soft(depth_um: Plane, width_um: float) -> Plane:
    """Turn depth into coverage with a soft edge.

    Parameters
    ----------
    depth_um : ndarray
        Depth, micrometres.
    width_um : float
        Width of the edge.

    Returns
    -------
    ndarray
        0 outside to 1 inside, 0.5 on the outline.
    """
    edge = np.clip(depth_um * np.float32(1 / width_um) + np.float32(0.5), 0, 1)
    return np.asarray(edge * edge * (3 - 2 * edge), np.float32)


def ridge(depth_um: Plane, width_um: float, at_um: float = 0.0) -> Plane:
    """Mark a line along an outline, such as a membrane.

    Parameters
    ----------
    depth_um : ndarray
        Depth, micrometres.
    width_um : float
        Half width of the line.
    at_um : float
        Depth at which the line runs.

    Returns
    -------
    ndarray
        1 on the line, falling to 0 within twice its half width.
    """
    off = (depth_um - np.float32(at_um)) * np.float32(0.5 / width_um)
    bell = np.maximum(1 - off * off, 0)
    bell *= bell
    return np.asarray(bell * bell, np.float32)


def grain(rng: np.random.Generator, grid: Grid, size_um: float) -> Plane:
    """Cut a piece of random grain, in a random place and position.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    grid : Grid
        Samples.
    size_um : float
        Standard deviation of one grain.

    Returns
    -------
    ndarray
        Zero mean and unit variance over many pieces.
    """
    tile = _grain_tile(size_um)
    samples = grid.x_um.shape[0]
    side = min(_TILE_SAMPLES, max(2, round(samples * grid.pitch_um / _TILE_UM_PER_SAMPLE)))
    left, top = (int(share * (_TILE_SAMPLES - side)) for share in rng.random(2))
    piece = tile[top : top + side, left : left + side]
    if rng.random() < 0.5:
        piece = piece.T
    return np.asarray(cv2.resize(piece, (samples, samples), interpolation=cv2.INTER_LINEAR), np.float32)


@cache
def _grain_tile(size_um: float) -> Plane:
    sigma = size_um / _TILE_UM_PER_SAMPLE
    white = np.random.default_rng(0).standard_normal((_TILE_SAMPLES, _TILE_SAMPLES), np.float32)
    # The difference of two blurs: blobs of one size, without clouds that would shade the whole cell.
    tile = cv2.GaussianBlur(white, (0, 0), sigma) - cv2.GaussianBlur(white, (0, 0), 2 * sigma)
    return np.asarray((tile - tile.mean()) / tile.std(), np.float32)
