"""No class, laboratory or slide speaks louder than another, and a batch depends on its number alone."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.augment import Augmentation
from trainer.sampling import Batches, foreign_donor, weights, worker_count

UNEVEN = [
    ("ALL", "a", "a1"),
    ("ALL", "a", "a1"),
    ("ALL", "a", "a2"),
    ("ALL", "b", "b1"),
    ("MM", "b", "b2"),
    ("MM", "c", "c1"),
    ("normal", "a", "a3"),
]


def test_chances_are_even_down_the_tree(make_cells):
    cells = make_cells(UNEVEN)
    chance = weights(cells)
    assert chance.sum() == pytest.approx(1)
    told = {
        (label, lab, group): chance[
            (cells.of("label") == label) & (cells.of("lab") == lab) & (cells.of("group") == group)
        ].sum()
        for label, lab, group in UNEVEN
    }
    assert told == pytest.approx(
        {
            ("ALL", "a", "a1"): 1 / 12,
            ("ALL", "a", "a2"): 1 / 12,
            ("ALL", "b", "b1"): 1 / 6,
            ("MM", "b", "b2"): 1 / 6,
            ("MM", "c", "c1"): 1 / 6,
            ("normal", "a", "a3"): 1 / 3,
        }
    )


def test_a_batch_is_the_same_each_time_and_another_each_epoch(make_cells):
    cells = make_cells(UNEVEN)
    batches = Batches(cells, 32, 12, 3, Augmentation(), seed=7)
    again = Batches(cells, 32, 12, 3, Augmentation(), seed=7)
    other = Batches(cells, 32, 12, 3, Augmentation(), seed=8)
    tiles, classes = batches[1]
    assert len(batches) == 3
    assert (tiles.shape, tiles.dtype) == ((12, 32, 32, 3), np.float32)
    assert 0 <= tiles.min() < tiles.max() <= 255
    assert classes.sum(axis=1).tolist() == [1] * 12
    assert np.array_equal(tiles, again[1][0])
    assert not np.array_equal(tiles, batches[2][0])
    assert not np.array_equal(tiles, other[1][0])
    batches.on_epoch_end()
    assert not np.array_equal(tiles, batches[1][0])


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (4, 2), (16, 8), (128, 8)])
def test_half_of_the_cores_make_batches(cores, workers):
    assert worker_count(cores) == workers


def test_a_batch_holds_each_class_as_often(make_cells):
    batches = Batches(make_cells(UNEVEN), 32, 600, 1, Augmentation(), seed=0)
    assert batches[0][1].mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.07)


def test_a_donor_is_never_of_the_same_laboratory():
    by_lab = {"a": np.arange(3), "b": np.arange(3, 5), "c": np.arange(5, 500)}
    rng = np.random.default_rng(0)
    donors = np.array([foreign_donor(by_lab, "a", rng) for _ in range(300)])
    assert donors.min() == 3
    # Laboratories alike, whatever their size.
    assert (donors < 5).mean() == pytest.approx(0.5, abs=0.1)


def test_a_single_laboratory_keeps_its_stain(make_cells):
    cells = make_cells([("ALL", "a", "a1"), ("MM", "a", "a2")])
    always = Batches(cells, 32, 8, 1, Augmentation(restain=1), seed=0)[0][0]
    never = Batches(cells, 32, 8, 1, Augmentation(restain=0), seed=0)[0][0]
    assert np.array_equal(always, never)


def test_laboratories_and_groups_that_are_one_name_when_joined_are_two(make_cells):
    chance = weights(make_cells([("ALL", "lab1", "1"), ("ALL", "lab", "11"), ("ALL", "lab", "2")]))
    assert chance.reshape(3, 4).sum(axis=1) == pytest.approx([1 / 2, 1 / 4, 1 / 4])
