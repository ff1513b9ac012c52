"""Simulated fields, each drawn once, and a look at them through the steps that every frame takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from edge import simulator
from edge.simulator import Smear
from edge.vision import field, nuclei, quality, scale

MODEL_UM_PER_PX = 0.5


@dataclass(frozen=True)
class Look:
    """A simulated field, its truth, and what vision makes of it at 0.5 um per pixel."""

    truth: tuple[simulator.Cell, ...]
    truth_centres: NDArray[np.float64]
    raw: field.Pixels
    field: field.Field
    nuclei: nuclei.Nuclei
    quality: quality.Quality


@cache
def _look(smear: Smear, seed: int) -> Look:
    drawn = simulator.draw(smear, seed)
    prepared = field.prepare(drawn.pixels, smear.um_per_px, MODEL_UM_PER_PX)
    found = nuclei.find(prepared.pixels, MODEL_UM_PER_PX, prepared.inside)
    # Pixels of the model's scale: an edge lies half a pixel from the middle of the first one, at every scale.
    centres = (np.array([(cell.x_px, cell.y_px) for cell in drawn.cells]).reshape(-1, 2) + 0.5) * (
        smear.um_per_px / MODEL_UM_PER_PX
    ) - 0.5
    raw = scale.resample(drawn.pixels, smear.um_per_px, MODEL_UM_PER_PX)
    return Look(drawn.cells, centres, raw, prepared, found, quality.assess(prepared, found))


@pytest.fixture(scope="session")
def look() -> Callable[..., Look]:
    """Return what draws a field of 256 by 192 um and looks at it; the keywords are those of a smear."""

    def at(seed: int = 1, **smear: object) -> Look:
        return _look(Smear(**({"kind": "ALL", "size_px": (640, 480), "um_per_px": 0.4} | smear)), seed)  # type: ignore[arg-type]

    return at
