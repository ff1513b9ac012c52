"""Drawn fields are one more laboratory whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from trainer import simulated
from trainer.cells import together
from trainer.errors import DataError
from trainer.sampling import SIMULATED_SHARE, weights

CLASSES = ("ALL", "MM", "normal")


@pytest.fixture(scope="module")
def drawn():
    return simulated.cells(CLASSES, "normal", 1, 0.5, 48, seed=3)


def test_every_class_is_drawn(drawn):
    assert set(np.unique(drawn.labels)) == {0, 1, 2}
    assert drawn.tiles.shape == (len(drawn.labels), 48, 48, 3)
    assert {source.lab for source in drawn.sources} == {simulated.LAB}


def test_malignant_cells_lie_only_in_fields_of_their_kind(drawn):
    kinds = drawn.of("label")
    assert set(kinds[drawn.labels == 0]) == {"ALL"}
    assert set(kinds[drawn.labels == 1]) == {"MM"}
    assert "normal" in set(kinds[drawn.labels == 2])


def test_the_same_seed_draws_the_same_cells(drawn):
    again = simulated.cells(CLASSES, "normal", 1, 0.5, 48, seed=3)
    assert np.array_equal(again.tiles, drawn.tiles)
    assert np.array_equal(again.labels, drawn.labels)


def test_classes_that_cannot_be_drawn_are_refused():
    with pytest.raises(DataError, match="draws cells of MM"):
        simulated.cells(("ALL", "normal"), "normal", 1, 0.5, 48, seed=0)


def test_drawn_cells_are_a_fixed_share_of_each_class(drawn, make_cells):
    real = make_cells([(label, "lab", f"{label}-{number % 2}") for number in range(8) for label in CLASSES])
    margin = (drawn.tiles.shape[1] - real.tiles.shape[1]) // 2
    middle = slice(margin, margin + real.tiles.shape[1])
    fitting = type(drawn)(drawn.tiles[:, middle, middle], drawn.labels, drawn.fields, CLASSES, drawn.sources)
    joined = together(real, fitting)
    chance = weights(joined)
    is_drawn = joined.of("lab") == simulated.LAB
    for label in range(len(CLASSES)):
        of_class = joined.labels == label
        assert chance[of_class].sum() == pytest.approx(1 / len(CLASSES))
        assert chance[of_class & is_drawn].sum() == pytest.approx(SIMULATED_SHARE / len(CLASSES))


def test_joined_cells_keep_their_sources(drawn):
    joined = together(drawn, drawn)
    assert np.array_equal(joined.of("group")[: len(drawn.labels)], joined.of("group")[len(drawn.labels) :])
