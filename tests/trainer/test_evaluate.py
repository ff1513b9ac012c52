"""Fields are judged by their cells, and figures say of which class and laboratory they are."""

from __future__ import annotations

import numpy as np
import pytest
from keras import Input, Model, layers, ops

from edge.verdict import Evidence
from trainer import evaluate
from trainer.errors import TrainingFailed
from trainer.evaluate import Origins


def test_weights_are_even_over_classes_and_their_laboratories():
    origins = Origins(
        np.array([0, 0, 0, 1]),
        np.array(list("wxyz")),
        np.array(["a", "a", "b", "a"]),
        ("ALL", "normal"),
        np.array(list("1234")),
    )
    assert origins.weights == pytest.approx([1 / 8, 1 / 8, 1 / 4, 1 / 2])


def test_cells_are_pooled_by_field(make_cells):
    cells = make_cells([("ALL", "a", "a1"), ("normal", "b", "b1"), ("normal", "b", "b2")], per_field=3)
    kept = cells.where(cells.fields != 1)
    origins, sums, counts = evaluate.pooled(kept, np.ones((6, 2)) * [[1, 2]])
    assert origins.groups.tolist() == ["a1", "b2"]
    assert origins.labels.tolist() == [0, 1]
    assert sums.tolist() == [[3, 6], [3, 6]]
    assert counts.tolist() == [3, 3]


@pytest.mark.parametrize("blown_up", [0, 1])
def test_a_network_that_says_no_numbers_is_refused_by_the_picture_it_cannot_read(make_cells, blown_up):
    cells = make_cells([("ALL", "a", "a1"), ("normal", "b", "b1")])
    tiles = Input((32, 32, 3))
    blue = layers.GlobalAveragePooling2D()(tiles)
    # The second laboratory has less blue than the first.
    outputs = [blue, blue]
    outputs[blown_up] = ops.where(blue[:, :1] < 200, np.nan, blue)
    with pytest.raises(TrainingFailed, match=r"a cell of 1\.png is no number"):
        evaluate.judge(Model(tiles, outputs), cells, 32)


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


def test_a_field_s_novelty_is_the_mean_of_its_cells_and_survives_joining():
    part = evaluate.Judged(
        labels=np.array([0, 1]),
        groups=np.array(["a", "b"]),
        labs=np.array(["l", "l"]),
        classes=("ALL", "normal"),
        names=np.array(["1.png", "2.png"]),
        evidence=[Evidence((2.0, 0.0), 2), Evidence((0.0, 1.0), 1)],
        embeddings=np.array([[3, 4], [0, 0], [0, 2]], np.float32),
        owners=np.array([0, 0, 1]),
    )
    middle, identity = np.zeros(2, np.float32), np.eye(2, dtype=np.float32)
    assert part.distances(middle, identity).tolist() == [2.5, 2.0]
    assert part.cell_weights.tolist() == [0.25, 0.25, 0.5]
    assert evaluate.joined([part, part]).distances(middle, identity).tolist() == [2.5, 2.0, 2.5, 2.0]
