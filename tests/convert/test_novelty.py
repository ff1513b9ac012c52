"""What is like the calibration fields is not refused, however wide the embedding; what is unlike them is."""

from __future__ import annotations

import numpy as np
import pytest

from convert import novelty
from convert.errors import CalibrationRefused
from convert.fields import Fields
from edge import verdict


def fields_of(groups, classes, tiles_each=10):
    """Make fields of these groups and classes, with nothing on their tiles."""
    owners = np.repeat(np.arange(len(groups)), tiles_each)
    groups, classes = np.array(groups), np.array(classes)
    tiles = np.zeros((len(owners), 8, 8, 3), np.uint8)
    return Fields(tiles, classes[owners], owners, classes, np.full(len(groups), "north"), groups)


def refused(fitted, embeddings, tiles_each=10):
    owners = np.arange(len(embeddings)) // tiles_each
    return float((novelty.of_fields(embeddings.astype(np.float32), owners, fitted[0], fitted[1:]) > 1).mean())


@pytest.mark.parametrize("depth", [16, 256, 512])
def test_new_fields_of_the_same_kind_are_not_refused_though_the_embedding_is_wider_than_there_are_tiles(depth):
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(depth, depth)) / np.sqrt(depth) * np.linspace(0.1, 2, depth)
    known = fields_of([f"g{number % 12}" for number in range(40)], [number % 3 for number in range(40)])
    embeddings = (rng.normal(size=(400, depth)) @ spread).astype(np.float32)
    fitted = novelty.fit(embeddings, known)
    assert fitted.shape == (depth + 1, depth)
    assert refused(fitted, rng.normal(size=(400, depth)) @ spread) < 0.03
    assert refused(fitted, 3 * rng.normal(size=(400, depth)) @ spread) == 1


def of_groups(rng, names, classes, tiles_each=10):
    """Draw embeddings whose groups lie further apart than the tiles of each."""
    owners = np.repeat(np.arange(len(names)), tiles_each)
    _, group = np.unique(names, return_inverse=True)
    middles = rng.normal(size=(len(names), 24)) * 2
    embeddings = middles[group[owners]] + 0.3 * rng.normal(size=(len(owners), 24))
    embeddings[:, 0] += 20 * np.asarray(classes)[owners]
    return embeddings.astype(np.float32)


def test_a_new_group_is_as_far_away_as_a_calibration_group_that_its_covariance_did_not_see():
    rng = np.random.default_rng(1)
    names, classes = [f"g{number // 4:02}" for number in range(60)], [number // 4 % 3 for number in range(60)]
    fitted = novelty.fit(of_groups(rng, names, classes), fields_of(names, classes))
    new = of_groups(rng, [f"n{number}" for number in range(90)], [number % 3 for number in range(90)])
    assert refused(fitted, new) < 0.05


def test_a_class_of_one_group_is_known_and_does_not_widen_what_is_known():
    rng = np.random.default_rng(2)
    names, classes = [f"g{number // 4:02}" for number in range(60)], [number // 4 % 2 for number in range(60)]
    names[-4:], classes[-4:] = ["only"] * 4, [9] * 4
    embeddings = of_groups(rng, names, classes)
    fitted = novelty.fit(embeddings, fields_of(names, classes))
    assert refused(fitted, embeddings[-40:]) == 0
    # A tenth as far as that class lies, but where nothing is.
    assert refused(fitted, embeddings[:40] + 20 * np.eye(1, 24, 1)) == 1


@pytest.mark.parametrize(
    ("groups", "classes"),
    [
        (["a", "a", "b", "c", "d", "d"], [0, 0, 0, 1, 1, 1]),
        (["a", "a", "a", "b", "b", "b"], [0, 0, 0, 1, 1, 1]),
        (["a", "b"], [0, 1]),
        (["a", "a", "b", "c"], [0, 1, 1, 0]),
        # The groups of the second class are the first's first and sixth.
        ([*"abcdefgh", "a", "f"], [0] * 8 + [1] * 2),
    ],
)
def test_groups_stay_whole_where_a_class_has_two_and_no_class_is_left_out_whole(groups, classes):
    fields = fields_of(groups, classes)
    folds = novelty._folds(fields)
    assert 2 <= len(np.unique(folds)) <= novelty.FOLDS
    for label in np.unique(classes):
        own = fields.labels == label
        assert len(np.unique(folds[own])) > 1
        of_class = fields.groups[fields.owners[own]]
        if len(np.unique(of_class)) > 1:
            assert all(len(np.unique(folds[own][of_class == group])) == 1 for group in np.unique(of_class))


def test_a_field_is_as_novel_as_the_device_finds_it():
    rng = np.random.default_rng(3)
    embeddings, owners = rng.normal(size=(30, 6)).astype(np.float32), rng.permutation(np.arange(30) % 4)
    mean, whitening = rng.normal(size=6).astype(np.float32), rng.normal(size=(6, 6)).astype(np.float32)
    found = novelty.of_fields(embeddings, owners, mean, whitening)
    assert found.tolist() == [verdict.novelty(embeddings[owners == field], mean, whitening) for field in range(4)]


def test_what_tells_nothing_of_what_is_known_is_refused():
    rng = np.random.default_rng(4)
    known = fields_of(["a", "b", "c", "d"], [0, 0, 1, 1], tiles_each=4)
    with pytest.raises(CalibrationRefused, match="has 16 tiles"):
        novelty.fit(rng.normal(size=(16, 8)).astype(np.float32), known)
    with pytest.raises(CalibrationRefused, match="same embedding"):
        novelty.fit(np.ones((40, 8), np.float32), fields_of(["a", "b", "c", "d"], [0, 0, 1, 1]))


def test_an_embedding_that_is_dead_but_in_one_field_is_no_crash():
    embeddings = np.zeros((40, 8), np.float32)
    embeddings[:10] = np.random.default_rng(5).normal(size=(10, 8))
    assert np.isfinite(novelty.fit(embeddings, fields_of(["a", "b", "c", "d"], [0, 0, 1, 1]))).all()
