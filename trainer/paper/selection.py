"""The paper's feature selection: univariate, by the chi-square statistic, the K best (scikit-learn's)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler


def chi_square(features: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Score each feature by how far its sums over the classes are from what independence would give.

    Parameters
    ----------
    features : ndarray
        Shape (n, d), none negative.
    labels : ndarray
        Shape (n,), class of each row.

    Returns
    -------
    ndarray
        Shape (d,), float64, the statistic; 0 for a feature that is 0 everywhere.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic, _ = chi2(features, labels)
    return np.nan_to_num(np.asarray(statistic, np.float64))


def best(count: int, estimator: Any) -> Pipeline:
    """Put scaling and selection before an estimator, so that both learn from its training rows alone.

    Parameters
    ----------
    count : int
        Features kept; all, when there are fewer.
    estimator : scikit-learn estimator
        What reads them.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Features are brought to 0 to 1, as the statistic asks for; the best are kept; the estimator follows.
    """
    return make_pipeline(MinMaxScaler(clip=True), SelectKBest(chi_square, k=count), estimator)
