"""Parity counts verdicts of fields and decisions of tiles, not logits, of all and by class and laboratory."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from convert import parity, verify
from convert.fields import Fields
from convert.parity import Budget
from edge.verdict import Decision

CLASSES = ("ALL", "MM", "normal")
DECISION = Decision(
    pseudo_counts=(0.1,) * 3,
    temperature=1.0,
    bias=(0.0,) * 3,
    least_probability=0.5,
    least_tiles=1,
    novelty_warns=0.7,
)


@pytest.fixture
def fields():
    """Ten fields of four tiles: six ALL, four MM, of two laboratories."""
    owners = np.repeat(np.arange(10), 4)
    of_fields = np.array([0] * 6 + [1] * 4)
    labs = np.array(["north", "south"] * 5)
    return Fields(np.zeros((40, 8, 8, 3), np.uint8), of_fields[owners], owners, of_fields, labs, labs)


def logits_for(labels, by=4.0):
    return (np.eye(3)[labels] * by).astype(np.float32)


def compared(fields, exact, found, novelty=(0.0,) * 10):
    return parity.compare("here", exact, found, np.array(novelty), fields, DECISION, CLASSES)


def test_fields_that_the_device_refuses_as_novel_are_counted_though_all_verdicts_agree(fields):
    exact = logits_for(fields.labels)
    found = compared(fields, exact, exact, [1.01, 0.99, 1.2, 1.0] + [0.5] * 6)
    assert (found.whole.agreement, found.whole.novel) == (1, 0.2)
    assert (found.by_lab["north"].novel, found.by_lab["south"].novel) == (0.4, 0)
    assert (found.by_class["ALL"].novel, found.by_class["MM"].novel) == (pytest.approx(2 / 6), 0)


def test_a_shift_of_all_logits_decides_the_same(fields):
    exact = logits_for(fields.labels)
    whole = compared(fields, exact, exact + 2).whole
    assert (whole.fields, whole.tiles) == (10, 40)
    assert (whole.agreement, whole.tile_agreement, whole.accuracy, whole.tile_accuracy) == (1, 1, 1, 1)
    assert whole.largest_difference == pytest.approx(2)
    assert whole.auroc == 1


def test_tiles_that_turn_are_counted_as_tiles_and_where_they_turn_a_field_as_a_field(fields):
    exact = logits_for(fields.labels)
    turned = fields.labels.copy()
    turned[:4] = 1  # all of the first field, of ALL and north
    turned[4] = 1  # a quarter of the second, of ALL and south
    found = compared(fields, exact, logits_for(turned))
    assert found.whole.tile_agreement == found.whole.tile_accuracy == 35 / 40
    assert found.whole.agreement == found.whole.accuracy == 0.9
    assert found.by_class["ALL"].accuracy == pytest.approx(5 / 6)
    assert found.by_class["MM"].accuracy == 1
    assert "normal" not in found.by_class
    assert (found.by_lab["north"].accuracy, found.by_lab["south"].accuracy) == (0.8, 1)
    assert found.by_class["ALL"].auroc is None


def test_a_verdict_that_becomes_indeterminate_is_another_verdict_though_the_class_is_the_same(fields):
    exact = logits_for(fields.labels)
    unsure = exact.copy()
    unsure[:4] *= 0.1
    whole = compared(fields, exact, unsure).whole
    assert (whole.agreement, whole.accuracy, whole.tile_agreement) == (0.9, 1, 1)


def test_calibration_error_and_area_are_those_of_sure_and_wrong(fields):
    sure = logits_for(1 - fields.labels, by=50.0)
    whole = compared(fields, sure, sure).whole
    assert whole.accuracy == whole.auroc == 0
    assert whole.calibration_error == pytest.approx(4.1 / 4.3, abs=1e-3)


@pytest.mark.parametrize(
    ("budget", "turned", "told"),
    [
        ({"min_agreement": 0.95}, range(4), "decides only 90.0% of 10 fields"),
        ({"min_agreement": 0.95}, [0, 4, 8, 12], "decides only 90.0% of 40 tiles"),
        ({"min_agreement": 0, "max_accuracy_drop": 0.05}, range(4), "lost 10.0 points of accuracy on 10 fields"),
        ({"min_agreement": 0, "max_accuracy_drop": 0.09}, [0, 4, 8, 12], "lost 10.0 points of accuracy on 40 tiles"),
        ({"min_agreement": 0, "max_accuracy_drop": 1}, range(4), "of the area under the ROC curve"),
        (
            {"min_agreement": 0, "max_accuracy_drop": 1, "max_auroc_drop": 1, "max_calibration_drop": 0.001},
            range(4),
            "is worse calibrated",
        ),
    ],
)
def test_what_is_lost_beyond_the_budget_is_said(fields, budget, turned, told):
    exact, labels = logits_for(fields.labels, by=50.0), fields.labels.copy()
    labels[list(turned)] = 1
    whole = compared(fields, exact, exact).whole
    found = compared(fields, exact, logits_for(labels, by=50.0)).whole
    refused = parity.refusal("int8", found, whole, Budget(**budget))
    assert told in str(refused)
    assert refused.exit_code == 72
    assert parity.refusal("int8", whole, whole, Budget(**budget)) is None


def test_what_is_refused_is_not_said_to_be_what_is_allowed(fields):
    exact = logits_for(fields.labels)
    whole = compared(fields, exact, exact).whole
    few = msgspec.structs.replace(whole, agreement=288 / 294)
    assert "decides only 97.9% of 10 fields" in str(parity.refusal("int8", few, whole, Budget()))
    worse = msgspec.structs.replace(whole, accuracy=1 - 3 / 294)
    assert "lost 1.1 points" in str(parity.refusal("int8", worse, whole, Budget()))


def test_what_is_lost_to_the_last_field_that_is_allowed_is_not_refused_for_a_rounding(fields):
    exact = logits_for(fields.labels)
    whole = compared(fields, exact, exact).whole
    of = [msgspec.structs.replace(whole, accuracy=right / 100) for right in range(101)]
    for before, last_allowed, too_few in zip(of[2:], of[1:], of, strict=False):
        assert parity.refusal("int8", last_allowed, before, Budget()) is None
        assert "lost 2.0 points" in str(parity.refusal("int8", too_few, before, Budget()))
        assert verify.broken_promise("int8", last_allowed, before, 0.01) is None
        assert verify.broken_promise("int8", too_few, before, 0.01) is not None
