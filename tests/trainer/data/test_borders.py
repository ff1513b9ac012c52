"""Bars around a field are found to the line; glass, noise and round fields are no bars."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.simulator import Smear, draw
from trainer.data import borders
from trainer.manifest import LabelledField, Roi


@pytest.fixture(scope="module")
def field():
    """Draw a field of 320x240 pixels."""
    return draw(Smear(kind="ALL", size_px=(320, 240), um_per_px=0.5), 1).pixels


def framed(field, top, bottom, left, right, colour):
    return cv2.copyMakeBorder(field, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour)


# The last line of a bar may be blended with the field, so the first line of the field goes as well.
def inside(top, bottom, left, right):
    return Roi(
        left + bool(left),
        top + bool(top),
        320 - bool(left) - bool(right),
        240 - bool(top) - bool(bottom),
    )


sides = st.integers(0, 60)


@settings(deadline=None, max_examples=40)
@given(sides, sides, sides, sides, st.sampled_from([(0, 0, 0), (255, 255, 255), (60, 20, 90)]))
def test_bars_of_any_colour_and_width_are_left_out(field, top, bottom, left, right, colour):
    found = borders.find(framed(field, top, bottom, left, right, colour))
    assert found == (inside(top, bottom, left, right) if top or bottom or left or right else None)


def test_bars_blurred_by_jpeg_are_found(field):
    data = cv2.imencode(".jpg", framed(field, 40, 24, 0, 16, (0, 0, 0)), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    found = borders.find(cv2.imdecode(data, cv2.IMREAD_COLOR))
    assert found is not None
    for edge, true in zip(found, (0, 40, 320, 240), strict=True):
        assert abs(edge - true) <= 4


def test_a_field_without_bars_is_whole(field):
    assert borders.find(field) is None


@pytest.mark.parametrize("level", [0, 128, 230, 255])
def test_one_colour_all_over_is_no_border(level):
    assert borders.find(np.full((240, 320, 3), level, np.uint8)) is None


def test_glass_above_a_crowd_of_cells_is_no_border(field):
    glass = np.full((60, 320, 3), np.median(field.reshape(-1, 3), axis=0), np.uint8)
    noise = np.random.default_rng(0).normal(0, 1.5, glass.shape)
    assert borders.find(np.vstack([np.clip(glass + noise, 0, 255).astype(np.uint8), field])) is None


def test_the_surround_of_a_round_field_is_no_border(field):
    mask = np.zeros(field.shape[:2], np.uint8)
    cv2.circle(mask, (160, 120), 110, 255, -1)
    assert borders.find(np.where(mask[..., None] > 0, field, 0).astype(np.uint8)) is None


def test_too_little_between_bars_is_not_taken_for_a_field(field):
    assert borders.find(framed(field[:20], 15, 15, 0, 0, (0, 0, 0))) is None


def test_regions_that_are_there_stay_and_unreadable_pictures_too(field, tmp_path):
    cv2.imwrite(str(tmp_path / "framed.png"), framed(field, 10, 10, 0, 0, (0, 0, 0)))
    (tmp_path / "broken.png").write_bytes(b"no picture")

    def named(name, roi=None):
        return LabelledField(tmp_path / name, "ALL", "g", "l", 0.5, roi=roi)

    own = Roi(1, 2, 100, 100)
    fields = [named("framed.png"), named("framed.png", own), named("broken.png"), named(Path("missing.png"))]
    seen = []
    assert [done.roi for done in borders.remove(fields, seen.append)] == [Roi(0, 11, 320, 238), own, None, None]
    assert seen == [1, 2, 3, 4]
