"""Draw a simulated field of view, with the truth about the cells in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edge.errors import ConfigurationError
from edge.frame import Pixels
from edge.simulator.canvas import Canvas, Stamp
from edge.simulator.cells import PAINTERS, RADII_UM, CellKind, Painter
from edge.simulator.elements import (
    DEBRIS_RADII_UM,
    RED_CELL_RADII_UM,
    droplet,
    platelet,
    precipitate,
    red_cell,
    smudge,
)
from edge.simulator.layout import Crowd, Disc, Thickness, scatter
from edge.simulator.optics import photograph
from edge.simulator.smear import Smear

_SHARE_OF_CELLS: dict[str, dict[CellKind, float]] = {
    "ALL": {"lymphoblast": 0.86, "lymphocyte": 0.06, "erythroblast": 0.04, "neutrophil": 0.03, "monocyte": 0.01},
    "MM": {
        "plasma cell": 0.58,
        "erythroblast": 0.18,
        "neutrophil": 0.09,
        "lymphocyte": 0.09,
        "monocyte": 0.03,
        "eosinophil": 0.03,
    },
    "normal": {"neutrophil": 0.60, "lymphocyte": 0.27, "monocyte": 0.08, "eosinophil": 0.05},
}
_SHARE_OF_DEBRIS: dict[str, dict[Painter, float]] = {
    "ALL": {platelet: 0.45, precipitate: 0.43, smudge: 0.12},
    "MM": {platelet: 0.25, precipitate: 0.60, droplet: 0.15},
    "normal": {platelet: 0.80, precipitate: 0.20},
}
_RED_CELL_STAMPS = 70


@dataclass(frozen=True, slots=True)
class Cell:
    """The truth about one nucleated cell.

    Attributes
    ----------
    kind : str
        Such as "lymphoblast", "plasma cell", "neutrophil".
    x_px, y_px : float
        Centre of the nucleus (of all its lobes together); 0 is the middle of the first pixel.
    nucleus_um2 : float
        Area of the nucleus, square micrometres.
    """

    kind: CellKind
    x_px: float
    y_px: float
    nucleus_um2: float

    @property
    def nucleus_radius_um(self) -> float:
        """Radius of a disc of the nucleus's area, micrometres."""
        return math.sqrt(self.nucleus_um2 / math.pi)


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A simulated field of view.

    Attributes
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.
    cells : tuple of Cell
        Nucleated cells whose nucleus has its centre in the field.
    """

    pixels: Pixels
    cells: tuple[Cell, ...]


def draw(smear: Smear, seed: int) -> Field:
    """Draw a field of view.

    Parameters
    ----------
    smear : Smear
        What to draw and how it is seen.
    seed : int
        Which of the countless fields, 0 or more. The same smear and seed give the same pixels (with the same versions
        of numpy and OpenCV); a change of optics or stain alone shows the same cells.

    Returns
    -------
    Field
        Pixels and truth.

    Raises
    ------
    ConfigurationError
        When the seed is negative.
    """
    if seed < 0:
        raise ConfigurationError(f"seed {seed}", "must be 0 or more")
    specimen = np.random.default_rng([seed, 0])
    canvas = Canvas(smear, specimen)
    cells = tuple(_populate(smear, canvas, specimen))
    return Field(photograph(canvas.absorbance, smear, np.random.default_rng([seed, 1])), cells)


def _populate(smear: Smear, canvas: Canvas, rng: np.random.Generator) -> Iterator[Cell]:
    """Let everything fall on the glass, and paint from the bottom up: red cells, debris, nucleated cells."""
    size_um = smear.size_px[0] * smear.um_per_px, smear.size_px[1] * smear.um_per_px
    thickness, nucleated = Thickness.random(rng), Crowd()
    white_density, red_density, debris_density = smear.per_mm2()

    def fall(per_mm2: float, range_um: tuple[float, float], keep_off: Sequence[tuple[Crowd, float]]) -> Iterator[Disc]:
        area_mm2 = (size_um[0] + 2 * range_um[1]) * (size_um[1] + 2 * range_um[1]) * 1e-6
        radii_um = rng.uniform(*range_um, rng.poisson(per_mm2 * area_mm2)).tolist()
        return scatter(rng, radii_um, size_um, thickness, keep_off)

    cells: list[tuple[CellKind, Disc]] = []
    for kind, share in _SHARE_OF_CELLS[smear.kind].items():
        for disc in fall(white_density * share, RADII_UM[kind], [(nucleated, 0.3)]):
            nucleated.add(disc)
            cells.append((kind, disc))
    heaped = Crowd()
    red_cells = fall(red_density, RED_CELL_RADII_UM, [(nucleated, 0.7), (heaped, rng.uniform(0.25, 0.9))])
    _lay_red_cells(canvas, red_cells, heaped, nucleated, rng)
    for debris, share in _SHARE_OF_DEBRIS[smear.kind].items():
        for disc in fall(debris_density * share, DEBRIS_RADII_UM[debris], [(nucleated, 0.2)]):
            canvas.lay(canvas.paint(debris, disc, nucleated.contacts(disc, 1.0), rng))
    for kind, disc in cells:
        stamp = canvas.paint(PAINTERS[kind], disc, nucleated.contacts(disc, 0.5), rng)
        canvas.lay(stamp)
        nucleus = stamp.nucleus
        if nucleus and 0 <= nucleus.x_px <= smear.size_px[0] - 1 and 0 <= nucleus.y_px <= smear.size_px[1] - 1:
            yield Cell(kind, nucleus.x_px, nucleus.y_px, nucleus.area_um2)


def _lay_red_cells(
    canvas: Canvas, discs: Iterator[Disc], heaped: Crowd, nucleated: Crowd, rng: np.random.Generator
) -> None:
    """Lay red cells where they fall, and tell the next ones through `heaped`."""
    # The paler middle depends on the place in the film: alike all over one field.
    painter = partial(red_cell, hollow=rng.uniform(0.25, 0.8))
    smallest_um, largest_um = RED_CELL_RADII_UM
    stamps: dict[int, Stamp] = {}
    for disc in discs:
        heaped.add(disc)
        contacts = nucleated.contacts(disc, 0.9)
        if contacts:
            canvas.lay(canvas.paint(painter, disc, contacts, rng))
            continue
        # Among hundreds nobody sees that a few are the same one, turned.
        size = round((disc.radius_um - smallest_um) / (largest_um - smallest_um) * (_RED_CELL_STAMPS - 1))
        if size not in stamps:
            stamps[size] = canvas.paint(painter, Disc(0.0, 0.0, disc.radius_um), (), rng)
        columns, rows = round(disc.x_um / canvas.um_per_px), round(disc.y_um / canvas.um_per_px)
        canvas.lay(stamps[size].turned(int(rng.integers(8)), columns, rows))
