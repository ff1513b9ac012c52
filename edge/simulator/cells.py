"""What each kind of cell looks like, as amounts of dye on a grid of samples.

Sizes and features follow the usual haematology atlases for air-dried Romanowsky films, where cells lie flat and are
larger than in suspension.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from edge.simulator.shapes import Grid, Neighbour, Outline, Plane, chain, depth, grain, outline, pressed, ridge, soft

CellKind = Literal["lymphoblast", "plasma cell", "neutrophil", "eosinophil", "monocyte", "lymphocyte", "erythroblast"]


@dataclass(frozen=True, slots=True)
class Sprite:
    """A cell on its grid.

    Attributes
    ----------
    nucleus_dye, cytoplasm_dye, red_dye, granule_dye : ndarray
        Amount of each dye, 1 where the stain has its nominal optical density.
    cover : ndarray
        Share of what lies below that the cell displaces, 0 to 1.
    nucleus : ndarray
        Where the nucleus is, 0 to 1; all 0 in things without one.
    """

    nucleus_dye: Plane
    cytoplasm_dye: Plane
    red_dye: Plane
    granule_dye: Plane
    cover: Plane
    nucleus: Plane


Painter = Callable[[np.random.Generator, Grid, float, Sequence[Neighbour]], Sprite]
"""Draws one cell: randomness, samples, radius of the cell in micrometres, cells that press against it."""

_MEMBRANE_UM = 0.35


def _toward(angle: float, distance_um: float) -> tuple[float, float]:
    return distance_um * math.cos(angle), distance_um * math.sin(angle)


def _body(
    rng: np.random.Generator,
    grid: Grid,
    radius_um: float,
    neighbours: Sequence[Neighbour],
    *,
    roughness: float,
    stretch: float,
) -> tuple[Plane, Outline]:
    shape = pressed(outline(rng, radius_um, roughness, stretch), neighbours)
    # Ruffles of a fraction of a micrometre keep the edge from looking drawn with a compass.
    ruffled = depth(grid, shape) + np.float32(0.10) * grain(rng, grid, 0.45)
    return ruffled, shape


def _chromatin(
    rng: np.random.Generator, grid: Grid, inside: Plane, *, density: float, clumps: float, clump_um: float, fine: float
) -> Plane:
    """Paint a nucleus: clumps with pale channels between them, fine grain over all and a crisp nuclear membrane."""
    texture = np.float32(clumps) * np.tanh(grain(rng, grid, clump_um)) + np.float32(fine) * grain(rng, grid, 0.12)
    shade = np.float32(0.05) * grain(rng, grid, 1.6)
    membrane = np.float32(0.16) * ridge(inside, 0.35, 0.3)
    amount = np.float32(density) * (1 + texture + shade + membrane)
    return np.asarray(np.maximum(amount, 0.12) * soft(inside, _MEMBRANE_UM), np.float32)


def _spots(rng: np.random.Generator, grid: Grid, count: int, within_um: float, radius_um: float) -> Plane:
    """Scatter small round spots, 1 at each centre, around the cell's centre."""
    beads = [
        (*_toward(rng.uniform(0, 2 * math.pi), within_um * math.sqrt(rng.random())), radius_um * rng.uniform(0.7, 1.3))
        for _ in range(count)
    ]
    return soft(chain(grid, beads), radius_um) if beads else np.zeros_like(grid.x_um)


def _sprite(
    cover: Plane,
    nucleus: Plane,
    chromatin: Plane,
    *,
    purple: Plane | float = 0.0,
    blue: Plane | float = 0.0,
    red: Plane | float = 0.0,
    granule: Plane | float = 0.0,
) -> Sprite:
    """Put a nucleus into its cytoplasm, which it displaces."""
    around = cover * (1 - nucleus)

    def cytoplasm(amount: Plane | float) -> Plane:
        return np.asarray(np.maximum(amount, 0) * around, np.float32)

    return Sprite(chromatin + cytoplasm(purple), cytoplasm(blue), cytoplasm(red), cytoplasm(granule), cover, nucleus)


