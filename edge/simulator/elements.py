"""What lies in a smear besides nucleated cells: red cells, platelets, stain precipitate, droplets, smudged cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.simulator.cells import Painter, Sprite
from edge.simulator.shapes import Grid, Neighbour, Plane, chain, depth, grain, outline, pressed, ridge, soft


def _without_nucleus(
    cover: Plane | float,
    grid: Grid,
    *,
    purple: Plane | float = 0.0,
    blue: Plane | float = 0.0,
    red: Plane | float = 0.0,
) -> Sprite:
    nothing = np.zeros_like(grid.x_um)
    return Sprite(nothing + purple, nothing + blue, nothing + red, nothing, nothing + cover, nothing)


def red_cell(
    rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour], hollow: float = 0.5
) -> Sprite:
    """Draw a red cell: a disc, thickest in a ring, pale by `hollow` (0 to 1) in the middle; others show through it."""
    stretch = 1 + abs(rng.normal(0, 0.10))
    inside = depth(grid, pressed(outline(rng, radius_um, 0.022, stretch), neighbours))
    pallor_um = radius_um * rng.uniform(0.25, 0.62)
    hollow = min(hollow * rng.uniform(0.5, 1.4), 0.9)
    centre = rng.normal(0, 0.25, 2)
    pallor = soft(
        depth(grid, outline(rng, pallor_um, 0.05, stretch), (float(centre[0]), float(centre[1]))),
        rng.uniform(0.9, 2.0),
    )
    thickness = soft(inside - np.float32(0.15), 0.7) * (1 - np.float32(hollow) * pallor)
    # Light bends at the edge of the cell, which shows as a thin dark line.
    thickness += np.float32(0.16) * ridge(inside, 0.22, 0.2)
    mottle = 1 + np.float32(0.025) * grain(rng, grid, 1.2)
    return _without_nucleus(0.0, grid, red=np.asarray(thickness * mottle, np.float32))


def platelet(rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour]) -> Sprite:
    """Draw a platelet: purple granules heaped in a pale lilac scrap."""
    inside = depth(grid, pressed(outline(rng, radius_um, 0.09, rng.uniform(1, 1.5)), neighbours))
    heap = soft(inside - np.float32(radius_um * 0.25), radius_um * 0.6) * soft(grain(rng, grid, 0.18), 1.2)
    body = soft(inside, 0.4)
    return _without_nucleus(
        body * np.float32(0.5),
        grid,
        purple=np.float32(0.10) * body + np.float32(0.55) * heap,
        blue=np.float32(0.15) * body,
    )


def precipitate(rng: np.random.Generator, grid: Grid, radius_um: float, _: Sequence[Neighbour]) -> Sprite:
    """Draw precipitate of the stain: a few dark grains."""
    grains = [(*rng.normal(0, radius_um * 0.5, 2), rng.uniform(0.12, 0.4)) for _ in range(int(rng.integers(1, 7)))]
    return _without_nucleus(0.0, grid, purple=np.float32(rng.uniform(0.6, 1.6)) * soft(chain(grid, grains), 0.35))


def droplet(rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour]) -> Sprite:
    """Draw the clear hole that a droplet of fat leaves in the film."""
    inside = depth(grid, pressed(outline(rng, radius_um, 0.01), neighbours))
    return _without_nucleus(soft(inside, 0.4), grid, blue=np.float32(0.12) * ridge(inside, 0.3, -0.2))


def smudge(rng: np.random.Generator, grid: Grid, radius_um: float, neighbours: Sequence[Neighbour]) -> Sprite:
    """Draw a smudged cell: the pale frayed remains of a nucleus that burst when the film was spread."""
    inside = depth(grid, pressed(outline(rng, radius_um * 0.8, 0.14, rng.uniform(1, 1.6)), neighbours))
    frayed = soft(inside + np.float32(0.9) * grain(rng, grid, 0.7), 1.5)
    strands = 1 + np.float32(0.16) * grain(rng, grid, 0.5) + np.float32(0.10) * grain(rng, grid, 0.15)
    return _without_nucleus(
        np.float32(0.6) * frayed, grid, purple=np.asarray(rng.uniform(0.25, 0.4) * frayed * strands, np.float32)
    )


RED_CELL_RADII_UM = (3.3, 4.0)

DEBRIS_RADII_UM: dict[Painter, tuple[float, float]] = {
    platelet: (1.0, 1.8),
    precipitate: (0.5, 1.5),
    droplet: (0.6, 3.2),
    smudge: (5.0, 8.0),
}
"""Smallest and largest radius of each kind of debris."""
