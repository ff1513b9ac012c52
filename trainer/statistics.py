"""Arithmetic of figures: areas under curves with intervals over groups, errors of calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEAST_GROUPS = 2
"""Groups that each class needs for an interval: resampling says nothing of a class that has a single one."""


def auroc_with_interval(
    positive: NDArray[np.bool_], score: NDArray[np.float64], groups: NDArray[np.str_], seed: int
) -> dict[str, float]:
    """Area under the ROC curve with a 95% interval from resampling whole groups.

    Parameters
    ----------
    positive : ndarray
        Shape (n,), bool.
    score : ndarray
        Shape (n,), float, higher is more positive.
    groups : ndarray
        Shape (n,), the unit that is resampled: fields of one group are not independent.
    seed : int
        Seed of the resampling.

    Returns
    -------
    dict
        ``auroc``, ``low``, ``high``; the bounds are missing where a class has fewer than two groups: resampling says
        nothing then.
    """
    names, members = np.unique(groups, return_inverse=True)
    wins, positives, negatives = _wins(positive, score, members, len(names))
    drawn = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    times = np.array([np.bincount(sample, minlength=len(names)) for sample in drawn])
    pairs = (times @ positives) * (times @ negatives)
    found = ((times @ wins) * times).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    result = {"auroc": float(wins.sum() / (positives.sum() * negatives.sum()))}
    if min(np.count_nonzero(positives), np.count_nonzero(negatives)) >= LEAST_GROUPS:
        low, high = np.quantile(found, (0.025, 0.975)).tolist()
        result |= {"low": low, "high": high}
    return result


def _wins(
    positive: NDArray[np.bool_], score: NDArray[np.float64], members: NDArray[np.intp], groups: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Count how often positives of each group (row) score higher than negatives of each (column); a tie is a half.

    The area under the curve is the share of such wins, so that a resample of groups needs these counts only.
    """
    wins = np.zeros((groups, groups))
    for group in np.unique(members[~positive]):
        beaten = np.sort(score[~positive & (members == group)])
        ranks = np.searchsorted(beaten, score[positive], "left") + np.searchsorted(beaten, score[positive], "right")
        wins[:, group] = np.bincount(members[positive], ranks / 2, groups)
    of_each = [np.bincount(members[chosen], minlength=groups) for chosen in (positive, ~positive)]
    return wins, of_each[0], of_each[1]


def expected_calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = 10) -> float:
    """Mean gap between confidence and accuracy over bins of confidence (Guo et al. 2017).

    Parameters
    ----------
    probabilities : ndarray
        Shape (n, classes).
    labels : ndarray
        Shape (n,), true class.
    bins : int
        Number of bins of equal width.

    Returns
    -------
    float
        0 (perfect) to 1.
    """
    occupied = reliability(probabilities, labels, bins)
    return sum(row["share"] * abs(row["accuracy"] - row["confidence"]) for row in occupied)


def reliability(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], bins: int = 10
) -> list[dict[str, float]]:
    """Compare confidence with accuracy in bins of confidence: the reliability diagram.

    Parameters
    ----------
    probabilities : ndarray
        Shape (n, classes).
    labels : ndarray
        Shape (n,), true class.
    bins : int
        Number of bins of equal width.

    Returns
    -------
    list of dict
        Of each bin that is not empty, in order: mean ``confidence``, ``accuracy``, and ``share`` of all, 0 to 1.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "confidence": float(confidence[members].mean()),
            "accuracy": float(right[members].mean()),
            "share": float(members.mean()),
        }
        for members in (bin_of == occupied for occupied in np.unique(bin_of))
    ]


def risk_coverage(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], points: int = 50
) -> dict[str, list[float]]:
    """Measure how often the most certain are wrong (El-Yaniv and Wiener 2010, "Selective classification").

    Parameters
    ----------
    confidence : ndarray
        Shape (n,), n at least 1.
    right : ndarray
        Shape (n,), bool.
    points : int
        Points of the curve at most.

    Returns
    -------
    dict
        ``coverage``, rising shares of all, the most certain first, to 1; ``risk``, share of wrong ones among them.
    """
    # Of equally certain ones the wrong come first: a curve must not profit from the order of its input.
    wrong = ~right[np.lexsort((right, -confidence))]
    risk = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    chosen = np.unique(np.linspace(0, len(wrong) - 1, points).round().astype(int))
    return {"coverage": ((chosen + 1) / len(wrong)).tolist(), "risk": risk[chosen].tolist()}


def share_with_interval(
    chosen: NDArray[np.bool_],
    weights: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.str_],
    seed: int,
) -> dict[str, float]:
    """Weighted share with a 95% interval from resampling whole groups.

    Parameters
    ----------
    chosen : ndarray
        Shape (n,), bool, n at least 1.
    weights : ndarray
        Shape (n,), at least 0.
    labels : ndarray
        Shape (n,), int64, true class.
    groups : ndarray
        Shape (n,), the unit that is resampled.
    seed : int
        Seed of the resampling.

    Returns
    -------
    dict
        ``share``, ``low``, ``high``; the bounds are missing where a class has fewer than two groups.
    """
    names, members = np.unique(groups, return_inverse=True)
    whole = np.bincount(members, weights)
    part = np.bincount(members, weights * chosen)
    result = {"share": float(part.sum() / whole.sum())}
    if min(len(np.unique(members[labels == label])) for label in np.unique(labels)) < LEAST_GROUPS:
        return result
    drawn = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    found = part[drawn].sum(axis=1) / np.maximum(whole[drawn].sum(axis=1), 1e-12)
    low, high = np.quantile(found, (0.025, 0.975)).tolist()
    return result | {"low": low, "high": high}