def lymphoblast(rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour]) -> Sprite:
    """Draw a lymphoblast: a large nucleus of fine chromatin with nucleoli, in a thin rim of blue cytoplasm."""
    inside, _ = _body(rng, grid, radius_um, neighbours, roughness=0.04, stretch=rng.uniform(1, 1.25))
    share = rng.uniform(0.82, 0.93)
    centre = _toward(rng.uniform(0, 2 * math.pi), radius_um * (1 - share) * rng.uniform(0.2, 0.9))
    shape = outline(rng, radius_um * share, 0.045, rng.uniform(1, 1.2))
    nuclear = np.minimum(depth(grid, shape, centre), inside - np.float32(0.25))
    if rng.random() < 0.3:
        angle = rng.uniform(0, 2 * math.pi)
        cleft = [(*_toward(angle, radius_um * along), 0.35 * along**2) for along in np.linspace(0.45, 1.0, 8)]
        nuclear = np.minimum(nuclear, -chain(grid, cleft))
    nucleus = soft(nuclear, _MEMBRANE_UM)
    chromatin = _chromatin(
        rng, grid, nuclear, density=rng.uniform(0.62, 0.92), clumps=rng.uniform(0.08, 0.2), clump_um=0.32, fine=0.10
    )
    nucleoli = _spots(rng, grid, int(rng.integers(0, 4)), radius_um * 0.55, rng.uniform(0.7, 1.2)) * nucleus
    chromatin *= 1 - np.float32(0.45) * nucleoli
    edge = np.float32(0.45) * ridge(inside, 0.6, 0.5)
    blue = np.float32(rng.uniform(0.5, 0.95)) * (1 + edge + np.float32(0.10) * grain(rng, grid, 0.25))
    vacuoles = _spots(rng, grid, int(rng.poisson(0.4)), radius_um * 0.95, 0.45)
    cell = _sprite(soft(inside, _MEMBRANE_UM), nucleus, chromatin, purple=0.08, blue=blue * (1 - vacuoles))
    cell.cytoplasm_dye[...] += np.float32(0.4) * nucleoli
    return cell


def plasma_cell(rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour]) -> Sprite:
    """Draw a plasma cell: an oval blue cell, its round clock-face nucleus at one end beside the pale Golgi field."""
    stretch = rng.uniform(1.1, 1.45)
    inside, shape = _body(rng, grid, radius_um, neighbours, roughness=0.035, stretch=stretch)
    nucleus_um = min(max(radius_um * rng.uniform(0.50, 0.64), 3.2), 5.4)
    # The nucleus lies toward where the cell reaches farthest.
    angle = 2 * math.pi * int(np.argmax(shape)) / len(shape) + rng.normal(0, 0.35)
    offset = max(float(shape.max()) - nucleus_um - rng.uniform(0.3, 1.0), 0.0)
    centre = _toward(angle, offset)
    nuclear = depth(grid, outline(rng, nucleus_um, 0.02, rng.uniform(1, 1.18)), centre)
    if rng.random() < 0.06:
        other = _toward(angle + rng.uniform(1.8, 2.4), radius_um * 0.45)
        nuclear = np.maximum(nuclear, depth(grid, outline(rng, nucleus_um * 0.9, 0.02), other))
    nuclear = np.minimum(nuclear, inside - np.float32(0.3))
    nucleus = soft(nuclear, _MEMBRANE_UM)

    chromatin = _chromatin(rng, grid, nuclear, density=rng.uniform(0.9, 1.1), clumps=0.32, clump_um=0.42, fine=0.10)
    _, around = cv2.cartToPolar(grid.x_um - np.float32(centre[0]), grid.y_um - np.float32(centre[1]))
    spokes = np.cos(np.float32(rng.integers(6, 9)) * around + 2 * grain(rng, grid, 0.8)) * ridge(nuclear, 1.1, 1.1)
    chromatin *= 1 + np.float32(0.22) * spokes
    if rng.random() < 0.35:
        dx_um, dy_um = _toward(rng.uniform(0, 2 * math.pi), nucleus_um * 0.4)
        nucleolus = chain(grid, [(centre[0] + dx_um, centre[1] + dy_um, rng.uniform(0.45, 0.8))])
        chromatin *= 1 - np.float32(0.5) * soft(nucleolus, 0.5)

    hof_centre = _toward(angle, offset - nucleus_um * rng.uniform(0.95, 1.2))
    hof = soft(depth(grid, outline(rng, nucleus_um * rng.uniform(0.55, 0.8), 0.08), hof_centre), 2.2)
    halo = ridge(nuclear, 0.8, -0.3)
    pale = np.maximum(np.float32(rng.uniform(0.35, 0.75)) * hof, np.float32(0.35) * halo)
    mottle = np.float32(0.10) * grain(rng, grid, 0.3) + np.float32(0.10) * grain(rng, grid, 0.8)
    edge = np.float32(0.15) * ridge(inside, 0.7, 0.5)
    blue = np.float32(rng.uniform(0.6, 1.15)) * (1 + mottle + edge) * (1 - pale)
    vacuoles = _spots(rng, grid, int(rng.poisson(2.5)), radius_um, 0.35)
    return _sprite(
        soft(inside, 0.5),
        nucleus,
        chromatin,
        purple=np.float32(0.06) + np.float32(0.07) * pale,
        blue=blue * (1 - np.float32(0.7) * vacuoles),
    )


