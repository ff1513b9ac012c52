"""Fields are judged by their cells, and figures say of which class and laboratory they are."""

from __future__ import annotations

import numpy as np
import pytest

from edge.verdict import Decision, Evidence
from trainer import evaluate
from trainer.evaluate import Judged, Origins

DECISION = Decision(
    pseudo_counts=(0.1, 0.1), temperature=1.0, bias=(0.0, 0.0), least_probability=0.7, least_tiles=1, novelty_warns=0.5
)


def judged(cells, labels, labs=None, groups=None):
    labels = np.asarray(labels)
    return Judged(
        labels=labels,
        groups=np.array(groups or [f"g{number}" for number in range(len(labels))]),
        labs=np.array(labs or ["lab"] * len(labels)),
        classes=("ALL", "normal"),
        paths=np.array([f"{number}.png" for number in range(len(labels))]),
        evidence=[Evidence(tuple(row), 10) for row in cells],
        embeddings=np.zeros((len(labels), 2), np.float32),
        owners=np.arange(len(labels)),
    )


def test_weights_are_even_over_classes_and_their_laboratories():
    origins = Origins(np.array([0, 0, 0, 1]), np.array(list("wxyz")), np.array(["a", "a", "b", "a"]), ("ALL", "normal"))
    assert origins.weights == pytest.approx([1 / 8, 1 / 8, 1 / 4, 1 / 2])


def test_cells_are_pooled_by_field(make_cells):
    cells = make_cells([("ALL", "a", "a1"), ("normal", "b", "b1"), ("normal", "b", "b2")], per_field=3)
    kept = cells.where(cells.fields != 1)
    origins, sums, counts = evaluate.pooled(kept, np.ones((6, 2)) * [[1, 2]])
    assert origins.groups.tolist() == ["a1", "b2"]
    assert origins.labels.tolist() == [0, 1]
    assert sums.tolist() == [[3, 6], [3, 6]]
    assert counts.tolist() == [3, 3]


def test_cells_are_dressed_in_stains_of_other_laboratories_only(make_cells):
    cells = make_cells([("ALL", "a", "a1"), ("normal", "a", "a2")])
    donors = make_cells([("ALL", "a", "a3"), ("normal", "b", "b1")])
    dressed = evaluate.restained(cells, donors, 32, seed=0)
    assert dressed.tiles.shape == (8, 32, 32, 3)
    blue = [part.tiles[..., 0].mean() for part in (cells, donors.where(donors.of("lab") == "b"), dressed)]
    assert blue[2] == pytest.approx(blue[1], abs=3)
    assert abs(blue[0] - blue[1]) > 20


def test_where_there_is_no_other_laboratory_cells_keep_their_stain(make_cells):
    cells = make_cells([("ALL", "a", "a1"), ("normal", "b", "b1")])
    donors = make_cells([("ALL", "a", "a2")])
    dressed = evaluate.restained(cells, donors, 48, seed=0)
    changed = (dressed.tiles != cells.tiles).any(axis=(1, 2, 3))
    assert np.array_equal(changed, cells.of("lab") == "b")


def test_shares_of_verdicts_add_up_for_every_origin():
    origins = judged(np.ones((6, 2)), [0, 0, 0, 0, 1, 1], ["a", "a", "a", "b", "b", "b"])
    shares = evaluate.shares_by_origin(np.array(["ALL", "normal", "indeterminate", "ALL", "normal", "normal"]), origins)
    assert shares["ALL, a"] == pytest.approx({"fields": 3, "ALL": 1 / 3, "normal": 1 / 3, "indeterminate": 1 / 3})
    for found in shares.values():
        assert sum(value for name, value in found.items() if name != "fields") == pytest.approx(1)


def test_pairs_are_compared_within_a_laboratory():
    labels, labs = [0, 0, 1, 1, 0, 1], ["a", "a", "a", "a", "b", "c"]
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.2, 0.8], [0.1, 0.9], [0.9, 0.1]])
    pairs = evaluate.pairs_within_laboratory(probabilities, judged(np.ones((6, 2)), labels, labs), seed=0)
    assert list(pairs) == ["ALL against normal, a"]
    assert pairs["ALL against normal, a"]["auroc"] == 1


def test_figures_count_verdicts_of_the_decision_and_refuse_what_is_no_smear():
    part = judged([(9, 1), (8, 2), (1, 9), (5, 5)], [0, 0, 1, 1])
    found = evaluate.figures(part, np.array([0.2, 1.3, 0.4, 0.1]), DECISION, seed=0)
    assert found["fields"] == 4
    assert found["decided"] == 0.5
    assert found["accuracy_of_decided"] == 1
    assert found["verdicts"]["ALL, lab"] == {"fields": 2, "ALL": 0.5, "normal": 0, "indeterminate": 0.5}
    assert found["auroc"]["ALL"]["auroc"] == 1


def test_nothing_decided_has_no_accuracy():
    found = evaluate.figures(judged([(5, 5), (5, 5)], [0, 1]), None, DECISION, seed=0)
    assert (found["decided"], found["accuracy_of_decided"]) == (0, None)
    assert found["novelty_quantiles"] is None


def test_the_headline_has_the_control_beside_each_figure():
    figures = evaluate.figures(judged([(9, 1), (2, 8)], [0, 1]), None, DECISION, seed=0)
    report = {"cross-validated": figures, "controls": {"mean colour": {"cross-validated": {"pairs": figures["pairs"]}}}}
    headline = evaluate.headline(report)
    assert headline["cross-validated AUROC, ALL against normal, lab"] == 1
    assert headline["cross-validated AUROC, ALL against normal, lab, mean colour only"] == 1
    assert all(isinstance(value, float) for value in headline.values())


def test_a_field_s_novelty_is_the_mean_of_its_cells_and_survives_joining():
    part = evaluate.Judged(
        labels=np.array([0, 1]),
        groups=np.array(["a", "b"]),
        labs=np.array(["l", "l"]),
        classes=("ALL", "normal"),
        evidence=[Evidence((2.0, 0.0), 2), Evidence((0.0, 1.0), 1)],
        embeddings=np.array([[3, 4], [0, 0], [0, 2]], np.float32),
        owners=np.array([0, 0, 1]),
    )
    middle, identity = np.zeros(2, np.float32), np.eye(2, dtype=np.float32)
    assert part.distances(middle, identity).tolist() == [2.5, 2.0]
    assert part.cell_weights.tolist() == [0.25, 0.25, 0.5]
    assert evaluate.joined([part, part]).distances(middle, identity).tolist() == [2.5, 2.0, 2.5, 2.0]
