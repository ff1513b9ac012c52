"""Batches in which no class, laboratory or slide speaks louder than another, augmented afresh each time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from trainer import augment, simulated
from trainer.augment import Augmentation
from trainer.cells import Cells

SIMULATED_SHARE = 0.2
"""Share of drawn cells among those of each class, where there are any."""

_MOST_WORKERS = 8
"""Beyond it threads of Python wait for each other more than they work."""


def weights(cells: Cells) -> NDArray[np.float64]:
    """Chance of each cell to be drawn: classes alike, in a class laboratories alike, in a laboratory groups alike.

    Drawn fields, where there are any, make up a fixed share of each class.

    Parameters
    ----------
    cells : Cells
        The training cells.

    Returns
    -------
    ndarray
        Shape (n,), float64, sums to 1.
    """
    chance = np.ones(len(cells.labels))
    parents = np.zeros(len(chance), np.int64)
    for names in (cells.labels, cells.of("lab"), cells.of("group")):
        _, own = np.unique(names, return_inverse=True)
        # By number, since two laboratories and their groups can have one name when joined.
        _, children = np.unique(parents * len(own) + own, return_inverse=True)
        siblings = {parent: len(np.unique(children[parents == parent])) for parent in np.unique(parents).tolist()}
        chance /= np.array([siblings[parent] for parent in parents.tolist()])
        parents = children
    chance /= np.bincount(parents)[parents]
    drawn = cells.of("lab") == simulated.LAB
    for label in np.unique(cells.labels):
        of_class = cells.labels == label
        for part, share in ((drawn, SIMULATED_SHARE), (~drawn, 1 - SIMULATED_SHARE)):
            if (of_class & part).any():
                chance[of_class & part] *= share / chance[of_class & part].sum()
        chance[of_class] /= chance[of_class].sum()
    return np.asarray(chance / chance.sum())


def worker_count(cores: int) -> int:
    """Say how many threads make batches: half of the cores, since the other half computes where there is no GPU."""
    return min(_MOST_WORKERS, max(1, cores // 2))


@dataclass(frozen=True, slots=True, eq=False)
class _Stains:
    mean: NDArray[np.float32]
    covariance: NDArray[np.float32]
    by_lab: dict[str, NDArray[np.int64]]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Endless balanced batches; batch ``i`` is the same whichever thread makes it.

    Parameters
    ----------
    cells : Cells
        The training cells; tiles larger than ``side_px``.
    side_px : int
        Side of the tiles given to the network.
    batch : int
        Cells a batch.
    steps : int
        Batches an epoch.
    settings : Augmentation
        How strongly tiles are varied.
    seed : int
        Seed of everything drawn.
    """

    def __init__(self, cells: Cells, side_px: int, batch: int, steps: int, settings: Augmentation, seed: int) -> None:
        workers = worker_count(len(os.sched_getaffinity(0)))
        super().__init__(workers=workers, use_multiprocessing=False, max_queue_size=4 * workers)
        self._cells, self._side, self._batch, self._steps = cells, side_px, batch, steps
        self._settings, self._seed = settings, seed
        self.epoch = 0
        self._cumulative = np.cumsum(weights(cells))
        self._labs = cells.of("lab")
        self._stains = _stains(cells, side_px, self._labs)

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        return self._steps

    def on_epoch_end(self) -> None:
        """Go on to other cells and other augmentation."""
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Draw batch ``index``: tiles, float32 0 to 255, (batch, side, side, 3), and one-hot classes."""
        rng = np.random.default_rng((self._seed, self.epoch, index))
        drawn = self._draw(rng)
        tiles = augment.warp(self._cells.tiles[drawn], self._side, self._settings, rng)
        tiles = self._restain(tiles, self._labs[drawn], rng)
        tiles = augment.camera(tiles, self._settings, rng)
        return tiles.astype(np.float32), np.eye(len(self._cells.classes), dtype=np.float32)[self._cells.labels[drawn]]

    def pictures(self, index: int) -> list[Path]:
        """Name the pictures that batch ``index`` of this epoch holds cells of, in order."""
        drawn = self._draw(np.random.default_rng((self._seed, self.epoch, index)))
        return [self._cells.sources[field].path for field in np.unique(self._cells.fields[drawn]).tolist()]

    def _draw(self, rng: np.random.Generator) -> NDArray[np.intp]:
        drawn = np.searchsorted(self._cumulative, rng.random(self._batch) * self._cumulative[-1])
        return np.asarray(np.minimum(drawn, len(self._cumulative) - 1), np.intp)

    def _restain(self, tiles: augment.Tiles, labs: NDArray[np.str_], rng: np.random.Generator) -> augment.Tiles:
        if len(self._stains.by_lab) < 2:
            return tiles
        chosen = np.flatnonzero(rng.random(len(tiles)) < self._settings.restain)
        donors = [foreign_donor(self._stains.by_lab, str(lab), rng) for lab in labs[chosen]]
        mix = rng.uniform(self._settings.restain_least_mix, 1, len(chosen)).astype(np.float32)
        if len(chosen):
            tiles[chosen] = augment.restain(
                tiles[chosen], self._stains.mean[donors], self._stains.covariance[donors], mix
            )
        return tiles


def foreign_donor(by_lab: dict[str, NDArray[np.int64]], lab: str, rng: np.random.Generator) -> int:
    """Choose a cell of any other laboratory, laboratories alike.

    Parameters
    ----------
    by_lab : dict of str to ndarray
        Indices of the cells of each laboratory.
    lab : str
        The laboratory not to choose from.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    int
        Index of a cell.
    """
    others = [name for name in by_lab if name != lab]
    return int(rng.choice(by_lab[others[int(rng.integers(len(others)))]]))


def _stains(cells: Cells, side_px: int, labs: NDArray[np.str_]) -> _Stains:
    parts = [augment.stain_statistics(cells.middles(side_px, part)) for part in cells.parts()]
    return _Stains(
        np.concatenate([mean for mean, _ in parts]),
        np.concatenate([covariance for _, covariance in parts]),
        {str(lab): np.flatnonzero(labs == lab) for lab in np.unique(labs)},
    )
