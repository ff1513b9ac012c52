"""Uneven light is measured on an empty field, taken out of every later one, and its drift is seen."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from edge.frame import Pixels, WhiteField
from edge.simulator import Smear, draw, glass
from edge.vision import illumination
from edge.vision.field import prepare

LIT = {"size_px": (480, 360), "illumination": 0.35, "brightest": (0.3, 0.4), "um_per_px": 0.25}


def empty(**seen: object) -> np.ndarray:
    smear = Smear(**{**LIT, **seen})  # type: ignore[arg-type]
    return illumination.average([glass(smear, seed) for seed in range(4)])


@pytest.fixture(scope="module")
def white() -> WhiteField:
    return illumination.white_field(empty())


def test_frames_are_averaged_one_by_one_and_none_is_held() -> None:
    seen: list[weakref.ref[np.ndarray]] = []

    def frames() -> Iterator[Pixels]:
        for level in (10, 20, 60):
            frame = np.full((4, 5, 3), level, np.uint8)
            seen.append(weakref.ref(frame))
            assert sum(each() is not None for each in seen) <= 2
            yield frame

    assert np.array_equal(illumination.average(frames()), np.full((4, 5, 3), 30, np.float32))
    assert len(seen) == 3


def test_an_empty_field_becomes_even(white: WhiteField) -> None:
    before = glass(Smear(**LIT), 99)  # type: ignore[arg-type]
    after = illumination.flatten(before, white)

    def spread(pixels: Pixels) -> float:
        return float(np.ptp(cv2.blur(pixels, (21, 21))[20:-20:40, 20:-20:40].astype(float), axis=(0, 1)).max())

    assert spread(before) > 40
    assert spread(after) < 4
    assert np.abs(after.reshape(-1, 3).mean(axis=0) - white.level).max() < 1.5


def test_what_a_smear_shows_no_longer_depends_on_where_it_lies(white: WhiteField) -> None:
    uneven = draw(Smear(kind="ALL", **LIT), 1).pixels  # type: ignore[arg-type]
    even = draw(Smear(kind="ALL", **{**LIT, "illumination": 0.0}), 1).pixels  # type: ignore[arg-type]
    wanted = prepare(even, 0.25, 0.5).pixels.astype(int)
    corrected = prepare(uneven, 0.25, 0.5, white).pixels.astype(int)
    as_it_was = prepare(uneven, 0.25, 0.5).pixels.astype(int)
    assert np.abs(corrected - wanted).mean() < 2.5
    assert np.abs(corrected - wanted).mean() < np.abs(as_it_was - wanted).mean() / 3


def test_correcting_after_the_scale_is_as_good_as_before(white: WhiteField) -> None:
    pixels = draw(Smear(kind="MM", **LIT), 2).pixels  # type: ignore[arg-type]
    before = prepare(illumination.flatten(pixels, white), 0.25, 0.5).pixels.astype(int)
    after = prepare(pixels, 0.25, 0.5, white).pixels.astype(int)
    assert np.abs(before - after).max() <= 4
    assert np.abs(before - after).mean() < 0.5


def test_an_empty_well_lit_field_will_do() -> None:
    assert illumination.problems(empty()) == []
    assert illumination.problems(empty(round_field=0.9)) == []


@pytest.mark.parametrize(
    ("seen", "complaint"),
    [
        ({"exposure": 0.4}, "under-exposed"),
        ({"exposure": 1.5}, "over-exposed"),
        ({"white_balance": (1.0, 0.6)}, "coloured"),
        ({"illumination": 0.7}, "too uneven"),
    ],
)
def test_a_badly_lit_field_is_refused_with_what_to_do(seen: dict[str, object], complaint: str) -> None:
    (problem,) = illumination.problems(empty(**seen))
    assert complaint in problem
    assert ": " in problem


@pytest.mark.parametrize("kind", ["ALL", "normal"])
def test_a_field_with_cells_is_not_empty(kind: str) -> None:
    field = draw(Smear(kind=kind, size_px=(480, 360)), 1).pixels  # type: ignore[arg-type]
    assert any("not empty" in problem for problem in illumination.problems(illumination.average([field])))


def test_a_grain_of_dust_is_neither_refused_nor_kept(white: WhiteField) -> None:
    dusty = empty()
    cv2.circle(dusty, (240, 180), 4, (60.0, 60.0, 60.0), -1)
    assert illumination.problems(dusty) == []
    assert np.abs(illumination.white_field(dusty).gains - white.gains).max() < 0.03


def test_the_rim_of_a_round_field_is_not_brightened_without_bounds() -> None:
    white = illumination.white_field(empty(round_field=0.8))
    assert white.gains.max() < 1.8
    assert np.isfinite(white.gains).all()
    assert white.gains.min() >= 1.0


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        ((1.0, 1.0, 1.0), ()),
        ((0.9, 0.9, 0.9), ()),
        ((0.7, 0.7, 0.7), (illumination.BRIGHTNESS_DRIFTED,)),
        ((1.3, 1.3, 1.3), (illumination.BRIGHTNESS_DRIFTED,)),
        ((0.8, 1.0, 1.0), (illumination.COLOUR_DRIFTED,)),
        ((1.0, 1.0, 1.2), (illumination.COLOUR_DRIFTED,)),
        ((0.5, 0.7, 0.7), (illumination.BRIGHTNESS_DRIFTED, illumination.COLOUR_DRIFTED)),
    ],
)
def test_drift_of_brightness_and_of_colour_are_told_apart(
    white: WhiteField, factor: tuple[float, float, float], expected: tuple[str, ...]
) -> None:
    glass_level = np.asarray(white.level, np.float32) * np.asarray(factor, np.float32)
    assert illumination.drift(white, glass_level) == expected
    assert set(expected) <= illumination.DRIFTS
