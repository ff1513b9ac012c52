"""How much light each dyed part of a smear takes away: Romanowsky stains as optical densities."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigurationError

OpticalDensity = tuple[float, float, float]
"""Optical density (decadic) in the blue, green and red channel, each 0 to 3."""

_LARGEST_OD = 3.0


@dataclass(frozen=True, slots=True)
class Stain:
    """Optical densities of a smear's parts, each for blue, green and red, 0 to 3.

    The defaults are a Wright-Giemsa stain in good order: purple nuclei, blue cytoplasm, salmon red cells.

    Attributes
    ----------
    nucleus : tuple of float
        Chromatin of mean density (azure B with eosin Y).
    cytoplasm : tuple of float
        Strongly basophilic cytoplasm, as of a plasma cell.
    red_cell : tuple of float
        The thick ring of a red cell (haemoglobin with eosin).
    granule : tuple of float
        Eosinophil granules.
    film : tuple of float
        The dried plasma between the cells.
    """

    nucleus: OpticalDensity = (0.19, 0.68, 0.42)
    cytoplasm: OpticalDensity = (0.09, 0.24, 0.27)
    red_cell: OpticalDensity = (0.15, 0.19, 0.065)
    granule: OpticalDensity = (0.42, 0.40, 0.10)
    film: OpticalDensity = (0.020, 0.020, 0.015)

    def __post_init__(self) -> None:
        """Refuse what is no optical density."""
        for part, density in zip(self.__slots__, astuple(self), strict=True):
            if len(density) != 3 or not all(0 <= channel <= _LARGEST_OD for channel in density):
                raise ConfigurationError(
                    f"stain {part}={density!r}",
                    f"needs three optical densities (blue, green, red) of 0 to {_LARGEST_OD:g}",
                )

    def dyes(self) -> NDArray[np.float32]:
        """Give the matrix that turns amounts of dye into optical density.

        Returns
        -------
        ndarray
            Shape (3, 4), float32: rows blue, green, red; columns nucleus, cytoplasm, red cell, granule.
        """
        return np.array(list(zip(self.nucleus, self.cytoplasm, self.red_cell, self.granule, strict=True)), np.float32)


# Laboratories differ in dye, pH and age of the solutions; these four span what is seen in practice.
_LABORATORIES = np.array(
    [
        astuple(Stain()),
        # Jenner-Giemsa: violet nuclei, slate cytoplasm, gray red cells.
        [(0.17, 0.62, 0.44), (0.07, 0.17, 0.22), (0.09, 0.11, 0.09), (0.34, 0.36, 0.12), (0.03, 0.05, 0.04)],
        # Giemsa at alkaline pH: everything blue, red cells too.
        [(0.07, 0.50, 0.40), (0.04, 0.22, 0.30), (0.07, 0.15, 0.18), (0.25, 0.38, 0.16), (0.01, 0.015, 0.02)],
        # Leishman at acid pH: red-violet nuclei, pink red cells.
        [(0.16, 0.70, 0.34), (0.10, 0.24, 0.18), (0.14, 0.26, 0.10), (0.40, 0.48, 0.10), (0.03, 0.04, 0.01)],
    ],
    np.float64,
)


def random_stain(rng: np.random.Generator) -> Stain:
    """Draw a plausible stain: a mixture of four laboratories' habits, in random strength.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Stain
        A stain that a laboratory might have.
    """
    habit = rng.dirichlet(np.full(len(_LABORATORIES), 0.6))
    strength = rng.lognormal(0, 0.15, (5, 1)) * rng.lognormal(0, 0.08, (5, 3))
    mixed = np.clip(np.tensordot(habit, _LABORATORIES, 1) * strength, 0, _LARGEST_OD)
    nucleus, cytoplasm, red_cell, granule, film = ((float(b), float(g), float(r)) for b, g, r in mixed)
    return Stain(nucleus, cytoplasm, red_cell, granule, film)
