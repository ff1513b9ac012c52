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


def shortcuts(um_per_px: float) -> dict[str, Features]:
    """Name the readers of shortcuts that stand beside every headline, for tiles of ``um_per_px``."""
    return {"mean colour": mean_colour, "background only": background_only(um_per_px)}


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
    look: Features,
    training: Cells,
    test: Cells,
    folds: Sequence[frozenset[str]],
    laboratories: Sequence[tuple[str, frozenset[str]]],
    side_px: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Measure a reader of features alone, averaged over a field, on the network's own splits.

    Parameters
    ----------
    look : callable
        What it sees of tiles.
    training : Cells
        The training cells, cross-validated, as they are and in stains of other laboratories.
    test : Cells
        The test part, read by a reader of all training cells; may be empty.
    folds : sequence of frozenset of str
        Groups of each fold.
    laboratories : sequence of (str, frozenset of str)
        Name, and groups, of each laboratory to leave out; may be empty.
    side_px : int
        Side of the network's tiles.
    seed : int
        Seed of the stains and of the bootstrap: the network's, so that both see the same fields.

    Returns
    -------
    dict
        ``"cross-validated"`` and, if there are such, ``"cross-validated, restained"`` (of several laboratories),
        ``"laboratories left out"`` and ``"test"``, to the figures of :func:`trainer.figures.plain`.
    """
    origins, seen = _of_fields(look, training, side_px)
    groups = training.of("group")
    foreign_stains = evaluate.can_be_restained(training)
    own, dressed = np.zeros((2, len(seen), len(origins.classes)))
    for fold in folds:
        unseen, outside = (np.isin(of, sorted(fold)) for of in (origins.groups, groups))
        reader = _reader(origins, seen, ~unseen)
        own[unseen] = reader(seen[unseen])
        if foreign_stains:
            restained = evaluate.restained(training.where(outside), training.where(~outside), side_px, seed)
            dressed[unseen] = reader(_of_fields(look, restained, side_px)[1])
    found = {"cross-validated": figures.plain(own, origins, seed)}
    if foreign_stains:
        found["cross-validated, restained"] = figures.plain(dressed, origins, seed)
    if laboratories:
        found["laboratories left out"] = _left_out(origins, seen, [part for _, part in laboratories], seed)
    if len(test.labels):
        tested, asked = _of_fields(look, test, side_px)
        found["test"] = figures.plain(_reader(origins, seen, np.ones(len(seen), bool))(asked), tested, seed)
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


def _left_out(
    origins: Origins, seen: NDArray[np.float64], parts: Sequence[frozenset[str]], seed: int
) -> dict[str, Any]:
    probabilities = np.zeros((len(seen), len(origins.classes)))
    for part in parts:
        unseen = np.isin(origins.groups, sorted(part))
        probabilities[unseen] = _reader(origins, seen, ~unseen)(seen[unseen])
    asked = np.isin(origins.groups, sorted(frozenset().union(*parts)))
    return figures.plain(probabilities[asked], origins.where(asked), seed)


def _reader(
    origins: Origins, seen: NDArray[np.float64], shown: NDArray[np.bool_]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Fit a reader on the fields shown; it gives probabilities, a row a field, to what it is asked."""
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    weights = origins.weights[shown] * len(seen)
    fitted.fit(seen[shown], origins.labels[shown], logisticregression__sample_weight=weights)

    def reader(asked: NDArray[np.float64]) -> NDArray[np.float64]:
        probabilities = np.zeros((len(asked), len(origins.classes)))
        probabilities[:, fitted[-1].classes_] = fitted.predict_proba(asked)
        return probabilities

    return reader
