"""From tiles' logits on held-out groups to a decision: calibration, abstention, novelty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from edge import verdict
from edge.verdict import Decision
from trainer.evaluate import Judged

_RIDGE = 1e-3
_SHRINKAGE = 0.005

REFUSAL_OVER_KNOWN = 1.2
"""Distance of refusal over that of the furthest hundredth of known fields."""


def fit_decision(looks: Sequence[Judged], least_probability: float, novelty_warns: float) -> Decision:
    """Fit pseudo-counts, temperature and biases by the likelihood of held-out fields.

    Parameters
    ----------
    looks : sequence of Judged
        Fields that the network judging them did not see, as they are, and the same in foreign stains if there are
        such, so that confidence is not that of the laboratories at hand. Each look weighs alike.
    least_probability : float
        Threshold of abstention.
    novelty_warns : float
        Threshold of the warning.

    Returns
    -------
    Decision
        What the bundle carries.
    """
    classes = len(looks[0].classes)
    evidence = [found for look in looks for found in look.evidence]
    # A field without cells is indeterminate whatever is fitted.
    shown = np.array([found.tiles > 0 for found in evidence])
    cells = np.array([found.cells for found in evidence])[shown]
    labels = np.concatenate([look.labels for look in looks])[shown]
    share = (np.concatenate([look.weights for look in looks]) / len(looks))[shown]

    def decision(values: NDArray[np.float64]) -> Decision:
        return Decision(
            pseudo_counts=tuple(np.exp(values[:classes]).tolist()),
            temperature=float(np.exp(values[classes])),
            bias=(0.0, *values[classes + 1 :].tolist()),
            least_probability=least_probability,
            least_tiles=1,
            novelty_warns=novelty_warns,
        )

    def loss(values: NDArray[np.float64]) -> float:
        found = decision(values)
        pooled = cells + np.asarray(found.pseudo_counts)
        scores = np.log(pooled / pooled.sum(axis=1, keepdims=True)) / found.temperature + np.asarray(found.bias)
        likelihood = verdict.softmax(scores)[np.arange(len(labels)), labels]
        return float(-(share * np.log(likelihood + 1e-9)).sum() + _RIDGE * (values**2).sum())

    best = minimize(loss, np.zeros(2 * classes), method="Powell")
    polished = minimize(loss, best.x, method="Nelder-Mead", options={"maxiter": 8000, "maxfev": 8000})
    return decision(polished.x)


def fit_novelty(
    embeddings: NDArray[np.float32], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit mean and whitening of the cells' embeddings, not yet scaled to the refusal threshold.

    Parameters
    ----------
    embeddings : ndarray
        Shape (cells, d), embedding of each training cell.
    weights : ndarray
        Shape (cells,), weight of each cell, so that no laboratory is the norm.

    Returns
    -------
    tuple of ndarray
        Mean (d,) and whitening (d, d), float32.
    """
    share = weights / weights.sum()
    mean = share @ embeddings
    centred = embeddings - mean
    covariance = (centred * share[:, None]).T @ centred
    covariance += _SHRINKAGE * np.trace(covariance) / len(mean) * np.eye(len(mean))
    values, vectors = np.linalg.eigh(covariance)
    whitening = vectors / np.sqrt(values) @ vectors.T
    return mean.astype(np.float32), whitening.astype(np.float32)


def novelty_thresholds(known: NDArray[np.floating], foreign: NDArray[np.floating]) -> tuple[float, float]:
    """Choose where a field is from a new microscope, and where it is no smear at all.

    Parameters
    ----------
    known : ndarray
        Shape (n,), Mahalanobis distance of held-out fields of laboratories that were trained on; where each laboratory
        is a single group it is empty, and the left-out ones stand for them.
    foreign : ndarray
        Shape (m,), that of fields of laboratories left out whole.

    Returns
    -------
    tuple of float
        Distance of the warning, at the 99th percentile of known laboratories, and of refusal, a fifth further: about
        where the 99th percentile of each left-out laboratory was found, since a new laboratory's smear is a smear;
        noise, writing and photographs lie beyond.
    """
    warns = float(np.quantile(known if len(known) else foreign, 0.99))
    return warns, REFUSAL_OVER_KNOWN * warns
