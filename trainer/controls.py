"""What a reader of shortcuts alone would achieve: whatever a control explains is not the network's merit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trainer import augment, evaluate
from trainer.cells import Cells
from trainer.evaluate import Origins


def mean_colour(
    training: Cells, test: Cells, folds: Sequence[frozenset[str]], side_px: int
) -> dict[str, dict[str, Any]]:
    """Measure a reader of nothing but the mean optical density of a field's tiles, on the network's own splits.

    Parameters
    ----------
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
        ``"cross-validated"`` and, if there is one, ``"test"``, to ``verdicts`` and ``pairs`` as
        :func:`trainer.evaluate.figures` gives them for the network.
    """
    origins, colours = _colours(training, side_px)
    probabilities = np.zeros((len(colours), len(origins.classes)))
    for fold in folds:
        unseen = np.isin(origins.groups, sorted(fold))
        probabilities[unseen] = _read(origins, colours, ~unseen, colours[unseen])
    found = {"cross-validated": _figures(probabilities, origins)}
    if len(test.labels):
        tested, seen = _colours(test, side_px)
        found["test"] = _figures(_read(origins, colours, np.ones(len(colours), bool), seen), tested)
    return found


def _colours(cells: Cells, side_px: int) -> tuple[Origins, NDArray[np.float64]]:
    margin = (cells.tiles.shape[1] - side_px) // 2
    middle = slice(margin, margin + side_px)
    means = [
        augment.stain_statistics(cells.tiles[start : start + 1024, middle, middle])[0]
        for start in range(0, len(cells.tiles), 1024)
    ]
    origins, sums, counts = evaluate.pooled(cells, np.concatenate(means))
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


def _figures(probabilities: NDArray[np.float64], origins: Origins) -> dict[str, Any]:
    called = np.array(origins.classes)[probabilities.argmax(axis=1)]
    return {
        "verdicts": evaluate.shares_by_origin(called, origins),
        "pairs": evaluate.pairs_within_laboratory(probabilities, origins, seed=0),
    }
