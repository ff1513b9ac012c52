"""A decision fitted on held-out fields is one that they bear out; novelty knows near from far."""

from __future__ import annotations

import numpy as np
import pytest

from edge import verdict
from edge.verdict import Decision, Evidence
from trainer import calibrate
from trainer.evaluate import Judged

CLASSES = ("ALL", "MM", "normal")


@pytest.fixture
def held_out():
    """Fields of which the sick have few sick cells: myeloma at a third of the cells, say, and a noisy reader."""
    rng = np.random.default_rng(0)
    shares = np.array([[0.7, 0.05, 0.25], [0.05, 0.35, 0.6], [0.03, 0.05, 0.92]])
    labels = np.repeat(np.arange(3), 60)
    evidence = []
    for label in labels:
        tiles = int(rng.integers(5, 40))
        evidence.append(Evidence(tuple((tiles * rng.dirichlet(8 * shares[label])).tolist()), tiles))
    return Judged(
        labels=labels,
        groups=np.array([f"g{number}" for number in range(180)]),
        labs=np.array(["a", "b"] * 90),
        classes=CLASSES,
        names=np.array([f"{number}.png" for number in range(180)]),
        evidence=evidence,
        embeddings=np.zeros((180, 2), np.float32),
        owners=np.arange(180),
    )


def likelihood(part, decision):
    rows = np.array([verdict.probabilities(evidence, decision) for evidence in part.evidence])
    return float(np.log(rows[np.arange(len(rows)), part.labels]).mean()), rows


def test_a_fitted_decision_is_better_than_a_neutral_one(held_out):
    fitted = calibrate.fit_decision([held_out, held_out], 0.7, 0.4)
    neutral = Decision(
        pseudo_counts=(0.1,) * 3,
        temperature=1.0,
        bias=(0.0,) * 3,
        least_probability=0.7,
        least_tiles=1,
        novelty_warns=0.4,
    )
    (found, rows), (before, _) = likelihood(held_out, fitted), likelihood(held_out, neutral)
    assert found > before + 0.05
    assert (rows.argmax(axis=1) == held_out.labels).mean() > 0.85
    assert (fitted.least_probability, fitted.novelty_warns, fitted.least_tiles) == (0.7, 0.4, 1)
    assert fitted.temperature > 0
    assert min(fitted.pseudo_counts) > 0


def test_a_marrow_is_myeloma_before_most_of_its_cells_are(held_out):
    fitted = calibrate.fit_decision([held_out, held_out], 0.7, 0.4)
    decided = verdict.decide(Evidence((1.0, 11.0, 18.0), 30), fitted, CLASSES)
    assert decided.label == "MM"


def test_more_cells_decide_more(held_out):
    fitted = calibrate.fit_decision([held_out, held_out], 0.7, 0.4)
    few, many = (verdict.probabilities(Evidence((0.9 * n, 0.0, 0.1 * n), n), fitted)[0] for n in (1, 30))
    assert few < many


def test_novelty_is_one_typical_step_for_typical_fields_and_far_for_strange_ones():
    rng = np.random.default_rng(1)
    embeddings = (rng.normal(size=(400, 4)) * [1, 5, 0.2, 2] + [3, 0, 0, 9]).astype(np.float32)
    mean, whitening = calibrate.fit_novelty(embeddings, np.ones(400))
    assert mean == pytest.approx(embeddings.mean(axis=0), abs=1e-4)
    near = np.linalg.norm((embeddings - mean) @ whitening, axis=1)
    far = np.linalg.norm((embeddings + np.array([0, 40, 0, 0]) - mean) @ whitening, axis=1)
    assert 1 < np.median(near) < 2.5
    assert far.min() > near.max()


def test_a_laboratory_with_more_weight_is_nearer_to_the_norm():
    embeddings = np.repeat([[0.0, 0.0], [1.0, 1.0]], 10, axis=0).astype(np.float32)
    mean, _ = calibrate.fit_novelty(embeddings, np.repeat([3.0, 1.0], 10))
    assert mean == pytest.approx([0.25, 0.25])


def test_warning_is_where_known_laboratories_end_and_refusal_a_fifth_further():
    known = np.linspace(0, 2, 201)
    assert calibrate.novelty_thresholds(known, np.array([])) == pytest.approx((1.98, 1.2 * 1.98))
    assert calibrate.novelty_thresholds(known, np.full(10, 7.0)) == pytest.approx((1.98, 1.2 * 1.98))


def test_where_every_field_is_of_a_new_laboratory_these_are_the_known():
    warns, refuses = calibrate.novelty_thresholds(np.array([]), np.linspace(0, 2, 201))
    assert (warns, refuses) == pytest.approx((1.98, 1.2 * 1.98))


def test_each_look_weighs_alike(held_out):
    once, twice = (calibrate.fit_decision([held_out] * looks, 0.7, 0.4) for looks in (1, 2))
    assert twice.temperature == pytest.approx(once.temperature, rel=0.01)
    assert twice.bias == pytest.approx(once.bias, abs=0.01)
