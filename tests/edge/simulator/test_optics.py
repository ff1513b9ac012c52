"""The microscope and the camera do to a field what their parameters say."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.frame import Pixels
from edge.simulator import Smear, draw
from edge.simulator.optics import GLASS_LEVEL, OD_STEPS, photograph

CELLS = Smear(kind="ALL", size_px=(400, 300), um_per_px=0.25, noise=0, illumination=0)
GLASS = replace(CELLS, white_cells=0, red_cells=0, debris=0)


def sharpness(pixels: Pixels) -> float:
    # Over two micrometres: between neighbours a strong blur leaves nothing but rounding.
    return float(np.std(pixels[:, 8:, 1].astype(float) - pixels[:, :-8, 1]))


def test_exposure_runs_from_black_to_saturated() -> None:
    means = [draw(replace(CELLS, exposure=exposure), 1).pixels.mean() for exposure in (0, 0.1, 0.5, 1, 2, 3)]
    assert means == sorted(set(means))
    assert means[0] == 0
    assert draw(replace(CELLS, exposure=0.1), 1).pixels.max() < 32
    assert (draw(replace(CELLS, exposure=3), 1).pixels.max(axis=2) == 255).mean() > 0.7
    assert (draw(CELLS, 1).pixels == 255).mean() == 0


def test_exposure_scales_light_linearly() -> None:
    full, half = (draw(replace(CELLS, exposure=exposure), 1).pixels.astype(int) for exposure in (1.0, 0.5))
    assert np.abs(full - 2 * half).max() <= 2


def test_defocus_takes_sharpness_and_keeps_light() -> None:
    fields = [draw(replace(CELLS, defocus_um=blur), 1).pixels for blur in (0, 0.2, 0.5, 1, 2, 5)]
    measured = [sharpness(pixels) for pixels in fields]
    assert measured == sorted(set(measured), reverse=True)
    for pixels in fields:
        assert pixels.mean() == pytest.approx(fields[0].mean(), rel=0.02)


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 400), sigma_px=st.floats(0.3, 12))
def test_the_blur_has_no_seams(height: int, sigma_px: float) -> None:
    grain = np.random.default_rng(0).integers(0, OD_STEPS, (height, 60, 3)).astype(np.uint16)
    # Blurred beforehand: what is compared is the method's seams, not its loss of the finest grain.
    absorbance = np.asarray(cv2.GaussianBlur(grain, (0, 0), 6), np.uint16)
    smear = Smear(size_px=(60, height), um_per_px=0.1, defocus_um=0.1 * sigma_px, noise=0, illumination=0)
    expected = cv2.GaussianBlur(GLASS_LEVEL * 10 ** (-absorbance.astype(np.float32) / OD_STEPS), (0, 0), sigma_px)
    photo = photograph(absorbance.copy(), smear, np.random.default_rng(0))
    assert np.abs(photo - expected).max() < 2.5


@pytest.mark.parametrize("sigma", [0.0, 1.5, 6.0, 20.0])
def test_noise_has_the_standard_deviation_asked_for(sigma: float) -> None:
    dark_enough = replace(GLASS, exposure=0.5, defocus_um=0)
    noise = draw(replace(dark_enough, noise=sigma), 0).pixels.astype(float) - draw(dark_enough, 0).pixels
    assert noise.std() == pytest.approx(sigma, rel=0.05, abs=0.01)
    assert abs(noise.mean()) < 0.1 + 0.01 * sigma


def test_light_falls_off_toward_the_corners() -> None:
    darkest = []
    for falloff in (0, 0.2, 0.5, 1):
        pixels = draw(replace(GLASS, illumination=falloff), 2).pixels.mean(axis=2)
        corners = [pixels[y, x] for y in (0, -1) for x in (0, -1)]
        assert pixels[100:200, 150:250].max() > 0.93 * GLASS_LEVEL
        assert min(corners) <= pixels.min() + 4
        darkest.append(min(corners))
    assert darkest == sorted(set(darkest), reverse=True)
    assert darkest[-1] < 6


def test_a_round_field_is_dark_outside_and_untouched_inside() -> None:
    whole, round_field = (draw(replace(CELLS, round_field=diameter), 3).pixels for diameter in (None, 0.8))
    y, x = np.mgrid[:300, :400]
    away_px = np.hypot(x - 199.5, y - 149.5)
    radius_px = 0.8 * 150
    assert round_field[away_px > radius_px + 8].max() < 4
    assert np.array_equal(round_field[away_px < radius_px - 8], whole[away_px < radius_px - 8])


def test_a_smaller_round_field_lights_less() -> None:
    lit = [(draw(replace(GLASS, round_field=diameter), 3).pixels > 100).mean() for diameter in (0.2, 0.5, 1.0, 1.5)]
    assert lit == sorted(set(lit))


def test_white_balance_changes_red_and_blue_alone() -> None:
    plain, balanced = (draw(replace(GLASS, white_balance=gains), 0).pixels for gains in ((1.0, 1.0), (0.8, 0.5)))
    blue, green, red = (balanced / plain).mean(axis=(0, 1))
    assert green == 1
    assert red == pytest.approx(0.8, abs=0.01)
    assert blue == pytest.approx(0.5, abs=0.01)
