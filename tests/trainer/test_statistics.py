"""Areas under curves lie in their intervals; calibration errors are what they are by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import roc_auc_score

from trainer.statistics import (
    auroc_with_interval,
    expected_calibration_error,
    reliability,
    risk_coverage,
    share_with_interval,
)


@given(st.integers(4, 40).flatmap(lambda n: st.tuples(*(arrays.arrays(int, n, elements=st.integers(0, 5)),) * 3)))
def test_the_area_is_scikit_learns_and_lies_in_its_interval(drawn):
    positive, score, groups = drawn[0] > 2, drawn[1].astype(float), drawn[2].astype(str)
    if not 0 < positive.sum() < len(positive):
        return
    found = auroc_with_interval(positive, score, groups, seed=0)
    assert found["auroc"] == pytest.approx(roc_auc_score(positive, score))
    assert found.get("low", 0) <= found.get("high", 1)
    if len(set(groups[positive])) > 2 and len(set(groups[~positive])) > 2:
        assert found["low"] - 0.02 <= found["auroc"] <= found["high"] + 0.02


def test_the_interval_is_that_of_resampled_groups():
    rng = np.random.default_rng(1)
    positive = rng.random(120) < 0.4
    score = rng.normal(size=120) + positive
    groups = np.array([f"g{number}" for number in rng.integers(0, 12, 120)])
    names = np.unique(groups)
    resampling = np.random.default_rng(3)
    areas = []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(groups == names[g]) for g in resampling.integers(0, 12, 12)])
        areas.append(roc_auc_score(positive[rows], score[rows]))
    found = auroc_with_interval(positive, score, groups, seed=3)
    assert (found["low"], found["high"]) == pytest.approx(np.quantile(areas, (0.025, 0.975)))


def test_few_groups_make_a_wide_interval():
    rng = np.random.default_rng(2)
    positive = np.arange(200) % 2 == 0
    # Each of twenty slides is a little more or less positive as a whole.
    slides = np.arange(200) // 10
    score = rng.normal(size=200) + positive + rng.normal(0, 2, 20)[slides]
    of_slides, of_fields = (auroc_with_interval(positive, score, groups, 0) for groups in (slides, np.arange(200)))
    assert of_slides["auroc"] == of_fields["auroc"]
    assert of_slides["high"] - of_slides["low"] != pytest.approx(of_fields["high"] - of_fields["low"], abs=0.001)


def test_a_class_of_a_single_group_has_no_interval_to_show():
    positive, score = np.array([True, False, True]), np.array([1.0, 0.5, 0.0])
    for groups in (["a", "a", "a"], ["a", "b", "c"]):
        assert auroc_with_interval(positive, score, np.array(groups), 0) == {"auroc": 0.5}
        found = share_with_interval(positive, np.ones(3), positive.astype(int), np.array(groups), 0)
        assert found == {"share": pytest.approx(2 / 3)}


def test_perfect_confidence_has_no_error_and_overconfidence_its_gap():
    labels = np.arange(100) % 2
    certain = np.eye(2)[labels]
    assert expected_calibration_error(certain, labels) == 0
    # Ninety percent sure, and right in sixty of a hundred.
    right = np.arange(100) < 60
    sure = np.where((labels == 0) == right, 0.9, 0.1)
    overconfident = np.stack([sure, 1 - sure], axis=1)
    assert expected_calibration_error(overconfident, labels) == pytest.approx(0.3)


def test_errors_of_bins_do_not_cancel():
    probabilities = np.array([[0.95, 0.05]] * 10 + [[0.65, 0.35]] * 10)
    labels = np.array([0] * 5 + [1] * 5 + [0] * 10)
    assert expected_calibration_error(probabilities, labels) == pytest.approx((0.45 + 0.35) / 2)


def test_a_reliability_diagram_has_a_bin_for_each_confidence_there_is():
    probabilities = np.array([[0.95, 0.05]] * 10 + [[0.65, 0.35]] * 30)
    bins = reliability(probabilities, np.array([0] * 5 + [1] * 5 + [0] * 30))
    assert [row["confidence"] for row in bins] == pytest.approx([0.65, 0.95])
    assert [row["accuracy"] for row in bins] == [1, 0.5]
    assert [row["share"] for row in bins] == [0.75, 0.25]


def test_risk_falls_with_coverage_when_certainty_means_something():
    confidence = np.linspace(1, 0, 100)
    curve = risk_coverage(confidence, np.arange(100) < 80)
    assert curve["coverage"][-1] == 1
    assert curve["risk"][-1] == pytest.approx(0.2)
    assert np.interp(0.8, curve["coverage"], curve["risk"]) < 0.01
    assert curve["risk"] == sorted(curve["risk"])


def test_equal_certainty_profits_from_no_order():
    right = np.array([True] * 9 + [False])
    assert risk_coverage(np.ones(10), right) == risk_coverage(np.ones(10), right[::-1])
    assert risk_coverage(np.ones(10), right)["risk"][0] == 1


def test_a_share_has_an_interval_over_groups():
    chosen, groups = np.arange(40) < 30, np.arange(40) // 10
    labels = np.zeros(40, int)
    found = share_with_interval(chosen, np.ones(40), labels, groups, seed=0)
    assert found["share"] == 0.75
    assert (found["low"], found["high"]) == (0.25, 1)
    weighted = share_with_interval(chosen, np.where(chosen, 1.0, 3.0), labels, groups, seed=0)
    assert weighted["share"] == pytest.approx(0.5)
