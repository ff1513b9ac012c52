"""Table 2's figures and balanced accuracy, with intervals from resampling whole groups.

For two classes the first is the positive one, as in precision of ALL against MM. For more, precision, recall,
specificity and F1 are means over the classes, each against the rest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.statistics import LEAST_GROUPS, RESAMPLES, auroc_with_interval

MEASURES = ("accuracy", "balanced accuracy", "precision", "recall", "specificity", "F1")


class Figure(NamedTuple):
    """A figure with its 95% interval.

    Attributes
    ----------
    value : float
        0 to 1, or -1 to 1 for a difference.
    low, high : float or None
        Bounds; None where groups cannot be resampled, since a class has a single one.
    """

    value: float
    low: float | None = None
    high: float | None = None


def confusions(
    labels: NDArray[np.int64], called: NDArray[np.int64], groups: NDArray[np.str_], classes: int
) -> NDArray[np.int64]:
    """Count what was called what, for each group.

    Parameters
    ----------
    labels, called : ndarray
        Shape (n,), true class and the one called.
    groups : ndarray
        Shape (n,), str.
    classes : int
        Number of classes.

    Returns
    -------
    ndarray
        Shape (groups, classes, classes), int64: groups sorted by name, true class, class called.
    """
    names, members = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), classes, classes), np.int64)
    np.add.at(counts, (members, labels, called), 1)
    return counts


def measured(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Compute the measures of confusion matrices.

    Parameters
    ----------
    counts : ndarray
        Shape (..., classes, classes): true class, class called.

    Returns
    -------
    dict of str to ndarray
        Of :data:`MEASURES`, shape (...,). Where nothing is called positive precision and F1 are 0, as is usual; a
        class of which nothing is there gives not a number.
    """
    classes = counts.shape[-1]
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(float)
    of_class, called = counts.sum(axis=-1), counts.sum(axis=-2)
    total = counts.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / of_class
        precision = np.where(called > 0, hits / called, 0.0)
        rest = total[..., None] - of_class
        specificity = (rest - (called - hits)) / rest
        f1 = 2 * hits / (of_class + called)
        accuracy = hits.sum(axis=-1) / total
    each = {"precision": precision, "recall": recall, "specificity": specificity, "F1": f1}
    # Of two classes the first is the positive one.
    return {"accuracy": accuracy, "balanced accuracy": recall.mean(axis=-1)} | {
        name: values[..., 0] if classes == 2 else values.mean(axis=-1) for name, values in each.items()
    }


def with_intervals(counts: NDArray[np.int64], seed: int) -> dict[str, Figure]:
    """Compute the measures with 95% intervals.

    Parameters
    ----------
    counts : ndarray
        Shape (groups, classes, classes), from :func:`confusions`.
    seed : int
        Seed of the resampling.

    Returns
    -------
    dict of str to Figure
        Of :data:`MEASURES`.
    """
    values = measured(counts.sum(axis=0))
    if not _can_be_resampled(counts):
        return {name: Figure(float(values[name])) for name in MEASURES}
    drawn = measured(_resampled(counts, seed))
    return {name: _figure(float(values[name]), drawn[name]) for name in MEASURES}


def difference(first: NDArray[np.int64], second: NDArray[np.int64], seed: int) -> Figure:
    """Subtract the accuracy of one protocol from another's, with an interval over the groups that both tested.

    Parameters
    ----------
    first, second : ndarray
        Shape (groups, classes, classes), of the same groups.
    seed : int
        Seed of the resampling; both are drawn alike.

    Returns
    -------
    Figure
        First minus second, -1 to 1.
    """
    value = measured(first.sum(axis=0))["accuracy"] - measured(second.sum(axis=0))["accuracy"]
    if not _can_be_resampled(first):
        return Figure(float(value))
    drawn = measured(_resampled(first, seed))["accuracy"] - measured(_resampled(second, seed))["accuracy"]
    return _figure(float(value), drawn)


def auroc(labels: NDArray[np.int64], scores: NDArray[np.float64], groups: NDArray[np.str_], seed: int) -> Figure:
    """Measure the area under the ROC curve.

    Parameters
    ----------
    labels : ndarray
        Shape (n,), true class.
    scores : ndarray
        Shape (n, classes), higher is more of that class.
    groups : ndarray
        Shape (n,), str.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Figure
        For two classes of the first against the second, with an interval; for more the mean of each against the rest,
        without one.
    """
    if scores.shape[1] == 2:
        found = auroc_with_interval(labels == 0, scores[:, 0] - scores[:, 1], groups, seed)
        return Figure(found["auroc"], found.get("low"), found.get("high"))
    present = np.unique(labels).tolist()
    each = [auroc_with_interval(labels == label, scores[:, label], groups, seed)["auroc"] for label in present]
    return Figure(float(np.mean(each)))


def _can_be_resampled(counts: NDArray[np.int64]) -> bool:
    return bool((np.count_nonzero(counts.sum(axis=2), axis=0) >= LEAST_GROUPS).all())


def _resampled(counts: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    groups = len(counts)
    drawn = np.random.default_rng(seed).integers(0, groups, (RESAMPLES, groups))
    times = np.array([np.bincount(sample, minlength=groups) for sample in drawn])
    return np.asarray(np.tensordot(times, counts, axes=1))


def _figure(value: float, drawn: NDArray[np.float64]) -> Figure:
    # A resample without one of the classes tells nothing of it.
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    return Figure(value, low, high)
