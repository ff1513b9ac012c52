"""Figures of the comparison show the readers of shortcuts beside the systems, and tell the two apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.container import BarContainer

from trainer.paper import figures, lines
from trainer.paper.results import Outcome, Part, Task

TASK = Task("fields", ("ALL", "MM"))


@pytest.fixture
def outcomes():
    """Twenty pictures as two systems and two controls score them, each a little better than the one before."""
    labels = np.arange(20) % 2
    part = Part("", list(range(20)), [], [[]], [0], 1, 1, 1.0, 1.0)
    made = []
    for number, (system, is_control) in enumerate(
        {"svm": False, "tree": False, "colour": True, "shuffled": True}.items()
    ):
        right = np.where(np.arange(20) < 12 + 2 * number, labels, 1 - labels)
        made.append(
            Outcome(
                task=TASK,
                protocol="group",
                system=system,
                title=f"the {system}",
                is_control=is_control,
                labels=labels,
                scores=np.eye(2)[right],
                groups=np.array([f"g{row // 4}" for row in range(20)]),
                taken=np.ones(20, bool),
                folds=np.arange(20) // 10,
                part=part,
            )
        )
    return made


@pytest.mark.parametrize("kind", ["ROC", "precision-recall"])
def test_curves_of_controls_are_grey_and_named_as_such(outcomes, kind):
    figure, _ = figures.curves(TASK, outcomes, kind)
    colours = {line.get_label(): line.get_color() for line in figure.axes[0].lines}
    assert list(colours) == ["the svm", "the tree", "control: the colour", "control: the shuffled", "chance"]
    greys = {label for label, colour in colours.items() if not colour.startswith("#")}
    assert greys == {"control: the colour", "control: the shuffled", "chance"}
    assert [text.get_text() for text in figure.legends[0].texts] == list(colours)


def test_bars_of_controls_stand_on_grey_ground(outcomes):
    figure, _ = figures.bars(TASK, outcomes, 0)
    (axes,) = figure.axes
    ground, *bars = axes.patches
    under = [ground.get_x() < bar.get_x() + bar.get_width() / 2 < ground.get_x() + ground.get_width() for bar in bars]
    assert under == [False, False, True, True]


def test_intervals_of_bars_are_those_of_the_tables(outcomes):
    rng = np.random.default_rng(0)
    # Groups of many sizes, so that another seed draws another interval.
    outcomes = [replace(one, groups=np.sort(rng.choice(list("abcdefgh"), 20))) for one in outcomes]
    found = []
    for seed in (0, 1):
        (axes,) = figures.bars(TASK, outcomes, seed)[0].axes
        (bars,) = (each for each in axes.containers if isinstance(each, BarContainer))
        shown = [bound for (_, low), (_, high) in bars.errorbar[2][0].get_segments() for bound in (low, high)]
        told = [lines.row(one, seed).figures["accuracy"] for one in outcomes]
        assert shown == pytest.approx([100 * bound for one in told for bound in one[1:]])
        found.append(shown)
    assert found[0] != pytest.approx(found[1])


def test_a_curve_is_drawn_of_every_shortcut_and_of_no_other_control(outcomes, tmp_path, monkeypatch):
    drawn = {}
    curves = figures.curves

    def seen(task, shown, kind):
        drawn[kind] = [one.system for one in shown]
        return curves(task, shown, kind)

    monkeypatch.setattr(figures, "curves", seen)
    told = figures.draw(outcomes, tmp_path / "figures", 0)
    assert drawn == {"ROC": ["svm", "tree", "colour"], "precision-recall": ["svm", "tree", "colour"]}
    assert all((tmp_path / path).is_file() for path in told)
