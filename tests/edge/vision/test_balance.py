"""White balance takes the lamp and the camera away, and what stays is what the specimen absorbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vision import balance
from edge.vision.balance import OD_STEPS_PER_UNIT, WHITE


def even(level: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> balance.Pixels:
    return np.full((size[1], size[0], 3), level, np.uint8)


def test_a_colour_cast_of_camera_and_lamp_is_removed(look: Callable[..., Any]) -> None:
    plain = look(noise=0.0)
    cast = look(noise=0.0, white_balance=(0.8, 0.65), exposure=0.9)
    assert np.abs(plain.raw.astype(int) - cast.raw).mean() > 25
    assert np.abs(plain.field.pixels.astype(int) - cast.field.pixels).mean() < 1.5
    assert np.allclose(cast.field.exposure.glass / plain.field.exposure.glass, (0.9 * 0.65, 0.9, 0.9 * 0.8), rtol=0.02)


@pytest.mark.parametrize("level", [(232, 232, 232), (120, 180, 240), (17, 60, 255)])
def test_glass_comes_to_white_and_absorbs_nothing(level: tuple[int, int, int]) -> None:
    pixels = even(level)
    glass = balance.expose(pixels).glass
    assert glass.tolist() == list(level)
    balanced = balance.white_balance(pixels, glass)
    assert (balanced == WHITE).all()
    assert (balance.optical_density(balanced) == 0).all()


@given(st.integers(32, 255), st.floats(0.02, 0.5))
def test_twice_the_dye_absorbs_twice(glass: int, density: float) -> None:
    once, twice = (
        balance.optical_density(
            balance.white_balance(even((round(glass * 10 ** (-density * layers)),) * 3), np.full(3, glass, np.float32))
        )[:, 0, 0]
        for layers in (1, 2)
    )
    # Half a level of the darker of both is what rounding can take.
    step = OD_STEPS_PER_UNIT * 1.5 / np.log(10) / (glass * 10 ** (-2 * density)) + 2
    assert (np.abs(2 * once.astype(int) - twice) <= 2 * step).all()


def test_optical_density_is_the_logarithm_of_what_is_transmitted() -> None:
    levels = np.arange(1, 256)
    pixels = np.repeat(levels[None, :, None], 3, axis=2).astype(np.uint8)
    expected = np.maximum(-100 * np.log10(levels / WHITE), 0)
    assert (np.abs(balance.optical_density(pixels)[:, 0] - expected) <= 0.5).all()
    assert balance.optical_density(even((0, 0, 0))).max() == 238


def test_neither_dark_cells_nor_coloured_glare_are_glass() -> None:
    pixels = even((180, 200, 220), (100, 100))
    pixels[:40] = (120, 60, 90)
    pixels[40:50] = (255, 40, 255)
    assert balance.expose(pixels).glass.tolist() == [180, 200, 220]


def test_glass_is_looked_for_inside_the_lit_field_only() -> None:
    pixels = even((250, 250, 250), (100, 100))
    pixels[20:80, 20:80] = (150, 160, 170)
    inside = np.zeros((100, 100), np.uint8)
    inside[20:80, 20:80] = 255
    assert balance.expose(pixels, inside).glass.tolist() == [150, 160, 170]
    assert balance.expose(pixels, np.zeros_like(inside)).glass.tolist() == [255, 255, 255]


def test_glass_is_never_so_dark_that_noise_becomes_a_picture() -> None:
    assert balance.expose(even((0, 3, 200))).glass.tolist() == [16, 16, 200]


def test_a_large_image_has_the_glass_of_a_small_part_of_it_seen_evenly(look: Callable[..., Any]) -> None:
    raw = look().raw
    every = raw.shape[0] * raw.shape[1] // 20_000
    assert every > 3
    assert np.array_equal(balance.sampled(raw), raw[every // 2 :: every])
    assert np.array_equal(balance.sampled(raw[:100, :100]), raw[:100, :100])
    assert balance.sampled(np.tile(raw, (3, 1, 1))).size <= balance.sampled(raw).size * 1.1
    large = np.tile(raw, (3, 3, 1))
    assert np.allclose(balance.expose(large).glass, balance.expose(raw).glass, rtol=0.01)


def test_of_a_wide_strip_a_row_is_seen() -> None:
    strip = np.zeros((3, 200_000, 3), np.uint8)
    assert balance.sampled(strip).shape == (1, 200_000, 3)


def test_the_distribution_of_each_pixels_darkest_channel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(balance.expose(pixels).darkest, np.bincount(pixels.min(axis=2).ravel(), minlength=256))
