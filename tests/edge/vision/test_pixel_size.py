"""The size of a pixel is found from lines of known pitch within its interval, and from red cells within theirs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frame import Pixels
from edge.simulator import Smear, draw, glass, micrometer
from edge.vision import red_cells
from edge.vision.micrometer import LEAST_LINES, measure


@pytest.mark.parametrize("um_per_px", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("illumination", [0.0, 0.5])
def test_a_stage_micrometer_gives_the_size_of_a_pixel(um_per_px: float, illumination: float) -> None:
    smear = Smear(size_px=(640, 480), um_per_px=um_per_px, illumination=illumination, noise=4.0)
    found = measure(micrometer(smear, 1), 10.0)
    assert found is not None
    assert found.low <= um_per_px <= found.high
    assert found.high - found.low < 0.005 * um_per_px
    assert found.marks >= LEAST_LINES


def lines(period_px: float, angle_deg: float, width_px: float, dark: bool) -> Pixels:
    """Draw lines at any angle, smooth enough not to alias."""
    angle = np.deg2rad(angle_deg)
    x, y = np.meshgrid(np.arange(360), np.arange(300))
    place = np.mod(x * np.cos(angle) + y * np.sin(angle), period_px)
    away = np.minimum(place, period_px - place)
    line = np.clip(width_px / 2 - away + 0.5, 0, 1)
    gray = 225 - 150 * line if dark else 40 + 150 * line
    return np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)


@settings(max_examples=30)
@given(
    period_px=st.floats(10, 24),
    angle_deg=st.floats(-90, 90),
    share=st.floats(0.15, 0.3),
    dark=st.booleans(),
)
def test_lines_are_measured_at_any_angle(period_px: float, angle_deg: float, share: float, dark: bool) -> None:
    found = measure(lines(period_px, angle_deg, max(2.0, share * period_px), dark), 10.0)
    assert found is not None
    assert found.um_per_px == pytest.approx(10.0 / period_px, rel=5e-3)


def test_the_pitch_scales_the_result() -> None:
    pixels = micrometer(Smear(size_px=(480, 360), um_per_px=0.25), 3)
    tens, hundreds = measure(pixels, 10.0), measure(pixels, 100.0)
    assert tens is not None
    assert hundreds is not None
    assert hundreds.um_per_px == pytest.approx(10 * tens.um_per_px)


def test_what_has_no_even_lines_gives_nothing() -> None:
    smear = Smear(size_px=(480, 360))
    noise = np.random.default_rng(1).integers(0, 256, (360, 480, 3), np.uint8)
    ramp = np.repeat(np.tile(np.linspace(0, 255, 480), (360, 1))[..., None], 3, axis=2).astype(np.uint8)
    two = np.full((360, 480, 3), 220, np.uint8)
    two[:, 100:110] = two[:, 300:310] = 30
    for pixels in (glass(smear, 1), draw(smear, 1).pixels, noise, ramp, two, np.zeros_like(noise)):
        assert measure(pixels, 10.0) is None


@pytest.mark.parametrize("um_per_px", [0.1, 0.2])
def test_red_cells_give_the_size_of_a_pixel_within_what_people_differ_in(um_per_px: float) -> None:
    fields = [draw(Smear(kind="normal", size_px=(1000, 750), um_per_px=um_per_px), seed).pixels for seed in (1, 2)]
    found = red_cells.measure(fields)
    assert found is not None
    assert found.low <= um_per_px <= found.high
    assert found.marks >= red_cells.LEAST_CELLS


def discs(diameter_px: float, count: int, specks: int = 0) -> Pixels:
    pixels = np.full((600, 800, 3), 235, np.uint8)
    for number in range(count):
        x, y = 50 + 70 * (number % 10), 50 + 80 * (number // 10)
        cv2.circle(pixels, (x, y), round(diameter_px / 2), (170, 150, 215), -1, cv2.LINE_AA)
    for number in range(specks):
        cv2.circle(pixels, (12 + 19 * (number % 40), 10 + 80 * (number // 40)), 4, (150, 120, 160), -1)
    return pixels


def test_specks_and_platelets_are_no_red_cells() -> None:
    found = red_cells.measure([discs(36, 40, specks=200)])
    assert found is not None
    assert 7.2 / found.um_per_px == pytest.approx(36, abs=1.5)
    assert red_cells.measure([discs(36, 0, specks=200)]) is None
    assert red_cells.measure([discs(36, red_cells.LEAST_CELLS - 1)]) is None


@pytest.mark.parametrize(("um_per_px", "odd"), [(0.2, False), (0.17, False), (0.25, False), (0.1, True), (0.5, True)])
def test_another_objective_shows_by_red_cells(um_per_px: float, odd: bool) -> None:
    assert red_cells.are_odd(discs(36, 40), um_per_px) == odd


def test_a_very_flat_picture_shows_no_red_cells() -> None:
    assert not red_cells.are_odd(np.full((32, 90_000, 3), 235, np.uint8), 0.1)
    assert red_cells.measure([np.full((32, 90_000, 3), 235, np.uint8)]) is None
