"""Fields become labelled cells by the device's own preparation; masks and unreadable pictures are minded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.camera.decode import read_image
from edge.vision import nuclei
from edge.vision.balance import WHITE
from edge.vision.field import prepare
from trainer import manifest
from trainer.cells import extract
from trainer.errors import DataError

CLASSES = ("ALL", "MM", "normal")
UM_PER_PX = 0.5


def centres_of(path):
    field = prepare(read_image(path), UM_PER_PX, UM_PER_PX)
    return nuclei.find(field.pixels, UM_PER_PX, field.inside).centres


def test_every_nucleus_gives_a_tile_with_its_fields_label(manifest_file):
    sources = manifest.read([manifest_file])
    seen = []
    cells = extract(sources, CLASSES, UM_PER_PX, 48, progress=seen.append)
    assert cells.tiles.shape == (len(cells.labels), 48, 48, 3)
    assert cells.tiles.dtype == np.uint8
    assert seen == list(range(1, len(sources) + 1))
    assert np.bincount(cells.fields).tolist() == [len(centres_of(source.path)) for source in sources]
    assert np.array_equal(np.array(CLASSES)[cells.labels], cells.of("label"))


def test_a_tile_is_centred_on_its_nucleus(manifest_file):
    cells = extract(manifest.read([manifest_file])[:4], ("ALL",), UM_PER_PX, 33)
    middle = cells.tiles[:, 12:21, 12:21, 1].mean(axis=(1, 2))
    assert np.median(middle) < 0.6 * WHITE


@pytest.fixture
def masked(drawn, tmp_path, write_manifest):
    """Give a manifest with a field of group g and of MM that has a mask of its left half, in the depth asked for."""

    def write(dtype):
        picture = cv2.imread(next(row[0] for row in drawn if row[1] == "MM"))
        mask = np.zeros(picture.shape[:2], dtype)
        mask[:, :160] = 1
        cv2.imwrite(str(tmp_path / "field.png"), picture)
        cv2.imwrite(str(tmp_path / "mask.png"), mask)
        normal = next(row for row in drawn if row[1] == "normal")
        return write_manifest(
            [("field.png", "MM", "g", "l", str(UM_PER_PX), "mask.png"), (*normal, "")],
            (*manifest.REQUIRED, "mask"),
        )

    return write


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nuclei_outside_a_mask_take_the_background_class(masked, tmp_path, dtype):
    cells = extract(manifest.read([masked(dtype)]), ("MM", "normal"), UM_PER_PX, 48, "normal")
    is_left = np.rint(centres_of(tmp_path / "field.png")[:, 0]) < 160
    assert 0 < is_left.sum() < len(is_left)
    assert np.array_equal(cells.labels[cells.of("group") == "g"] == 0, is_left)


def test_without_a_background_class_they_are_left_out(masked, tmp_path):
    cells = extract(manifest.read([masked(np.uint8)]), ("MM", "normal"), UM_PER_PX, 48)
    is_left = np.rint(centres_of(tmp_path / "field.png")[:, 0]) < 160
    assert (cells.labels[cells.of("group") == "g"] == 0).all()
    assert (cells.of("group") == "g").sum() == is_left.sum()


def test_only_the_region_of_interest_is_looked_at_and_its_mask_goes_with_it(masked, drawn, tmp_path, write_manifest):
    (path,) = {source.path for source in manifest.read([masked(np.uint8)]) if source.label == "MM"}
    cv2.imwrite(str(tmp_path / "part.png"), cv2.imread(str(path))[40:, 64:256])
    cv2.imwrite(
        str(tmp_path / "part-mask.png"), cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_GRAYSCALE)[40:, 64:256]
    )
    # Half as fine as its picture.
    whole = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(tmp_path / "coarse.png"), whole[::2, ::2])
    columns = (*manifest.REQUIRED, "mask", "roi")

    def cells(picture, mask, roi):
        row = (picture, "MM", "g", "l", str(UM_PER_PX), mask, roi)
        return extract(manifest.read([write_manifest([row], columns)]), ("MM",), UM_PER_PX, 48)

    part = cells("part.png", "part-mask.png", "")
    assert 0 < len(part.labels) < len(centres_of(tmp_path / "part.png"))
    for mask in ("mask.png", "coarse.png"):
        assert np.array_equal(cells("field.png", mask, "64,40,192,200").tiles, part.tiles)


def test_missing_files_are_refused_before_anything_is_read(drawn, tmp_path, write_manifest):
    row = next(row for row in drawn if row[1] == "ALL")
    sources = manifest.read([write_manifest([*[row] * 99, ("gone.png", *row[1:])])])
    seen = []
    with pytest.raises(DataError, match=r"not found: .*gone\.png"):
        extract(sources, ("ALL",), UM_PER_PX, 48, progress=seen.append)
    assert seen == []


def test_a_mask_that_cannot_be_read_is_an_error(masked, tmp_path):
    path = masked(np.uint8)
    (tmp_path / "mask.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"mask\.png"):
        extract(manifest.read([path]), ("MM", "normal"), UM_PER_PX, 48)


def test_a_few_unreadable_pictures_are_left_out_and_more_are_refused(drawn, tmp_path, write_manifest):
    row = next(row for row in drawn if row[1] == "ALL")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = ("broken.png", *row[1:])
    one_in_fifty = manifest.read([write_manifest([broken, *[row] * 49])])
    one_in_forty_nine = sorted(one_in_fifty, key=lambda source: source.path.name != "broken.png")[:49]
    cells = extract(one_in_fifty, ("ALL",), UM_PER_PX, 48)
    assert len(cells.sources) == 49
    (told,) = cells.unreadable
    assert "broken.png" in told
    assert cells.where(cells.fields == 0).unreadable == cells.unreadable
    assert cells.fields.max() == 48
    with pytest.raises(DataError, match=r"1 of 49 pictures: unreadable, .*broken\.png; of the first: .*broken\.png"):
        extract(one_in_forty_nine, ("ALL",), UM_PER_PX, 48)


def test_of_many_unreadable_pictures_some_are_named_and_the_rest_counted(drawn, tmp_path, write_manifest):
    row = next(row for row in drawn if row[1] == "ALL")
    for number in range(5):
        (tmp_path / f"broken-{number}.png").write_bytes(b"no picture")
    rows = [(f"broken-{number}.png", *row[1:]) for number in range(5)]
    with pytest.raises(DataError, match=r"5 of 6 pictures: .*broken-0\.png, .*broken-2\.png and 2 more;"):
        extract(manifest.read([write_manifest([row, *rows])]), ("ALL",), UM_PER_PX, 48)


def test_a_class_without_a_nucleus_is_refused(drawn, tmp_path, write_manifest):
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((240, 320, 3), 220, np.uint8))
    path = write_manifest([next(row for row in drawn if row[1] == "ALL"), ("blank.png", "MM", "g", "l", "0.5")])
    with pytest.raises(DataError, match="class 'MM': no nucleus"):
        extract(manifest.read([path]), ("ALL", "MM"), UM_PER_PX, 48)


def test_parts_of_a_data_set_share_its_tiles_and_index_as_they_would(make_cells):
    cells = make_cells([("ALL", "a", "a1"), ("normal", "a", "a2"), ("MM", "b", "b1")])
    mask = cells.labels != 1
    part = cells.where(mask)
    twice = part.where(part.labels == 2)
    assert part.tiles.pixels is twice.tiles.pixels is cells.tiles
    expected = cells.tiles[mask]
    assert part.tiles.shape == expected.shape
    assert len(part.tiles) == len(expected)
    for index in (3, slice(2, 5), np.array([4, 0]), (slice(1, 3), slice(5, 9)), (..., 0), expected[:, 0, 0, 0] > 100):
        assert np.array_equal(part.tiles[index], expected[index])
    assert np.array_equal(np.asarray(twice.tiles), cells.tiles[cells.labels == 2])


def test_middles_are_copies(make_cells):
    cells = make_cells([("ALL", "a", "a1")], side_px=48)
    before = cells.tiles.copy()
    cells.middles(48)[:] = 0
    assert np.array_equal(cells.tiles, before)
    assert np.array_equal(cells.middles(32, slice(1, 3)), before[1:3, 8:40, 8:40])
