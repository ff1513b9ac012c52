"""Tiles are varied by chance alone, and each variation does what it says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.vision.balance import WHITE
from trainer import augment
from trainer.augment import Augmentation

STILL = Augmentation(zoom=0, shift_px=0, density_jitter=0, gamma=0, gray=0, blur_px=0, noise=0, border=0)


@pytest.fixture
def tiles():
    """Eight tiles of smooth colour between a fifth and all of the light."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(50, 230, (8, 6, 6, 3)).astype(np.uint8)
    return np.stack([cv2.resize(tile, (48, 48), interpolation=cv2.INTER_CUBIC) for tile in coarse])


@pytest.mark.parametrize("side", [32, 33])
def test_shape_and_type_are_kept_and_the_seed_decides(tiles, side):
    def varied(seed):
        rng = np.random.default_rng(seed)
        return augment.camera(augment.warp(tiles, side, Augmentation(), rng), Augmentation(), rng)

    first = varied(1)
    assert first.shape == (8, side, side, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, varied(1))
    assert not np.array_equal(first, varied(2))


def test_what_is_given_is_not_changed(tiles):
    before = tiles.copy()
    mean, covariance = augment.stain_statistics(tiles[::-1])
    augment.restain(tiles, mean, covariance, np.ones(8, np.float32))
    augment.camera(tiles, Augmentation(), np.random.default_rng(0))
    augment.warp(tiles, 32, Augmentation(), np.random.default_rng(0))
    assert np.array_equal(tiles, before)


def test_statistics_are_those_of_optical_density():
    tile = np.full((1, 4, 4, 3), (WHITE, WHITE, WHITE), np.uint8)
    tile[:, :2] = (WHITE, WHITE / 10, WHITE)
    mean, covariance = augment.stain_statistics(tile)
    assert mean[0] == pytest.approx([0, 0.5, 0], abs=0.01)
    assert covariance[0] == pytest.approx(np.diag([0, 0.25, 0]), abs=0.01)


def test_another_stain_moves_mean_and_covariance_to_it(tiles):
    # Half as strong, so that no level is clipped.
    donors = augment.camera(np.full_like(tiles, WHITE) - (WHITE - tiles[::-1]) // 2, STILL, np.random.default_rng(0))
    mean, covariance = augment.stain_statistics(donors)
    dressed = augment.restain(tiles, mean, covariance, np.ones(8, np.float32))
    dressed_mean, dressed_covariance = augment.stain_statistics(dressed)
    own_mean, own_covariance = augment.stain_statistics(tiles)
    assert np.abs(dressed_mean - mean).max() < 0.01 < np.abs(own_mean - mean).max()
    assert np.abs(dressed_covariance - covariance).max() < 0.003 < np.abs(own_covariance - covariance).max()


def test_a_tiles_own_stain_and_no_share_of_another_leave_it(tiles):
    own = augment.stain_statistics(tiles)
    foreign = augment.stain_statistics(tiles[::-1])
    for statistics, mix in ((own, 1), (foreign, 0)):
        dressed = augment.restain(tiles, *statistics, np.full(8, mix, np.float32))
        assert np.abs(dressed.astype(int) - tiles).max() <= 1


def test_half_a_share_lies_between(tiles):
    mean, covariance = augment.stain_statistics(tiles[::-1])
    half = augment.stain_statistics(augment.restain(tiles, mean, covariance, np.full(8, 0.5, np.float32)))[0]
    assert half == pytest.approx((augment.stain_statistics(tiles)[0] + mean) / 2, abs=0.03)


@pytest.mark.parametrize("side", [32, 33])
def test_the_cell_in_the_centre_stays_within_its_shift(side):
    tiles = np.full((64, 48, 48, 3), WHITE, np.uint8)
    tiles[:, 22:26, 22:26] = 0
    settings = Augmentation(zoom=0.15, shift_px=3)
    warped = augment.warp(tiles, side, settings, np.random.default_rng(0))
    for tile in warped:
        dark = cv2.moments(255 - tile[..., 1])
        blank = cv2.moments(np.full((side, side), 255 - WHITE, np.uint8))
        mass, x, y = (dark[key] - blank[key] for key in ("m00", "m10", "m01"))
        apart = np.array([x / mass, y / mass]) - (side - 1) / 2
        assert np.abs(apart).max() <= 3 * np.sqrt(2) * 1.15 + 0.1
    still = augment.warp(tiles, side, STILL, np.random.default_rng(0))
    for tile in still:
        rows, columns = np.nonzero(tile[..., 1] < WHITE // 2)
        assert (rows.mean(), columns.mean()) == pytest.approx(((side - 1) / 2,) * 2, abs=0.5)


def test_what_a_warp_brings_in_is_glass():
    warped = augment.warp(np.zeros((16, 32, 32, 3), np.uint8), 32, Augmentation(), np.random.default_rng(0))
    assert warped.max() == WHITE


def test_a_camera_without_strength_is_nearly_none(tiles):
    seen = augment.camera(tiles, STILL, np.random.default_rng(0))
    assert np.abs(seen.astype(int) - tiles).mean() < 3


def test_a_gray_camera_sees_no_colour(tiles):
    gray = Augmentation(density_jitter=0, gamma=0, gray=1, blur_px=0, noise=0, border=0)
    seen = augment.camera(tiles, gray, np.random.default_rng(0)).astype(int)
    assert np.abs(seen - seen[..., :1]).max() <= 1


def test_a_border_is_clear_glass_on_one_side(tiles):
    bordered = Augmentation(density_jitter=0, gamma=0, gray=0, blur_px=0, noise=0, border=1)
    for tile in augment.camera(tiles, bordered, np.random.default_rng(0)):
        sides = [tile[0], tile[-1], tile[:, 0], tile[:, -1]]
        assert sum(bool((side == WHITE).all()) for side in sides) == 1
