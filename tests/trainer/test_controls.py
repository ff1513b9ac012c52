"""Readers of colour and of background find what these tell and nothing else; shuffled labels stay with their fields."""

from __future__ import annotations

import numpy as np
import pytest

from trainer import controls, evaluate

FOLDS = (frozenset({"g0", "g1"}), frozenset({"g2", "g3"}))


@pytest.fixture
def two_classes(make_cells):
    """Ten fields a slide of two classes in one laboratory, alternating."""
    return make_cells([(label, "lab", f"g{number % 4}") for number in range(40) for label in ("ALL", "normal")], 2)


def read(look, cells, laboratories=(), side_px=32):
    """Read cells without a test part, by two folds."""
    nothing = cells.where(np.zeros(len(cells.labels), bool))
    return controls.read(look, cells, nothing, FOLDS, laboratories, side_px, seed=0)


def validated(cells):
    return read(controls.mean_colour, cells)["cross-validated"]


def area(cells):
    return validated(cells)["pairs"]["ALL against normal, lab"]["auroc"]


def test_two_stains_are_told_apart_by_colour(two_classes):
    two_classes.tiles[two_classes.labels == 0, ..., 0] //= 2
    assert area(two_classes) > 0.99


def test_two_shapes_in_the_same_stain_are_not(two_classes):
    for tile, label in zip(two_classes.tiles, two_classes.labels, strict=True):
        # One square, or four with a quarter of its area each.
        corners = [(16, 16, 16)] if label == 0 else [(x, y, 8) for x in (10, 30) for y in (10, 30)]
        for x, y, side in corners:
            tile[y : y + side, x : x + side] = (90, 40, 80)
    assert 0.2 < area(two_classes) < 0.8


def test_verdicts_are_shares_that_add_up(two_classes):
    for shares in validated(two_classes)["verdicts"].values():
        assert sum(value for name, value in shares.items() if name != "fields") == pytest.approx(1)


def test_a_class_that_a_fold_lacks_has_no_chance_there(make_cells):
    cells = make_cells(
        [(label, "lab", f"g{number % 4}") for number in range(12) for label in ("ALL", "normal")]
        + [("MM", "lab", "g0"), ("MM", "lab", "g1")]
    )
    found = validated(cells)
    assert found["verdicts"]["MM, lab"]["MM"] == 0


def test_the_test_part_is_read_by_a_reader_of_the_training_part(two_classes):
    two_classes.tiles[two_classes.labels == 0, ..., 0] //= 2
    groups = two_classes.of("group")
    training, test = (two_classes.where(np.isin(groups, part)) for part in (["g0", "g1", "g2"], ["g3"]))
    folds = (frozenset({"g0"}), frozenset({"g1", "g2"}))
    found = controls.read(controls.mean_colour, training, test, folds, (), 32, seed=0)
    assert found["test"]["verdicts"]["ALL, lab"]["ALL"] == 1
    assert found["test"]["verdicts"]["ALL, lab"]["fields"] == 10


@pytest.fixture
def laboratory_is_class(make_cells):
    """Ten fields a slide of two classes, each from a laboratory of its own, whose colours differ."""
    labs = {"ALL": "a", "normal": "b"}
    return make_cells([(label, labs[label], f"g{number % 4}") for number in range(40) for label in labs], 2)


def test_in_the_stain_of_the_other_laboratory_colour_tells_the_other_class(laboratory_is_class):
    found = read(controls.mean_colour, laboratory_is_class)
    pair = "ALL against normal, from different laboratories"
    assert found["cross-validated"]["pairs"][pair]["auroc"] == 1
    assert found["cross-validated, restained"]["pairs"][pair]["auroc"] == 0
    assert found["cross-validated, restained"]["fields"] == 80


def test_restained_cells_are_those_that_the_network_sees(laboratory_is_class):
    cells = laboratory_is_class
    inside = np.isin(cells.of("group"), sorted(FOLDS[0]))
    shown = evaluate.restained(cells.where(inside), cells.where(~inside), 32, seed=0)
    looked_at = []

    def look(tiles):
        looked_at.append(tiles)
        return controls.mean_colour(tiles)

    read(look, cells)
    assert any(np.array_equal(tiles, shown.tiles) for tiles in looked_at)


def test_where_there_is_one_laboratory_nothing_is_said_to_be_restained(two_classes):
    assert "cross-validated, restained" not in read(controls.mean_colour, two_classes)


def test_a_laboratory_left_out_is_read_by_a_reader_of_the_others(make_cells):
    # Colour tells the class in every laboratory, the other way round in the one that is left out.
    cells = make_cells([(label, lab, f"{lab}{number % 4}") for number in range(12) for label in "xy" for lab in "abc"])
    darker = (cells.labels == 0) != (cells.of("lab") == "c")
    cells.tiles[:] = np.where(darker[:, None, None, None], 90, 180)
    folds = (frozenset(f"{lab}{number}" for lab in "abc" for number in part) for part in ((0, 1), (2, 3)))
    nothing = cells.where(np.zeros(len(cells.labels), bool))
    left_out = [("c", frozenset(f"c{number}" for number in range(4)))]
    found = controls.read(controls.mean_colour, cells, nothing, tuple(folds), left_out, 32, seed=0)
    assert found["laboratories left out"]["pairs"] == {"x against y, c": {"auroc": 0, "low": 0, "high": 0}}
    assert found["laboratories left out"]["fields"] == 24


def test_no_laboratory_is_read_that_none_is_left_out_of(laboratory_is_class):
    assert set(read(controls.mean_colour, laboratory_is_class)) == {"cross-validated", "cross-validated, restained"}


def put_nuclei(cells, of_all, of_normal):
    """Draw a nucleus of the given chromatin, BGR, into the middle of each tile of glass."""
    yy, xx = np.mgrid[:48, :48]
    disc = (yy - 24) ** 2 + (xx - 24) ** 2 < 9**2
    for tile, label in zip(cells.tiles, cells.labels, strict=True):
        tile[disc] = of_all if label == 0 else of_normal


def area_of_background(cells):
    found = read(controls.background_only(0.5), cells, side_px=48)["cross-validated"]
    return found["pairs"]["ALL against normal, lab"]["auroc"]


def test_nuclei_are_hidden_from_the_reader_of_the_background(two_classes):
    rng = np.random.default_rng(0)
    two_classes.tiles[:] = rng.integers(225, 240, two_classes.tiles.shape)
    put_nuclei(two_classes, of_all=(140, 50, 90), of_normal=(150, 90, 120))
    assert area(two_classes) > 0.99
    assert 0.2 < area_of_background(two_classes) < 0.8


def test_the_reader_of_the_background_sees_the_background(two_classes):
    two_classes.tiles[:] = 235
    two_classes.tiles[two_classes.labels == 0] -= 12
    put_nuclei(two_classes, of_all=(140, 50, 90), of_normal=(140, 50, 90))
    assert area_of_background(two_classes) > 0.99


def test_shuffled_labels_are_as_many_and_alike_within_a_field(make_cells):
    cells = make_cells(
        [(label, "lab", f"g{number}") for number in range(12) for label in ("ALL", "normal")], per_field=3
    )
    dealt = controls.shuffled(cells, seed=1)
    assert np.array_equal(np.bincount(dealt.labels), np.bincount(cells.labels))
    assert not np.array_equal(dealt.labels, cells.labels)
    for field in range(24):
        assert len(set(dealt.labels[dealt.fields == field].tolist())) == 1
