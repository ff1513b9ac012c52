"""Figures say of which class and laboratory fields are, weigh them alike, and know what a control explains."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.verdict import Decision, Evidence
from trainer import evaluate, figures
from trainer.evaluate import Judged
from trainer.manifest import LabelledField

DECISION = Decision(
    pseudo_counts=(0.1, 0.1), temperature=1.0, bias=(0.0, 0.0), least_probability=0.7, least_tiles=1, novelty_warns=0.5
)


def decided(part, novelty=None):
    return figures.decided(part, novelty, [DECISION] * len(part.labels))


def judged(cells, labels, labs=None, groups=None):
    labels = np.asarray(labels)
    return Judged(
        labels=labels,
        groups=np.array(groups or [f"g{number}" for number in range(len(labels))]),
        labs=np.array(labs or ["lab"] * len(labels)),
        classes=("ALL", "normal"),
        names=np.array([f"{number}.png" for number in range(len(labels))]),
        evidence=[Evidence(tuple(row), 10) for row in cells],
        embeddings=np.zeros((len(labels), 2), np.float32),
        owners=np.arange(len(labels)),
    )


def test_shares_of_verdicts_add_up_for_every_origin():
    origins = judged(np.ones((6, 2)), [0, 0, 0, 0, 1, 1], ["a", "a", "a", "b", "b", "b"])
    shares = figures.shares_by_origin(np.array(["ALL", "normal", "indeterminate", "ALL", "normal", "normal"]), origins)
    assert shares["ALL, a"] == pytest.approx({"fields": 3, "ALL": 1 / 3, "normal": 1 / 3, "indeterminate": 1 / 3})
    for found in shares.values():
        assert sum(value for name, value in found.items() if name != "fields") == pytest.approx(1)


def test_pairs_are_compared_within_a_laboratory():
    labels, labs = [0, 0, 1, 1, 0, 1], ["a", "a", "a", "a", "b", "c"]
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.2, 0.8], [0.1, 0.9], [0.9, 0.1]])
    pairs = figures.pairs(probabilities, judged(np.ones((6, 2)), labels, labs), seed=0)
    assert list(pairs) == ["ALL against normal, a"]
    assert pairs["ALL against normal, a"]["auroc"] == 1


def test_a_pair_that_no_laboratory_has_both_of_says_so():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.2, 0.8]])
    pairs = figures.pairs(probabilities, judged(np.ones((4, 2)), [0, 0, 1, 1], ["a", "a", "b", "b"]), seed=0)
    assert list(pairs) == ["ALL against normal, from different laboratories"]


def test_fields_without_a_nucleus_count_as_indeterminate():
    part = evaluate.with_empty(
        judged([(9, 1), (1, 9)], [0, 1]), [LabelledField(Path("3.png"), "ALL", "g9", "lab", 0.5)]
    )
    found = figures.figures(part, decided(part, np.zeros(3)), seed=0)
    assert (found["fields"], found["without_nucleus"]) == (3, 1)
    assert found["verdicts"]["ALL, lab"] == {"fields": 2, "ALL": 0.5, "normal": 0, "indeterminate": 0.5}
    assert found["decided"] == pytest.approx(2 / 3)
    assert part.distances(np.zeros(2, np.float32), np.eye(2, dtype=np.float32)).tolist() == [0, 0, 0]


def test_each_field_is_decided_on_by_its_own_decision():
    part = judged([(9, 1), (9, 1)], [0, 0])
    other = msgspec.structs.replace(DECISION, bias=(0.0, 9.0))
    assert figures.decided(part, None, [DECISION, other]).verdicts.tolist() == ["ALL", "normal"]


def test_figures_count_verdicts_of_the_decision_and_refuse_what_is_no_smear():
    part = judged([(9, 1), (8, 2), (1, 9), (5, 5)], [0, 0, 1, 1])
    found = figures.figures(part, decided(part, np.array([0.2, 1.3, 0.4, 0.1])), seed=0)
    assert found["fields"] == 4
    assert found["decided"] == 0.5
    assert found["accuracy_of_decided"] == 1
    assert found["verdicts"]["ALL, lab"] == {"fields": 2, "ALL": 0.5, "normal": 0, "indeterminate": 0.5}
    assert found["auroc"]["ALL"]["auroc"] == 1


def test_nothing_decided_has_no_accuracy():
    part = judged([(5, 5), (5, 5)], [0, 1])
    found = figures.figures(part, decided(part), seed=0)
    assert (found["decided"], found["accuracy_of_decided"]) == (0, None)
    assert found["novelty_quantiles"] is None


def test_the_headline_has_the_controls_beside_each_figure():
    part = judged([(9, 1), (2, 8)], [0, 1])
    of_network = figures.figures(part, decided(part), seed=0)
    controls = {name: {"cross-validated": of_network} for name in ("mean colour", "background only")}
    headline = figures.headline({"cross-validated": of_network, "controls": controls})
    assert headline["cross-validated AUROC, ALL against normal, lab"] == 1
    assert headline["cross-validated AUROC, ALL against normal, lab, mean colour"] == 1
    assert headline["cross-validated AUROC, ALL against normal, lab, background only"] == 1
    assert all(isinstance(value, float) for value in headline.values())


def marked(network, control):
    """Figures of twenty fields, each its own slide, of which network and control call so many rightly."""
    labels = np.arange(20) % 2
    parts = []
    for right in (network, control):
        sure = np.where((labels == 0) == (np.arange(20) < right), 0.9, 0.1)
        origins = judged(np.ones((20, 2)), labels)
        parts.append(figures.plain(np.stack([sure, 1 - sure], axis=1), origins, seed=0))
    report = {"cross-validated": parts[0], "controls": {"mean colour": {"cross-validated": parts[1]}}}
    figures.mark_explained(report)
    return report["cross-validated"]


def test_a_headline_that_a_control_reaches_is_marked_and_one_it_does_not_is_not():
    explained, own = marked(18, 18), marked(20, 10)
    assert explained["accuracy"]["controls"] == {"mean colour": pytest.approx(0.9)}
    assert own["pairs"]["ALL against normal, lab"]["controls"] == {"mean colour": pytest.approx(0.5)}
    assert explained["accuracy"]["explained_by"] == ["mean colour"]
    assert explained["pairs"]["ALL against normal, lab"]["explained_by"] == ["mean colour"]
    assert own["accuracy"]["explained_by"] == []
    assert own["pairs"]["ALL against normal, lab"]["explained_by"] == []


def test_where_no_control_was_measured_nothing_is_said_to_stand_by_itself():
    labels = np.arange(20) % 2
    report = {"laboratories left out": figures.plain(np.full((20, 2), 0.5), judged(np.ones((20, 2)), labels), seed=0)}
    figures.mark_explained(report | {"controls": {"mean colour": {}}})
    assert report["laboratories left out"]["accuracy"]["explained_by"] is None


def test_what_is_decided_and_how_sure_it_is_are_of_fields_as_they_come():
    # Three of ALL called so, one normal one called ALL and surely.
    part = judged([(9, 1), (9, 1), (9, 1), (9, 1)], [0, 0, 0, 1])
    found = figures.figures(part, decided(part), seed=0)
    assert found["accuracy"] == {"share": 0.5}
    assert (found["decided"], found["accuracy_of_decided"]) == (1, 0.75)
    confidence = decided(part).probabilities[0, 0]
    assert found["calibration_error"] == pytest.approx(confidence - 0.75)
    assert found["risk_coverage"]["risk"][-1] == 0.25


def test_accuracy_weighs_classes_alike():
    rows = np.array([[0.9, 0.1]] * 10)
    found = figures.plain(rows, judged(rows, [0] * 9 + [1]), seed=0)
    assert found["accuracy"]["share"] == pytest.approx(0.5)
    assert found["risk_at_80_percent_coverage"] == pytest.approx(0.125, abs=0.03)
