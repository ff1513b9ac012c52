"""A simulated microscope: marrow and blood fields that look like Romanowsky-stained smears, drawn from numbers."""

from edge.simulator.cells import CellKind
from edge.simulator.draw import Cell, Field, draw
from edge.simulator.slides import glass, micrometer
from edge.simulator.smear import Smear, SmearKind, random_smear
from edge.simulator.stain import Stain, random_stain

__all__ = [
    "Cell",
    "CellKind",
    "Field",
    "Smear",
    "SmearKind",
    "Stain",
    "draw",
    "glass",
    "micrometer",
    "random_smear",
    "random_stain",
]
