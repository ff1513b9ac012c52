"""Where the elements of a smear come to lie: crowded here, sparse there, touching but hardly overlapping."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge.simulator.shapes import Neighbour

_BUCKET_UM = 20.0
_TRIES = 12


@dataclass(frozen=True, slots=True)
class Disc:
    """Room that an element takes: centre and radius, micrometres from the field's corner."""

    x_um: float
    y_um: float
    radius_um: float


class Crowd:
    """Discs that can be asked who lies near."""

    def __init__(self) -> None:
        self._buckets: defaultdict[tuple[int, int], list[Disc]] = defaultdict(list)

    def add(self, disc: Disc) -> None:
        """Take in one more disc, of at most 10 um radius."""
        self._buckets[int(disc.x_um // _BUCKET_UM), int(disc.y_um // _BUCKET_UM)].append(disc)

    def near(self, disc: Disc) -> Iterator[tuple[Disc, float]]:
        """Find the other discs that overlap with this one, with the distance of the centres."""
        column, row = int(disc.x_um // _BUCKET_UM), int(disc.y_um // _BUCKET_UM)
        for bucket in ((column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
            for other in self._buckets.get(bucket, ()):
                apart_um = math.hypot(other.x_um - disc.x_um, other.y_um - disc.y_um)
                if other is not disc and apart_um < other.radius_um + disc.radius_um:
                    yield other, apart_um

    def contacts(self, disc: Disc, yields: float) -> list[Neighbour]:
        """Find where other discs press against this one.

        Parameters
        ----------
        disc : Disc
            Who is pressed.
        yields : float
            Share of the overlap that this disc gives up; the other one gives up the rest.

        Returns
        -------
        list of Neighbour
            One for each disc that overlaps.
        """
        return [
            Neighbour(
                other.x_um - disc.x_um,
                other.y_um - disc.y_um,
                disc.radius_um - yields * (disc.radius_um + other.radius_um - apart_um),
            )
            for other, apart_um in self.near(disc)
        ]


@dataclass(frozen=True, slots=True)
class Thickness:
    """How the film varies over the field: a few waves of some hundred micrometres."""

    waves: Sequence[tuple[float, float, float]]

    @classmethod
    def random(cls, rng: np.random.Generator) -> Thickness:
        """Draw one."""
        return cls(
            [
                (math.cos(angle) / length_um, math.sin(angle) / length_um, phase)
                for angle, length_um, phase in zip(
                    rng.uniform(0, 2 * math.pi, 5), rng.uniform(8, 40, 5), rng.uniform(0, 2 * math.pi, 5), strict=True
                )
            ]
        )

    def at(self, x_um: float, y_um: float) -> float:
        """Give the relative thickness, 0 to 1."""
        height = sum(math.cos(a * x_um + b * y_um + phase) for a, b, phase in self.waves)
        return min(max(0.55 + 0.25 * height, 0.08), 1.0)


def scatter(
    rng: np.random.Generator,
    radii_um: Sequence[float],
    size_um: tuple[float, float],
    thickness: Thickness,
    keep_off: Sequence[tuple[Crowd, float]],
) -> Iterator[Disc]:
    """Let discs fall on the field, retrying where there is no room; each joins no crowd by itself.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    radii_um : sequence of float
        Radius of each disc to let fall; fewer come to lie when there is no room.
    size_um : tuple of float
        Width and height of the field; discs may stick out.
    thickness : Thickness
        Where the film is thick, more come to lie.
    keep_off : sequence of (Crowd, float)
        Crowds and the overlap allowed with each, as a share of the smaller radius.

    Yields
    ------
    Disc
        Each before the next one falls, so that a consumer may add it to a crowd.
    """
    for radius_um in radii_um:
        for x, y, chance in rng.random((_TRIES, 3)).tolist():
            disc = Disc(
                x * (size_um[0] + 2 * radius_um) - radius_um, y * (size_um[1] + 2 * radius_um) - radius_um, radius_um
            )
            if chance < thickness.at(disc.x_um, disc.y_um) and _fits(disc, keep_off):
                yield disc
                break


def _fits(disc: Disc, keep_off: Sequence[tuple[Crowd, float]]) -> bool:
    return all(
        disc.radius_um + other.radius_um - apart_um <= overlap * min(disc.radius_um, other.radius_um)
        for crowd, overlap in keep_off
        for other, apart_um in crowd.near(disc)
    )
