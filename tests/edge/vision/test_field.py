"""A frame made ready: the lit circle of an eyepiece adapter is told from dark cells, and what is outside is glass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from edge.vision import field, nuclei, quality
from edge.vision.balance import WHITE


@pytest.mark.parametrize("diameter", [0.6, 0.9, 1.15])
def test_the_lit_circle_is_found(look: Callable[..., Any], diameter: float) -> None:
    prepared = look(round_field=diameter).field
    truth = np.zeros(prepared.pixels.shape[:2], np.uint8)
    cv2.circle(truth, (256, 192), round(diameter * 384 / 2), 255, -1)
    assert prepared.inside is not None
    assert set(np.unique(prepared.inside)) == {0, 255}
    # The rim is a gradient of 2 um: a pixel here and there is dark and inside.
    assert (prepared.inside > truth).sum() < 0.001 * (truth > 0).sum()
    assert (prepared.inside > 0).sum() > 0.85 * (truth > 0).sum()


@pytest.mark.parametrize("kind", ["ALL", "MM", "normal"])
@pytest.mark.parametrize("fault", [{}, {"illumination": 0.35}, {"exposure": 0.1}, {"exposure": 0.0}, {"exposure": 3.0}])
def test_a_frame_lit_everywhere_has_no_surround(look: Callable[..., Any], kind: str, fault: dict[str, float]) -> None:
    assert look(kind=kind, **fault).field.inside is None


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_a_dark_cell_in_a_corner_is_no_surround(look: Callable[..., Any], corner: tuple[int, int]) -> None:
    raw = look().raw.copy()
    height, width = raw.shape[:2]
    place = (0 if corner[1] == 0 else width - 1, 0 if corner[0] == 0 else height - 1)
    cv2.circle(raw, place, 20, (10, 5, 10), -1)
    assert field.lit(raw) is None


def test_a_dark_bar_along_one_side_is_a_surround(look: Callable[..., Any]) -> None:
    raw = look().raw.copy()
    raw[:, :60] = 3
    inside = field.lit(raw)
    assert inside is not None
    assert not inside[:, :60].any()
    assert inside[:, 80:].all()


def test_outside_the_circle_there_is_clear_glass(look: Callable[..., Any]) -> None:
    looked = look(round_field=0.9)
    prepared = looked.field
    outside = prepared.inside == 0
    assert (prepared.pixels[outside] == WHITE).all()
    assert looked.raw[outside].mean() < 60


def test_a_round_field_has_the_glass_of_a_full_one(look: Callable[..., Any]) -> None:
    round_one, full = look(round_field=0.9).field, look().field
    assert np.allclose(round_one.exposure.glass, full.exposure.glass, rtol=0.03)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (3, 9)])
@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("um_per_px", [0.1, 0.5])
def test_a_frame_of_a_few_pixels_is_looked_at_and_found_unusable(
    shape: tuple[int, int], level: int, um_per_px: float
) -> None:
    prepared = field.prepare(np.full((*shape, 3), level, np.uint8), um_per_px, 0.5)
    found = nuclei.find(prepared.pixels, 0.5, prepared.inside)
    assert not quality.assess(prepared, found).usable
