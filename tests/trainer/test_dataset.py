"""A data set is cut and split alike whatever the order of its rows; what has no cell is neither judged nor left out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from trainer import dataset, provenance
from trainer.errors import DataError
from trainer.settings import Settings

SETTINGS = Settings(tile_px=32)


def prepared(path, *hold_out):
    sources, parts = dataset.split_up([path], None, hold_out, 2, 0)
    return dataset.prepare(sources, parts, SETTINGS)


@pytest.fixture
def glass(tmp_path):
    """Give a function that makes the row of a field without a cell."""

    def make(label, group, lab):
        path = tmp_path / f"{group}.png"
        noise = np.random.default_rng(0).integers(0, 3, (240, 320, 3))
        cv2.imwrite(str(path), (236 + noise).astype(np.uint8))
        return str(path), label, group, lab, "0.5"

    return make


def test_cells_and_the_key_of_checkpoints_do_not_hang_on_the_order_of_the_rows(drawn, write_manifest):
    first, second = (prepared(write_manifest(rows)) for rows in (drawn, drawn[::-1]))
    assert np.array_equal(first.training.tiles, second.training.tiles)
    assert first.training.sources == second.training.sources
    assert provenance.key(first, SETTINGS) == provenance.key(second, SETTINGS)


def test_a_test_part_without_a_nucleus_is_refused_before_anything_is_trained(drawn, glass, write_manifest):
    path = write_manifest([*drawn, glass("normal", "blank-1", "blanks"), glass("normal", "blank-2", "blanks")])
    with pytest.raises(DataError, match="the test part: no nucleus was found in any of its fields"):
        prepared(path, "blank-1")
    # Beside others its fields count as indeterminate.
    found = prepared(path, "blank-1", "violet-MM-0")
    assert set(found.test.of("group")) == {"violet-MM-0"}
    assert {source.group for source in found.empty} == {"blank-1", "blank-2"}


def test_a_laboratory_without_a_nucleus_is_not_left_out(drawn, glass, write_manifest):
    rows = [*drawn, glass("normal", "blank-1", "blanks"), glass("normal", "blank-2", "violet")]
    found = prepared(write_manifest(rows))
    assert [lab for lab, _ in found.laboratories] == ["purple", "violet"]
    # One slide of a laboratory that has others is left out with these, and counts.
    assert "blank-2" in dict(found.laboratories)["violet"]


def test_no_laboratory_is_left_out_for_a_class_that_another_has_no_cell_of(drawn, glass, write_manifest):
    rows = [row for row in drawn if row[3] == "violet" or row[1] == "ALL"]
    found = prepared(write_manifest([*rows, glass("MM", "blank-1", "purple")]))
    assert dict(found.laboratories)["violet"] == {"violet-ALL-0", "violet-ALL-1"}


def test_a_class_whose_nuclei_lie_in_one_fold_is_refused_before_anything_is_trained(drawn, glass, write_manifest):
    rows = [row for row in drawn if row[1] != "MM" or row[2] == "violet-MM-0"]
    # By its rows the class has three groups.
    path = write_manifest([*rows, glass("MM", "blank-1", "violet"), glass("MM", "blank-2", "violet")])
    with pytest.raises(DataError, match="class 'MM': has nuclei in one fold at most"):
        prepared(path)