def _lobes(rng: np.random.Generator, radius_um: float, count: int, lobe_um: float) -> list[tuple[float, float, float]]:
    """Lay lobes along a bent arc within the cell, joined by thin strands."""
    turn = rng.uniform(0, 2 * math.pi)
    span = rng.uniform(1.1, 1.4) * (count - 1) + 0.5
    arc_um = radius_um * rng.uniform(0.42, 0.52)
    centres = []
    for lobe in range(count):
        angle = turn + span * (lobe / (count - 1) - 0.5)
        centres.append(_toward(angle, arc_um * rng.uniform(0.8, 1.2)))
    beads = []
    for lobe, (x, y) in enumerate(centres):
        size = lobe_um * rng.uniform(0.85, 1.15)
        along = rng.uniform(0, math.pi)
        reach = size * rng.uniform(0.2, 0.5)
        beads += [
            (x + reach * step * math.cos(along), y + reach * step * math.sin(along), size * 0.9) for step in (-1, 0, 1)
        ]
        if lobe:
            before = centres[lobe - 1]
            beads += [
                (before[0] + (x - before[0]) * share, before[1] + (y - before[1]) * share, 0.45)
                for share in np.linspace(0.3, 0.7, 5)
            ]
    return beads


def neutrophil(rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour]) -> Sprite:
    """Draw a neutrophil: two to five dense lobes on thin strands, in pale pink cytoplasm of fine granules."""
    inside, _ = _body(rng, grid, radius_um, neighbours, roughness=0.04, stretch=rng.uniform(1, 1.12))
    count = int(rng.choice([2, 3, 4, 5], p=[0.22, 0.42, 0.28, 0.08]))
    beads = _lobes(rng, radius_um, count, radius_um * (0.39 - 0.035 * count))
    nuclear = np.minimum(chain(grid, beads) + np.float32(0.18) * grain(rng, grid, 0.6), inside - np.float32(0.4))
    nucleus = soft(nuclear, _MEMBRANE_UM)
    chromatin = _chromatin(rng, grid, nuclear, density=rng.uniform(0.95, 1.15), clumps=0.30, clump_um=0.38, fine=0.08)
    fine = soft(grain(rng, grid, 0.12) - np.float32(0.7), 0.8)
    return _sprite(
        soft(inside, 0.45),
        nucleus,
        chromatin,
        purple=np.float32(0.06) + np.float32(rng.uniform(0.05, 0.16)) * fine,
        red=np.float32(rng.uniform(0.25, 0.45)) * (1 + np.float32(0.12) * grain(rng, grid, 0.6)),
    )


def eosinophil(rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour]) -> Sprite:
    """Draw an eosinophil: two or three lobes, among packed coarse orange granules."""
    inside, _ = _body(rng, grid, radius_um, neighbours, roughness=0.04, stretch=rng.uniform(1, 1.15))
    beads = _lobes(rng, radius_um, int(rng.choice([2, 3], p=[0.8, 0.2])), radius_um * 0.33)
    nuclear = np.minimum(chain(grid, beads) + np.float32(0.15) * grain(rng, grid, 0.6), inside - np.float32(0.5))
    nucleus = soft(nuclear, _MEMBRANE_UM)
    chromatin = _chromatin(rng, grid, nuclear, density=rng.uniform(0.8, 1.0), clumps=0.26, clump_um=0.4, fine=0.06)
    packed = soft(grain(rng, grid, 0.22) - np.float32(0.4), 1.0) * soft(inside - np.float32(0.6), 0.8)
    return _sprite(
        soft(inside, 0.45),
        nucleus,
        chromatin,
        purple=0.04,
        red=0.25,
        granule=np.float32(0.35) + np.float32(0.45) * packed,
    )


