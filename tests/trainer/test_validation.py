"""What is measured of a fold is decided and refused by the other folds; in one laboratory nothing is restained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge.verdict import Evidence
from trainer.calibrate import REFUSAL_OVER_KNOWN
from trainer.evaluate import Judged
from trainer.learning import Surroundings
from trainer.validation import Validated, cross_validate, leave_out

FOLDS = (frozenset({"g0", "g1"}), frozenset({"g2", "g3"}))


@pytest.fixture
def validated():
    """Forty fields of two folds, the last of each without a cell, as far from the known as their number."""
    labels = np.arange(40) % 2
    evidence = [Evidence((9.0, 1.0) if label == 0 else (1.0, 9.0), 10) for label in labels.tolist()]
    for empty in (19, 39):
        evidence[empty] = Evidence((0.0, 0.0), 0)
    held_out = Judged(
        labels=labels,
        groups=np.array([f"g{number // 10}" for number in range(40)]),
        labs=np.array(["a"] * 40),
        classes=("ALL", "normal"),
        names=np.array([f"{number}.png" for number in range(40)]),
        evidence=evidence,
        embeddings=np.zeros((0, 2), np.float32),
        owners=np.zeros(0, np.int64),
    )
    distances = np.array([0.0 if found.tiles == 0 else 1.0 + number for number, found in enumerate(evidence)])
    return Validated(
        held_out=held_out,
        restained=held_out,
        distances=distances,
        restained_distances=2 * distances,
        is_known=np.ones(40, bool),
        networks=(None, None),
        folds=np.repeat([0, 1], 20),
        least_probability=0.7,
    )


def test_a_field_is_refused_by_what_the_other_folds_are_like(validated):
    of_others = [
        REFUSAL_OVER_KNOWN * np.quantile(validated.distances[part][:-1], 0.99) for part in (slice(20, 40), slice(0, 20))
    ]
    expected = validated.distances / np.repeat(of_others, 20)
    assert validated.novelty == pytest.approx(expected)
    assert validated.restained_novelty == pytest.approx(2 * expected)
    farther = replace(validated, distances=np.where(validated.folds == 0, 9, 1) * validated.distances)
    assert farther.novelty[:20] == pytest.approx(9 * validated.novelty[:20])
    # What is deployed knows all of them; fields without a cell are no measure.
    warns, refuses = validated.thresholds()
    assert refuses == pytest.approx(REFUSAL_OVER_KNOWN * warns)
    assert warns == pytest.approx(np.quantile(validated.distances[validated.distances > 0], 0.99))


def two_laboratories(make_cells):
    origins = [(label, "ab"[number % 2], f"g{number}") for number in range(4) for label in ("ALL", "normal")]
    return make_cells(origins, per_field=3)


def test_fields_of_several_laboratories_are_judged_restained_too(make_cells, quick_training):
    cells = two_laboratories(make_cells)
    drawn = np.zeros(len(cells.labels), bool)
    found = cross_validate(cells, drawn, FOLDS, (), quick_training, Surroundings())
    assert found.restained is not None
    assert len(found.looks) == 2
    assert found.restained_novelty.shape == found.novelty.shape == (8,)
    assert not np.allclose(found.restained_novelty, found.novelty)


def test_fields_of_one_laboratory_count_once(make_cells, quick_training):
    cells = make_cells([(label, "a", f"g{number}") for number in range(4) for label in ("ALL", "normal")], per_field=3)
    found = cross_validate(cells, np.zeros(len(cells.labels), bool), FOLDS, (), quick_training, Surroundings())
    assert (found.restained, found.restained_novelty) == (None, None)
    assert found.looks == (found.held_out,)
    assert found.decision().temperature > 0


def test_the_novelty_of_what_is_left_out_is_measured(make_cells, quick_training):
    cells = two_laboratories(make_cells)
    drawn = np.zeros(len(cells.labels), bool)
    ((judged, distances),) = leave_out(
        cells, drawn, [("a", frozenset({"g0", "g2"}))], (), quick_training, Surroundings()
    )
    assert set(judged.labs) == {"a"}
    assert distances.shape == (4,)
    assert (distances > 0).all()
