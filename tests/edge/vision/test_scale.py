"""One physical scale: sizes, means and shapes survive, and what cannot be a microscope's is refused."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import simulator
from edge.errors import ScaleError
from edge.simulator import Smear
from edge.vision import scale

scales_um = st.floats(scale.SMALLEST_UM_PER_PX, scale.LARGEST_UM_PER_PX)


@given(st.integers(1, 300), st.integers(1, 300), scales_um, scales_um)
def test_the_size_is_that_of_the_formula(width: int, height: int, um_per_px: float, to_um_per_px: float) -> None:
    s = um_per_px / to_um_per_px
    pixels = np.full((height, width, 3), 77, np.uint8)
    if s > 2:
        with pytest.raises(ScaleError):
            scale.resample(pixels, um_per_px, to_um_per_px)
        return
    resampled = scale.resample(pixels, um_per_px, to_um_per_px)
    assert resampled.shape == (max(1, round(height * s)), max(1, round(width * s)), 3)
    assert resampled.dtype == np.uint8
    assert (resampled == 77).all()


def test_an_image_already_at_scale_is_handed_on_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (31, 17, 3), np.uint8)
    assert scale.resample(pixels, 0.25, 0.25) is pixels


@pytest.mark.parametrize("to_um_per_px", [0.1, 0.15, 0.2, 0.33, 0.4, 0.5, 0.8, 1.7])
def test_the_mean_of_each_channel_is_preserved(to_um_per_px: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    pixels[..., 1] //= 2
    pixels[..., 2] //= 4
    resampled = scale.resample(pixels, 0.1, to_um_per_px)
    assert np.allclose(resampled.mean(axis=(0, 1)), pixels.mean(axis=(0, 1)), atol=1)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_checkerboard_finer_than_the_scale_becomes_even_gray(factor: int) -> None:
    checks = np.indices((64, 96)).sum(axis=0) % 2 * 255
    pixels = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    resampled = scale.resample(pixels, 0.1, 0.1 * factor)
    assert resampled.shape == (64 // factor, 96 // factor, 3)
    assert (np.abs(resampled.astype(int) - 127.5) <= 0.5).all()


@pytest.mark.parametrize(("factor", "rounding"), [(2, 0.5), (4, 1.0), (8, 1.5)])
def test_each_pixel_is_the_mean_of_the_area_it_stands_for(factor: int, rounding: float) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (10 * factor, 12 * factor, 3), np.uint8)
    means = pixels.reshape(10, factor, 12, factor, 3).mean(axis=(1, 3))
    resampled = scale.resample(pixels, 0.1, 0.1 * factor)
    assert (np.abs(resampled - means) <= rounding + 1e-9).all()


def test_the_same_specimen_at_two_pixel_sizes_is_the_same_image_at_the_model_s() -> None:
    fine = simulator.draw(Smear(kind="MM", size_px=(1024, 768), um_per_px=0.25, noise=0), 3).pixels
    coarse = simulator.draw(Smear(kind="MM", size_px=(640, 480), um_per_px=0.4, noise=0), 3).pixels
    other = simulator.draw(Smear(kind="MM", size_px=(640, 480), um_per_px=0.4, noise=0), 4).pixels
    from_fine, from_coarse, from_other = (
        scale.resample(pixels, um_per_px, 0.5).astype(float)
        for pixels, um_per_px in ((fine, 0.25), (coarse, 0.4), (other, 0.4))
    )
    assert from_fine.shape == from_coarse.shape == (384, 512, 3)
    # Shapes drawn on two pixel grids differ a little along their edges.
    difference = np.abs(from_fine - from_coarse)
    assert difference.mean() < 2
    assert np.quantile(difference, 0.9) <= 5
    assert difference.mean() < 0.1 * np.abs(from_fine - from_other).mean()


@pytest.mark.parametrize("um_per_px", [0.04, 0.1, 0.11, 0.3])
def test_a_place_on_the_specimen_stays_where_it_is(um_per_px: float) -> None:
    pixels = np.zeros((600, 800, 3), np.uint8)
    cv2.circle(pixels, (500, 200), 40, (255, 255, 255), -1)
    resampled = scale.resample(pixels, um_per_px, 0.4)[..., 0].astype(float)
    y, x = ((np.indices(resampled.shape)[axis] * resampled).sum() / resampled.sum() for axis in (0, 1))
    ratio = um_per_px / 0.4
    assert math.hypot(x + 0.5 - 500.5 * ratio, y + 0.5 - 200.5 * ratio) < 0.6


@pytest.mark.parametrize("um_per_px", [0.0, -0.1, 0.009, 2.001, 1e9, math.inf, math.nan])
def test_no_microscope_has_such_pixels(um_per_px: float) -> None:
    with pytest.raises(ScaleError, match="--um-per-px") as refusal:
        scale.resample(np.zeros((4, 4, 3), np.uint8), um_per_px, 0.5)
    assert "\n" not in str(refusal.value)


def test_a_frame_over_twice_too_coarse_for_the_model_is_refused() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    assert scale.resample(pixels, 1.0, 0.5).shape == (8, 8, 3)
    with pytest.raises(ScaleError, match="too coarse for a model that works at"):
        scale.resample(pixels, 1.01, 0.5)
