"""The model card says what must not be believed, and shows controls beside figures."""

from __future__ import annotations

import pytest

from edge import RESEARCH_USE_ONLY
from edge.model.description import Tiling, Training
from edge.model.run import Run
from edge.verdict import Decision
from trainer import card


@pytest.fixture
def run():
    decision = Decision(
        pseudo_counts=(0.1, 0.1),
        temperature=1.0,
        bias=(0.0, 0.0),
        least_probability=0.7,
        least_tiles=1,
        novelty_warns=1.0,
    )
    training = Training(
        data=("Fields of Slideville (CC BY 4.0)",),
        licence="research only",
        held_out_groups=("slide-19",),
        command="trainer fit fields.csv",
        software={"keras": "3.15"},
    )
    return Run(
        name="marrow",
        version="1",
        created="2026-11-01",
        classes=("ALL", "normal"),
        um_per_px=0.5,
        tiling=Tiling(strategy="nuclei", tile_px=64),
        decision=decision,
        training=training,
        metrics={},
    )


def figures(auroc, **others):
    shares = {"fields": 12.0, "ALL": 0.75, "normal": 0.0, "indeterminate": 0.25}
    return {
        "verdicts": {"ALL, a": shares},
        "accuracy": {"share": 0.9, "low": 0.8, "high": 0.95},
        "pairs": {"ALL against normal, a": {"auroc": auroc, **others}},
        "calibration_error": 0.214,
        "risk_at_80_percent_coverage": 0.117,
    }


def test_it_says_what_the_model_is_and_must_not_be_believed(run):
    cross_validated = figures(0.97, low=0.9, high=0.99) | {
        "fields": 12,
        "without_nucleus": 1,
        "decided": 0.75,
        "accuracy_of_decided": 1.0,
        "calibration_error": 0.031,
        "risk_at_80_percent_coverage": 0.024,
    }
    controls = {"mean colour": {"cross-validated": figures(0.61)}}
    told = card.write(run, {"cross-validated": cross_validated, "controls": controls})
    assert RESEARCH_USE_ONLY in told
    for said in (card.CONFOUNDING, card.WEIGHING, card.HOW_JUDGED):
        assert said in told
    assert "class and laboratory cannot be told apart" in card.CONFOUNDING
    for fact in (
        "# marrow 1",
        "Licence: research only",
        "Slideville (CC BY 4.0)",
        "Held out of training and calibration: slide-19.",
        "| ALL, a | 12 | 75.0% | 0.0% | 25.0% |",
        "AUROC ALL against normal, a: 0.970 (95% interval over groups 0.900 to 0.990)",
        "control: mean colour, cross-validated",
        "AUROC ALL against normal, a: 0.610",
        "expected calibration error 0.031",
        "risk at 80% coverage 2.4%",
        "Of fields as they come: expected calibration error 0.214; risk at 80% coverage 11.7%.",
        "Accuracy of the most probable class: 0.900",
        "Of fields as they come: decided 75.0% of 12 fields (no nucleus was found in 1: these are indeterminate)",
        "    trainer fit fields.csv",
        "keras 3.15",
    ):
        assert fact.casefold() in told.casefold(), fact


def test_a_part_of_which_nothing_was_decided_says_so(run):
    nothing = {"fields": 12, "without_nucleus": 0, "decided": 0.0, "accuracy_of_decided": None}
    told = card.write(run, {"test": figures(0.5) | nothing, "controls": {}})
    assert "decided 0.0% of 12 fields; expected calibration error 0.214" in told


def test_a_part_that_was_not_measured_is_not_shown(run):
    told = card.write(run, {"controls": {"mean colour": {"cross-validated": figures(0.61)}}})
    assert "### Test" not in told
    assert "### Cross-validated" not in told
    assert "### control: mean colour, test" not in told


def test_a_headline_that_a_control_explains_is_marked(run):
    beside = {"mean colour": 0.95, "background only": 0.7}
    explained = figures(0.97, low=0.9, high=0.99, controls=beside, explained_by=["mean colour"]) | {"fields": 12}
    told = card.write(run, {"test": explained, "controls": {"mean colour": {"test": figures(0.95)}}})
    assert (
        "(95% interval over groups 0.900 to 0.990); mean colour 0.950, background only 0.700; "
        "**explained by a control: mean colour**"
    ) in told
    assert "opened once" in told


def test_a_headline_beside_which_no_control_was_measured_says_so(run):
    alone = figures(0.97, low=0.9, high=0.99, controls={}, explained_by=None) | {"fields": 12}
    told = card.write(run, {"test": alone, "controls": {}})
    assert "(95% interval over groups 0.900 to 0.990); no control was measured beside it" in told


def test_it_says_what_chose_the_epoch_and_was_not_trained_on(run):
    told = card.write(run, {"controls": {}, "settings": {"stop_on": ["slide-07", "basle"]}})
    assert "Watched instead of trained on, and the epoch kept that did best there: slide-07, basle." in told
    assert "Watched" not in card.write(run, {"controls": {}, "settings": {"stop_on": []}})
