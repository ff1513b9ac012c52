"""What a reader of shortcuts alone would achieve: whatever a control explains is not the network's merit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge.vision import balance, nuclei
from trainer import augment, evaluate, figures
from trainer.cells import Cells
from trainer.evaluate import Origins

Features = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""From tiles, shape (n, side, side, 3), uint8, BGR, to what a reader sees of them, shape (n, k)."""

_RIM_UM = 1.0


def mean_colour(tiles: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean optical density of each tile, shape (n, 3)."""
    return np.asarray(augment.stain_statistics(tiles)[0], np.float64)


def background_only(um_per_px: float) -> Features:
    """Make a reader's eye for all but the nuclei.

    Parameters
    ----------
    um_per_px : float
        Pixel size of the tiles.

    Returns
    -------
    callable
        Gives mean and spread of the optical density outside the nuclei (and a rim of a micrometre), and how sharp it
        is there; shape (n, 7).
    """
    rim = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(_RIM_UM / um_per_px) + 1,) * 2)

    def look(tiles: NDArray[np.uint8]) -> NDArray[np.float64]:
        rows = np.zeros((len(tiles), 7))
        for row, tile in zip(rows, tiles, strict=True):
            density = balance.optical_density(tile)
            glass = cv2.dilate(nuclei.find(tile, um_per_px).mask, rim) == 0
            if glass.any():
                seen = density[:, glass].astype(np.float64)
                edges = cv2.Laplacian(density[1], cv2.CV_16S)[glass]
                row[:] = *seen.mean(axis=1), *seen.std(axis=1), edges.std()
        return rows

    return look


def read(
    look: Features, training: Cells, test: Cells, folds: Sequence[frozenset[str]], side_px: int
) -> dict[str, dict[str, Any]]:
    """Measure a reader of features alone, averaged over a field, on the network's own splits.

    Parameters
    ----------
    look : callable
        What it sees of tiles.
    training : Cells
        The training cells, cross-validated.
    test : Cells
        The test part, read by a reader of all training cells; may be empty.
    folds : sequence of frozenset of str
        Groups of each fold.
    side_px : int
        Side of the network's tiles.

    Returns
    -------
    dict
        ``"cross-validated"`` and, if there is one, ``"test"``, to ``verdicts`` and the figures of
        :func:`trainer.figures.of_probabilities`, as for the network.
    """
    origins, seen = _of_fields(look, training, side_px)
    probabilities = np.zeros((len(seen), len(origins.classes)))
    for fold in folds:
        unseen = np.isin(origins.groups, sorted(fold))
        probabilities[unseen] = _read(origins, seen, ~unseen, seen[unseen])
    found = {"cross-validated": figures.plain(probabilities, origins, 0)}
    if len(test.labels):
        tested, asked = _of_fields(look, test, side_px)
        found["test"] = figures.plain(_read(origins, seen, np.ones(len(seen), bool), asked), tested, 0)
    return found


def shuffled(cells: Cells, seed: int) -> Cells:
    """Deal the labels of the fields out anew: what a network learns from these it has from a leak.

    Parameters
    ----------
    cells : Cells
        The training cells.
    seed : int
        Seed of the deal.

    Returns
    -------
    Cells
        The same tiles; each field has the label of another, all its cells with it.
    """
    shown, where = np.unique(cells.fields, return_inverse=True)
    labels = np.array([cells.classes.index(cells.sources[field].label) for field in shown.tolist()])
    return replace(cells, labels=np.random.default_rng(seed).permutation(labels)[where])


def _of_fields(look: Features, cells: Cells, side_px: int) -> tuple[Origins, NDArray[np.float64]]:
    rows = np.concatenate([look(cells.middles(side_px, part)) for part in cells.parts()])
    origins, sums, counts = evaluate.pooled(cells, rows)
    return origins, sums / counts[:, None]


def _read(
    origins: Origins, colours: NDArray[np.float64], shown: NDArray[np.bool_], asked: NDArray[np.float64]
) -> NDArray[np.float64]:
    reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    weights = origins.weights[shown] * len(colours)
    reader.fit(colours[shown], origins.labels[shown], logisticregression__sample_weight=weights)
    probabilities = np.zeros((len(asked), len(origins.classes)))
    probabilities[:, reader[-1].classes_] = reader.predict_proba(asked)
    return probabilities
