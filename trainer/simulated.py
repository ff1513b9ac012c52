"""Drawn fields as one more laboratory, in another stain, light and focus each time: domain randomisation.

A network that has seen only a few laboratories takes their colours for the disease; drawn cells of every class in every
stain contradict that (Tobin et al. 2017, "Domain randomization for transferring deep neural networks from simulation to
the real world").
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.simulator import Field, draw, random_smear
from edge.vision import nuclei, tiling
from edge.vision.field import prepare
from trainer.cells import Cells
from trainer.errors import DataError
from trainer.manifest import LabelledField

LAB = "simulated"
"""Laboratory of drawn fields; no figure is taken from it."""

LESIONS = {"lymphoblast": "ALL", "plasma cell": "MM"}
"""Class of the simulator's malignant cells; all others are of the background class."""

KINDS = 3
"""Kinds of fields: ALL, MM and normal."""

_SIZE_PX = (1024, 768)
_UM_PER_PX = 0.25
_REACH_UM = 4.0
_WHITE_CELLS_PER_MM2 = 900.0


def cells(
    classes: tuple[str, ...],
    background_class: str,
    fields_per_kind: int,
    um_per_px: float,
    side_px: int,
    seed: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Cells:
    """Draw fields of every kind and cut a tile around every nucleus that the truth knows.

    Parameters
    ----------
    classes : tuple of str
        Class names; must hold ``"ALL"``, ``"MM"`` and the background class.
    background_class : str
        Class of cells that are not malignant.
    fields_per_kind : int
        Number of fields of each of ALL, MM and normal.
    um_per_px : float
        The model's scale.
    side_px : int
        Side of the tiles.
    seed : int
        Seed of the drawing.
    progress : callable
        Called with the number of fields done.

    Returns
    -------
    Cells
        Drawn cells, of the laboratory ``LAB``, a group a field.

    Raises
    ------
    DataError
        When the data's classes are not those that can be drawn.
    """
    missing = {*LESIONS.values(), background_class} - set(classes)
    if missing:
        raise DataError("--simulate", f"draws cells of {', '.join(sorted(missing))}, which the data do not have")
    rng = np.random.default_rng(seed)
    tiles, labels, owners = [], [], []
    sources: list[LabelledField] = []
    for kind in ("ALL", "MM", "normal"):
        for number in range(fields_per_kind):
            crowd = {"white_cells": _WHITE_CELLS_PER_MM2} if kind == "normal" else {}
            smear = random_smear(rng, kind, size_px=_SIZE_PX, um_per_px=_UM_PER_PX, **crowd)
            drawn = draw(smear, int(rng.integers(2**31)))
            field = prepare(drawn.pixels, _UM_PER_PX, um_per_px)
            centres = nuclei.find(field.pixels, um_per_px, field.inside).centres
            label = _truth(centres * um_per_px, drawn, classes, background_class)
            known = label >= 0
            tiles.append(tiling.cut(field.pixels, tiling.around(centres[known], side_px), side_px))
            labels.append(label[known])
            owners.append(np.full(int(known.sum()), len(sources)))
            name = f"{LAB}-{kind}-{number:03d}"
            shown = background_class if kind == "normal" else kind
            sources.append(LabelledField(Path(name), shown, name, LAB, _UM_PER_PX))
            progress(len(sources))
    return Cells(np.concatenate(tiles), np.concatenate(labels), np.concatenate(owners), classes, tuple(sources))


def _truth(
    centres_um: NDArray[np.float32], drawn: Field, classes: tuple[str, ...], background_class: str
) -> NDArray[np.int64]:
    if not drawn.cells or not len(centres_um):
        return np.full(len(centres_um), -1)
    truth_um = np.array([(cell.x_px, cell.y_px) for cell in drawn.cells]) * _UM_PER_PX
    distance = np.linalg.norm(centres_um[:, None] - truth_um[None], axis=2)
    nearest = distance.argmin(axis=1)
    kinds = [classes.index(LESIONS.get(cell.kind, background_class)) for cell in drawn.cells]
    return np.where(distance.min(axis=1) < _REACH_UM, np.array(kinds)[nearest], -1)
