"""The specimen as it fills up: its optical density, on which stamps of cells are laid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.simulator.cells import Painter
from edge.simulator.layout import Disc
from edge.simulator.optics import OD_STEPS
from edge.simulator.shapes import Grid, Neighbour, Plane
from edge.simulator.smear import Smear

_FINEST_UM = 0.15
"""No cell is sampled coarser than this, or its grain would alias."""
_CLOUD_UM = 25.0


@dataclass(frozen=True, slots=True)
class Nucleus:
    """Where the nucleus of a painted cell came to lie.

    Attributes
    ----------
    x_px, y_px : float
        Centre of gravity; 0 is the middle of the first pixel.
    area_um2 : float
        Area, square micrometres.
    """

    x_px: float
    y_px: float
    area_um2: float


@dataclass(frozen=True, slots=True)
class Stamp:
    """A painted element in pixels of the field.

    Attributes
    ----------
    left, top : int
        Column and row of its first pixel in the field; may lie outside.
    density : ndarray
        Shape (side, side, 3), float32, BGR: steps of optical density.
    shines_through : ndarray or None
        Shape (side, side, 3), float32: share of what lies below that remains, 0 to 1; None: all of it.
    nucleus : Nucleus or None
        None for things without one.
    """

    left: int
    top: int
    density: NDArray[np.float32]
    shines_through: NDArray[np.float32] | None
    nucleus: Nucleus | None

    def turned(self, position: int, columns: int, rows: int) -> Stamp:
        """Give the same element elsewhere, in one of eight positions (quarter turns and mirror images).

        Only for what is transparent and has no nucleus: red cells.
        """
        density = self.density.transpose(1, 0, 2) if position & 4 else self.density
        density = density[:: -1 if position & 2 else 1, :: -1 if position & 1 else 1]
        return Stamp(self.left + columns, self.top + rows, density, None, None)


class Canvas:
    """The specimen's optical density.

    Parameters
    ----------
    smear : Smear
        Gives size, scale and stain.
    rng : numpy.random.Generator
        Source of randomness.

    Attributes
    ----------
    absorbance : ndarray
        Shape (height, width, 3), uint16, BGR: optical density in steps of 1/1000.
    um_per_px : float
        Pixel size, micrometres.
    """

    def __init__(self, smear: Smear, rng: np.random.Generator) -> None:
        width, height = smear.size_px
        self.um_per_px = smear.um_per_px
        self._dyes = smear.stain.dyes()
        film = np.asarray(smear.stain.film, np.float32) * OD_STEPS
        clouds = tuple(min(side, max(2, round(side * smear.um_per_px / _CLOUD_UM))) for side in (height, width))
        thickness = 1 + 0.2 * rng.standard_normal(clouds).clip(-2, 2)[..., None]
        self.absorbance: NDArray[np.uint16] = np.asarray(
            cv2.resize((film * thickness).astype(np.uint16), (width, height), interpolation=cv2.INTER_LINEAR), np.uint16
        )

    def paint(self, painter: Painter, disc: Disc, neighbours: Sequence[Neighbour], rng: np.random.Generator) -> Stamp:
        """Paint one element at its place, without laying it down yet."""
        scale = self.um_per_px
        finer = math.ceil(scale / _FINEST_UM)
        reach_um = 1.3 * disc.radius_um + 0.6
        left, top = math.floor((disc.x_um - reach_um) / scale), math.floor((disc.y_um - reach_um) / scale)
        side = math.ceil(2 * reach_um / scale) + 1
        along_um = (np.arange(side * finer, dtype=np.float32) + np.float32(0.5)) * np.float32(scale / finer)
        x_um, y_um = np.meshgrid(
            along_um + np.float32(left * scale - disc.x_um), along_um + np.float32(top * scale - disc.y_um)
        )
        sprite = painter(rng, Grid(x_um, y_um, scale / finer), disc.radius_um, neighbours)
        # No two cells take up the dyes alike.
        dyes = self._dyes * rng.lognormal(0, 0.08, (1, 4)) * rng.lognormal(0, 0.025, (3, 1)) * OD_STEPS

        amounts = np.empty((*x_um.shape, 4), np.float32)
        cv2.merge([sprite.nucleus_dye, sprite.cytoplasm_dye, sprite.red_dye, sprite.granule_dye], amounts)
        density = cv2.transform(_reduced(amounts, finer), dyes)
        shines_through = None
        if sprite.cover.any():
            shines_through = np.asarray(cv2.merge([1 - _reduced(sprite.cover, finer)] * 3), np.float32)
        nucleus = _nucleus(_reduced(sprite.nucleus, finer), left, top, scale)
        return Stamp(left, top, np.asarray(density, np.float32), shines_through, nucleus)

    def lay(self, stamp: Stamp) -> None:
        """Lay a stamp on the specimen, over what is there; what sticks out of the field is cut off."""
        height, width = self.absorbance.shape[:2]
        rows = slice(max(stamp.top, 0), min(stamp.top + stamp.density.shape[0], height))
        columns = slice(max(stamp.left, 0), min(stamp.left + stamp.density.shape[1], width))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        inside = np.s_[
            rows.start - stamp.top : rows.stop - stamp.top, columns.start - stamp.left : columns.stop - stamp.left
        ]
        below = self.absorbance[rows, columns]
        remaining = below.astype(np.float32)
        if stamp.shines_through is not None:
            remaining *= stamp.shines_through[inside]
        remaining += stamp.density[inside]
        np.copyto(below, remaining, casting="unsafe")


def _reduced(samples: Plane, finer: int) -> Plane:
    if finer == 1:
        return samples
    side = samples.shape[0] // finer
    return np.asarray(cv2.resize(samples, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _nucleus(coverage: Plane, left: int, top: int, um_per_px: float) -> Nucleus | None:
    moments = cv2.moments(coverage)
    area_px = moments["m00"]
    if area_px <= 0:
        return None
    return Nucleus(left + moments["m10"] / area_px, top + moments["m01"] / area_px, area_px * um_per_px**2)
