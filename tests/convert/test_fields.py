"""What is compared on and calibrated with: whole fields, cut as the device does, and nothing that was tested on."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from convert import fields
from convert.errors import CalibrationRefused
from edge.errors import BundleCorrupt, DataError
from edge.manifest import read
from edge.model import bundle as bundles
from edge.model import run as runs
from edge.model import shelf


@pytest.fixture(scope="module")
def description():
    return bundles.read(shelf.find(None)).description


def test_the_tiles_of_a_run_are_of_whole_fields(run_folder):
    found = fields.held_out(run_folder, runs.read(run_folder))
    assert found.whole
    assert np.bincount(found.owners).tolist() == [5] * 12
    assert set(found.labs.tolist()) == {"north", "south"}
    assert found.groups[:3].tolist() == ["g0", "g1", "g2"]
    assert (found.field_labels[found.owners] == found.labels).mean() > 0.8


def test_no_more_tiles_of_a_field_are_compared_than_the_device_judges(run_folder):
    run = runs.read(run_folder)
    few = msgspec.structs.replace(run.tiling, most_tiles=3)
    found = fields.held_out(run_folder, msgspec.structs.replace(run, tiling=few))
    assert np.bincount(found.owners).tolist() == [3] * 12
    tiles = np.load(run_folder / runs.HELD_OUT_TILES)
    # Of five in order of size the first, the middle and the last.
    assert np.array_equal(found.tiles[:4], tiles[[0, 2, 4, 5]])


def test_a_run_of_an_earlier_version_has_each_tile_for_a_field(run_folder):
    (run_folder / runs.HELD_OUT_FIELDS).unlink()
    found = fields.held_out(run_folder, runs.read(run_folder))
    assert not found.whole
    assert len(found.field_labels) == len(found.tiles) == 60
    assert set(found.labs.tolist()) == {fields.NOT_STATED}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (runs.HELD_OUT_FIELDS, np.zeros(3, np.int64)),
        (runs.HELD_OUT_FIELDS, np.full(60, -1)),
        (runs.HELD_OUT_FIELDS, np.arange(60)),
        (runs.HELD_OUT_FIELDS, np.zeros(60, np.float32)),
        (runs.HELD_OUT_SOURCES, np.array([["ALL", "g", "lab"]] * 3)),
        (runs.HELD_OUT_SOURCES, np.array([["XYZ", "g", "lab"]] * 12)),
        (runs.HELD_OUT_LABELS, np.full(60, 3)),
    ],
)
def test_fields_that_do_not_fit_are_refused(run_folder, name, content):
    np.save(run_folder / name, content)
    with pytest.raises(BundleCorrupt, match=r"do not fit|holds float32"):
        fields.held_out(run_folder, runs.read(run_folder))


def test_a_manifest_is_cut_as_the_device_cuts(drawn_fields, description):
    from edge.camera.decode import read_image
    from edge.frame import Frame
    from edge.pipeline import prepare

    sources = read([drawn_fields])
    found = fields.cut(sources, description)
    assert len(found.field_labels) == len(sources) == 6
    first = prepare(Frame(read_image(sources[0].path), "x", 0, sources[0].um_per_px, 0.0, 0.0), description).tiles
    assert np.array_equal(found.tiles[found.owners == 0], first)
    assert found.labs.tolist() == ["lab-0", "lab-1"] * 3


def test_a_label_that_is_no_class_is_refused(drawn_fields, description):
    text = drawn_fields.read_text(encoding="utf-8").replace(",MM,", ",CLL,")
    other = drawn_fields.with_name("other.csv")
    other.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="'CLL'"):
        fields.cut(read([other]), description)


def test_a_calibration_set_is_balanced_by_class_and_laboratory():
    owners = np.repeat(np.arange(6), [500, 10, 100, 40, 300, 9])
    tiles = np.zeros((len(owners), 8, 8, 3), np.uint8)
    tiles[:, 0, 0, 0] = owners
    # The second class has one laboratory more than the first, and weighs no more for that.
    classes = np.array([0, 0, 1, 1, 1, 2])
    labs = np.array(["a", "b", "a", "b", "c", "d"])
    chosen = fields.balanced(fields.Fields(tiles, classes[owners], owners, classes, labs, labs), most=129)
    # Of nine tiles of the last class all, and of the others 60 each: 10 are all that a laboratory of the first has.
    assert np.bincount(chosen[:, 0, 0, 0]).tolist() == [50, 10, 20, 20, 20, 9]


def test_a_calibration_set_of_the_test_part_is_refused_as_a_leak(drawn_fields, description):
    with pytest.raises(CalibrationRefused, match="group 'MM-1' of the test part") as refused:
        fields.calibration(drawn_fields, description, {"MM-1", "other"})
    assert refused.value.exit_code == 71


def test_a_picture_that_is_tested_on_calibrates_nothing_under_the_name_of_another_group(drawn_fields, description):
    renamed = drawn_fields.with_name("renamed.csv")
    text = drawn_fields.read_text(encoding="utf-8")
    renamed.write_text(text.replace("-0,lab", "-8,lab").replace("-1,lab", "-9,lab"), encoding="utf-8")
    tested = [source for source in read([drawn_fields]) if source.group == "MM-1"]
    with pytest.raises(CalibrationRefused, match=r"has .*MM-1\.png of the test part"):
        fields.calibration(renamed, description, (), tested)


def test_a_picture_that_is_not_there_is_refused_and_a_damaged_one_is_told(drawn_fields, description):
    head, *rows = drawn_fields.read_text(encoding="utf-8").splitlines()
    (drawn_fields.parent / "damaged.png").write_bytes(b"no picture")
    for name, more in {"gone.csv": "gone.png,ALL,g,l,0.5", "damaged.csv": "damaged.png,ALL,g,l,0.5"}.items():
        lines = [head, *rows * 9, more]
        (drawn_fields.parent / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"1 of 7 files of the manifest: not found: .*gone\.png"):
        fields.cut(read([drawn_fields.parent / "gone.csv"]), description)
    (why,) = fields.cut(read([drawn_fields.parent / "damaged.csv"]), description).unreadable
    assert "damaged.png" in why


def test_a_calibration_set_that_is_empty_or_of_one_class_is_refused(part_of, description):
    with pytest.raises(CalibrationRefused, match="has no field"):
        fields.calibration(part_of("none.csv"), description, ())
    with pytest.raises(CalibrationRefused, match="the class 'MM' only"):
        fields.calibration(part_of("one.csv", ",MM,"), description, ())


@pytest.mark.parametrize(
    ("shape", "level", "told"),
    [
        ((0, 32, 32, 3), 0, "empty"),
        ((5, 32, 32, 3), 90, "the same tile throughout"),
        ((5, 16, 16, 3), 0, r"has shape \(5, 16, 16, 3\)"),
        ((32, 32, 3), 0, r"has shape \(32, 32, 3\)"),
    ],
)
def test_a_representative_dataset_that_is_none_is_refused(shape, level, told):
    with pytest.raises(CalibrationRefused, match=told):
        fields.check_calibration(np.full(shape, level, np.uint8), 32)