def monocyte(rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour]) -> Sprite:
    """Draw a monocyte: a large kidney of lacy chromatin, in gray-blue dusty cytoplasm with vacuoles."""
    inside, _ = _body(rng, grid, radius_um, neighbours, roughness=0.07, stretch=rng.uniform(1, 1.2))
    turn, bend = rng.uniform(0, 2 * math.pi), rng.uniform(1.6, 2.9)
    arc_um, thick_um = radius_um * rng.uniform(0.40, 0.48), radius_um * rng.uniform(0.36, 0.44)
    shift = _toward(turn, -radius_um * 0.12)
    beads = []
    for along in np.linspace(-0.5, 0.5, 11):
        x, y = _toward(turn + bend * along, arc_um)
        beads.append((x + shift[0], y + shift[1], thick_um * (0.92 + 0.32 * abs(along))))
    nuclear = np.minimum(chain(grid, beads) + np.float32(0.3) * grain(rng, grid, 1.2), inside - np.float32(0.5))
    nucleus = soft(nuclear, _MEMBRANE_UM)
    chromatin = _chromatin(rng, grid, nuclear, density=rng.uniform(0.62, 0.8), clumps=0.24, clump_um=0.35, fine=0.10)
    dust = soft(grain(rng, grid, 0.12) - np.float32(0.9), 0.8)
    vacuoles = _spots(rng, grid, int(rng.poisson(4)), radius_um * 0.95, 0.4)
    gray = np.float32(rng.uniform(0.4, 0.6)) * (1 + np.float32(0.1) * grain(rng, grid, 0.5))
    return _sprite(
        soft(inside, 0.5),
        nucleus,
        chromatin,
        purple=(np.float32(0.07) + np.float32(0.12) * dust) * (1 - vacuoles),
        blue=gray * (1 - np.float32(0.8) * vacuoles),
    )


def lymphocyte(rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour]) -> Sprite:
    """Draw a small lymphocyte: a dense smudged round nucleus that leaves a thin rim of pale blue."""
    inside, _ = _body(rng, grid, radius_um, neighbours, roughness=0.04, stretch=rng.uniform(1, 1.15))
    share = rng.uniform(0.76, 0.88)
    centre = _toward(rng.uniform(0, 2 * math.pi), radius_um * (1 - share) * 0.6)
    shape = outline(rng, radius_um * share, 0.035, rng.uniform(1, 1.15))
    nuclear = np.minimum(depth(grid, shape, centre), inside - np.float32(0.25))
    chromatin = _chromatin(rng, grid, nuclear, density=rng.uniform(1.0, 1.2), clumps=0.25, clump_um=0.5, fine=0.06)
    blue = np.float32(rng.uniform(0.35, 0.6)) * (1 + np.float32(0.1) * grain(rng, grid, 0.3))
    return _sprite(soft(inside, 0.4), soft(nuclear, _MEMBRANE_UM), chromatin, purple=0.03, blue=blue)


def erythroblast(rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour]) -> Sprite:
    """Draw an erythroblast: a very dense round nucleus, in cytoplasm between gray-blue and the red cells' colour."""
    inside, _ = _body(rng, grid, radius_um, neighbours, roughness=0.04, stretch=rng.uniform(1, 1.15))
    share = rng.uniform(0.6, 0.78)
    centre = _toward(rng.uniform(0, 2 * math.pi), radius_um * (1 - share) * rng.uniform(0.1, 0.8))
    nuclear = np.minimum(depth(grid, outline(rng, radius_um * share, 0.02), centre), inside - np.float32(0.25))
    chromatin = _chromatin(rng, grid, nuclear, density=rng.uniform(1.2, 1.5), clumps=0.20, clump_um=0.55, fine=0.05)
    ripe = rng.random()
    return _sprite(
        soft(inside, 0.4),
        soft(nuclear, _MEMBRANE_UM),
        chromatin,
        purple=0.03,
        blue=0.55 * (1 - ripe),
        red=0.25 + 0.6 * ripe,
    )


PAINTERS: dict[CellKind, Painter] = {
    "lymphoblast": lymphoblast,
    "plasma cell": plasma_cell,
    "neutrophil": neutrophil,
    "eosinophil": eosinophil,
    "monocyte": monocyte,
    "lymphocyte": lymphocyte,
    "erythroblast": erythroblast,
}
"""How each kind of nucleated cell is drawn."""

RADII_UM: dict[CellKind, tuple[float, float]] = {
    "lymphoblast": (5.2, 8.2),
    "plasma cell": (6.3, 9.2),
    "neutrophil": (5.9, 7.0),
    "eosinophil": (6.1, 7.3),
    "monocyte": (7.2, 9.0),
    "lymphocyte": (3.9, 4.9),
    "erythroblast": (4.0, 5.2),
}
"""Smallest and largest radius of each kind on a dry film."""
