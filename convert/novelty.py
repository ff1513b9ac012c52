"""How unlike its calibration fields a field may be, for networks from elsewhere, of which no run has measured it.

A run brings its own, of a cross-validation (``trainer.calibrate``). Of a network from elsewhere there is only what it
makes of the fields of ``--calibration``: its embedding is often wider than there are tiles, and a covariance of few
tiles is narrow where none of these reach. So it is shrunk as far as it has to be (Ledoit and Wolf 2004, "A
well-conditioned estimator for large-dimensional covariance matrices"), and the threshold is that of tiles which their
covariance did not see.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convert.errors import CalibrationRefused
from convert.fields import Fields
from edge import manifest, verdict

REFUSAL_OVER_KNOWN = 1.2
"""Distance of refusal over that of the furthest hundredth of known fields, as the trainer's."""

FOLDS = 5
LEAST_TILES = 20

_KNOWN = 0.99
_LEAST_SHRINKAGE = 0.005
# An embedding that does not vary in a part of the fields is no error; one that never does is refused.
_LEAST_VARIANCE = 1e-12


def fit(embeddings: NDArray[np.float32], fields: Fields) -> NDArray[np.float32]:
    """Fit mean and whitening, scaled so that a fifth beyond the 99th percentile of known fields is 1.

    Parameters
    ----------
    embeddings : ndarray
        Shape (n, d), float32, of the tiles of ``fields``.
    fields : Fields
        Those of the calibration manifest.

    Returns
    -------
    ndarray
        Shape (d + 1, d), float32: mean, and whitening, as in a bundle.

    Raises
    ------
    CalibrationRefused
        When there are fewer than 20 tiles, or the embedding of all is the same.
    """
    if len(embeddings) < LEAST_TILES:
        raise CalibrationRefused(
            "the representative dataset",
            f"has {len(embeddings)} tiles, and novelty is measured from {LEAST_TILES} at least",
            "Name more fields of the training part",
        )
    if (embeddings == embeddings[0]).all():
        raise CalibrationRefused("the representative dataset", "gives every tile the same embedding")
    distances, folds = np.empty(len(embeddings)), _folds(fields)
    for fold in np.unique(folds):
        unseen = folds == fold
        mean, whitening = _whitening(embeddings[~unseen])
        distances[unseen] = np.linalg.norm((embeddings[unseen] - mean) @ whitening, axis=1)
    of_fields = np.bincount(fields.owners, distances) / np.bincount(fields.owners)
    refuses = REFUSAL_OVER_KNOWN * float(np.quantile(of_fields, _KNOWN))
    mean, whitening = _whitening(embeddings)
    return np.vstack([mean[None], whitening / refuses]).astype(np.float32)


def of_fields(
    embeddings: NDArray[np.float32],
    owners: NDArray[np.int64],
    mean: NDArray[np.float32],
    whitening: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Measure the novelty of each field as the device does.

    Parameters
    ----------
    embeddings : ndarray
        Shape (n, d), float32, of tiles.
    owners : ndarray
        Shape (n,), int64, field of each; every field up to the largest has one at least.
    mean, whitening : ndarray
        Shapes (d,) and (d, d), float32, as in a bundle.

    Returns
    -------
    ndarray
        Shape (fields,), float64; a device refuses what is over 1.
    """
    order = np.argsort(owners, kind="stable")
    parts = np.split(embeddings[order], np.cumsum(np.bincount(owners))[:-1])
    return np.array([verdict.novelty(part, mean, whitening) for part in parts])


def _folds(fields: Fields) -> NDArray[np.int64]:
    """Deal groups to folds, class by class, so that no fold has all of a class.

    Of a class that is one group only its fields are dealt, and of one that is one field only its tiles: left out
    whole, the class would be novel, and what is not known would be taken for known.
    """
    _, groups = np.unique(fields.groups, return_inverse=True)
    units, count = groups[fields.owners], len(groups)
    for finer in (fields.owners + count, np.arange(len(units)) + 2 * count):
        for label in np.unique(fields.labels):
            own = fields.labels == label
            if len(np.unique(units[own])) == 1:
                units[own] = finer[own]
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    order = np.argsort(fields.labels[first], kind="stable")
    folds = np.empty(len(order), np.int64)
    folds[order] = manifest.deal([np.unique(fields.labels[unit == each]).tolist() for each in order.tolist()], FOLDS)
    return folds[unit]


def _whitening(embeddings: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.covariance import empirical_covariance, ledoit_wolf_shrinkage, shrunk_covariance

    mean = embeddings.mean(axis=0, dtype=np.float64)
    centred = embeddings - mean
    # The floor is the trainer's: without it int8's rounding would weigh most where the embedding hardly varies.
    shrinkage = max(float(ledoit_wolf_shrinkage(centred, assume_centered=True)), _LEAST_SHRINKAGE)
    covariance = shrunk_covariance(empirical_covariance(centred, assume_centered=True), shrinkage)
    covariance = covariance + _LEAST_VARIANCE * np.eye(len(mean))
    # Half of a triangle is zeros, which a bundle packs to nothing.
    return mean, np.tril(np.linalg.inv(np.linalg.cholesky(covariance))).T
