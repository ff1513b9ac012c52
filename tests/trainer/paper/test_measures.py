"""Table 2's figures: as scikit-learn computes them, with intervals over groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_recall_fscore_support

from trainer.paper import measures


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40), st.integers(2, 3))
def test_measures_are_those_of_scikit_learn(pairs, classes):
    # One of each class, so that every measure exists.
    truth, called = np.array(
        [(label, label) for label in range(classes)] + [(a % classes, b % classes) for a, b in pairs]
    ).T
    counts = measures.confusions(truth, called, np.full(len(truth), "one"), classes).sum(axis=0)
    found = measures.measured(counts)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, called))
    assert found["balanced accuracy"] == pytest.approx(balanced_accuracy_score(truth, called))
    how = {"average": "binary", "pos_label": 0} if classes == 2 else {"average": "macro"}
    precision, recall, f1, _ = precision_recall_fscore_support(truth, called, zero_division=0, **how)
    assert found["precision"] == pytest.approx(precision)
    assert found["recall"] == pytest.approx(recall)
    assert found["F1"] == pytest.approx(f1)


def test_specificity_is_the_recall_of_the_rest():
    counts = np.array([[[8, 2], [3, 7]]])
    assert measures.measured(counts[0])["specificity"] == pytest.approx(0.7)


def test_an_interval_is_wider_where_the_fields_of_a_group_are_alike():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    groups = np.repeat(np.arange(10), 40).astype(str)
    of_fields, of_groups = rng.random(400) < 0.8, np.repeat(np.arange(10) < 8, 40)
    widths = []
    for right in (of_fields, of_groups):
        counts = measures.confusions(truth, np.where(right, truth, 1 - truth), groups, 2)
        figure = measures.with_intervals(counts, 0)["accuracy"]
        assert figure.low < figure.value < figure.high
        widths.append(figure.high - figure.low)
    assert widths[1] > 3 * widths[0]


def test_the_difference_of_a_protocol_to_itself_is_nothing():
    counts = np.array([[[5, 1], [0, 4]], [[3, 3], [2, 2]]])
    assert measures.difference(counts, counts, 0) == (0, 0, 0)
    assert measures.difference(counts, counts[:, :, ::-1], 0).value == pytest.approx(8 / 20)


def test_auroc_is_of_the_first_of_two_classes_and_a_mean_of_more():
    labels, groups = np.array([0, 0, 1, 1]), np.array(["a", "b", "c", "d"])
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    assert measures.auroc(labels, scores, groups, 0).value == pytest.approx(0.75)
    assert measures.auroc(np.array([0, 1, 2, 2]), np.eye(3)[[0, 1, 2, 2]], groups, 0) == (1.0, None, None)


def test_a_class_of_a_single_group_has_no_interval_to_show():
    # One slide of the first class, three of the second.
    counts = np.array([[[5, 1], [0, 0]], [[0, 0], [0, 4]], [[0, 0], [2, 2]], [[0, 0], [1, 3]]])
    found = measures.with_intervals(counts, 0)
    assert found["accuracy"] == (14 / 18, None, None)
    assert {(figure.low, figure.high) for figure in found.values()} == {(None, None)}
    assert measures.difference(counts, counts[:, :, ::-1], 0)[1:] == (None, None)
    assert measures.with_intervals(np.concatenate([counts, counts]), 0)["accuracy"].low is not None
