"""What is read of a field: all of its region of interest and nothing else, and where there is no cell."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.vision.balance import WHITE
from trainer.errors import DataError
from trainer.manifest import LabelledField, Roi
from trainer.paper import fields


@pytest.fixture
def field(drawn, tmp_path):
    """Give a function that saves a picture made of the first drawn field, and its row of a manifest."""
    original = cv2.imread(drawn[0][0])

    def save(change=lambda picture: picture, um_per_px=0.5, name="field.png", **columns):
        path = tmp_path / name
        cv2.imwrite(str(path), change(original))
        return LabelledField(path, "ALL", "g", "l", um_per_px, **columns)

    return save


def test_a_whole_field_becomes_a_square(taken):
    assert taken.pixels.shape == (24, 48, 48, 3)
    assert taken.background.shape == (24, 48, 48)
    assert [taken.sources[index].label for index in taken.fields] == [taken.classes[label] for label in taken.labels]


def test_nothing_outside_the_region_of_interest_is_seen(field):
    def barred(picture):
        return cv2.copyMakeBorder(picture, 30, 0, 50, 0, cv2.BORDER_CONSTANT, value=(0, 0, 255))

    plain = fields.read([field()], ("ALL",), 48)
    cropped = fields.read([field(barred, name="barred.png", roi=Roi(50, 30, 320, 240))], ("ALL",), 48)
    np.testing.assert_array_equal(cropped.pixels, plain.pixels)


def test_nuclei_are_no_background(taken):
    darkness = 255 - taken.pixels[..., 1].astype(float)
    assert 0.3 < taken.background.mean() < 0.99
    assert darkness[~taken.background].mean() > 2 * darkness[taken.background].mean()


def test_a_mask_of_the_manifest_says_where_nuclei_are(field, tmp_path):
    mask = np.zeros((240, 320), np.uint8)
    mask[:, :160] = 255
    cv2.imwrite(str(tmp_path / "nuclei.png"), mask)
    background = fields.read([field(nucleus_mask=tmp_path / "nuclei.png")], ("ALL",), 48).background[0]
    assert not background[:, :24].any()
    assert background[:, 27:].all()


def test_at_one_physical_scale_the_camera_does_not_matter(field):
    def finer(picture):
        return cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)

    coarse = fields.read([field()], ("ALL",), 96, um_per_px=1.0).pixels[0]
    fine = fields.read([field(finer, 0.25, "fine.png")], ("ALL",), 96, um_per_px=1.0).pixels[0]
    assert np.abs(coarse.astype(int) - fine).mean() < 3


def test_a_field_smaller_than_the_square_has_no_margin(field):
    picture = fields.read([field()], ("ALL",), 192, um_per_px=1.0).pixels[0]
    # 160 by 120 of 192 are the field's; a margin would be of one colour.
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert edge.std() > 1
        assert not (edge == WHITE).all()


def test_an_unreadable_picture_is_named_and_borne_until_there_are_too_many(field, tmp_path):
    sources = [field(name=f"{number}.png") for number in range(60)]
    (tmp_path / "0.png").write_bytes(b"no picture")
    read = fields.read(sources, ("ALL",), 48)
    assert len(read.labels) == len(read.sources) == 59
    assert len(read.unreadable) == 1
    assert "0.png" in read.unreadable[0]
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 60 pictures: unreadable, the first: .*0\.png"):
        fields.read(sources, ("ALL",), 48)


def test_a_missing_picture_is_a_mistake(field):
    with pytest.raises(DataError, match="not found"):
        fields.read([field(), LabelledField(Path("nowhere.png"), "ALL", "g", "l", 0.5)], ("ALL",), 48)
