"""The grid covers every pixel with a known number of tiles; tiles are cut where they lie, to the pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.vision import tiling
from edge.vision.balance import WHITE

lengths = st.integers(1, 400)
tiles_and_overlaps = st.integers(1, 120).flatmap(lambda tile: st.tuples(st.just(tile), st.integers(0, tile - 1)))
places = st.lists(st.tuples(st.integers(-60, 100), st.integers(-60, 100)), max_size=8).map(
    lambda corners: np.array(corners, np.int32).reshape(-1, 2)
)


@given(lengths, lengths, tiles_and_overlaps)
def test_every_pixel_is_covered(width: int, height: int, tile_and_overlap: tuple[int, int]) -> None:
    tile, overlap = tile_and_overlap
    covered = np.zeros((height, width), bool)
    for x, y in tiling.grid(width, height, tile, overlap):
        covered[y : y + tile, x : x + tile] = True
    assert covered.all()


@given(lengths, lengths, tiles_and_overlaps)
def test_no_tile_leaves_the_image_unless_the_image_is_smaller(
    width: int, height: int, tile_and_overlap: tuple[int, int]
) -> None:
    tile, overlap = tile_and_overlap
    corners = tiling.grid(width, height, tile, overlap)
    assert corners.min() == 0
    assert corners[:, 0].max() == max(0, width - tile)
    assert corners[:, 1].max() == max(0, height - tile)


@given(lengths, lengths, tiles_and_overlaps)
def test_the_number_of_tiles_is_that_of_the_formula(width: int, height: int, tile_and_overlap: tuple[int, int]) -> None:
    tile, overlap = tile_and_overlap
    columns, rows = (1 + math.ceil(max(0, length - tile) / (tile - overlap)) for length in (width, height))
    corners = tiling.grid(width, height, tile, overlap)
    assert corners.shape == (columns * rows, 2)
    assert corners.dtype == np.int32
    assert len({tuple(corner) for corner in corners.tolist()}) == len(corners)


@given(lengths, tiles_and_overlaps)
def test_neighbours_overlap_by_at_least_what_was_asked(length: int, tile_and_overlap: tuple[int, int]) -> None:
    tile, overlap = tile_and_overlap
    starts = tiling.grid(length, 1, tile, overlap)[:, 0]
    assert (np.diff(starts) > 0).all()
    assert (tile - np.diff(starts) >= overlap).all()


@pytest.mark.parametrize(
    ("width", "height", "tile", "overlap", "columns", "rows"),
    [
        (2560, 1920, 224, 32, 14, 10),
        (2560, 1920, 224, 0, 12, 9),
        (2560, 1920, 320, 0, 8, 6),
        (224, 224, 224, 0, 1, 1),
        (225, 224, 224, 0, 2, 1),
        (448, 449, 224, 0, 2, 3),
        (100, 10, 10, 9, 91, 1),
        (1, 1, 224, 32, 1, 1),
        (3, 2, 1, 0, 3, 2),
    ],
)
def test_counts_by_hand(width: int, height: int, tile: int, overlap: int, columns: int, rows: int) -> None:
    corners = tiling.grid(width, height, tile, overlap)
    assert len(corners) == columns * rows
    assert len(np.unique(corners[:, 0])) == columns
    assert len(np.unique(corners[:, 1])) == rows


def test_tiles_go_row_by_row_and_the_last_are_moved_inward() -> None:
    assert tiling.grid(25, 15, 10).tolist() == [[0, 0], [10, 0], [15, 0], [0, 5], [10, 5], [15, 5]]


@pytest.mark.parametrize(
    ("width", "height", "tile", "overlap"),
    [(0, 10, 5, 0), (10, 0, 5, 0), (10, 10, 0, 0), (10, 10, 5, 5), (10, 10, 5, -1)],
)
def test_an_impossible_grid_is_refused(width: int, height: int, tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="no grid"):
        tiling.grid(width, height, tile, overlap)


@given(st.lists(st.tuples(st.floats(-50, 3000), st.floats(-50, 3000)), max_size=5), st.integers(1, 224))
def test_a_tile_around_a_point_has_it_in_its_middle(centres: list[tuple[float, float]], tile: int) -> None:
    points = np.array(centres, np.float32).reshape(-1, 2)
    corners = tiling.around(points, tile)
    assert corners.shape == points.shape
    assert (np.abs(corners + (tile - 1) / 2 - points) <= 0.501).all()


def test_the_middle_pixel_of_an_odd_tile_is_the_one_it_was_centred_on() -> None:
    image = np.arange(20 * 30 * 3, dtype=np.uint64).reshape(20, 30, 3).astype(np.uint8)
    (tile,) = tiling.cut(image, tiling.around(np.array([[12, 7]], np.float32), 9), 9)
    assert (tile[4, 4] == image[7, 12]).all()


@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 40), places)
def test_a_tile_is_a_slice_of_the_image_and_glass_beyond_its_edge(
    width: int, height: int, tile: int, corners: NDArray[np.int32]
) -> None:
    image = np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), np.uint8)
    margin = 200
    on_glass = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), constant_values=WHITE)
    tiles = tiling.cut(image, corners, tile)
    assert tiles.shape == (len(corners), tile, tile, 3)
    for copy, (x, y) in zip(tiles, corners + margin, strict=True):
        assert np.array_equal(copy, on_glass[y : y + tile, x : x + tile])


def test_tiles_are_copies() -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    tiling.cut(image, np.zeros((1, 2), np.int32), 5)[...] = 9
    assert not image.any()


@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 40), places)
def test_chromatin_is_the_share_of_the_tile_that_is_stained(
    width: int, height: int, tile: int, corners: NDArray[np.int32]
) -> None:
    mask = np.random.default_rng([width, height]).integers(0, 2, (height, width), np.uint8)
    padded = np.pad(mask, 200)
    expected = [padded[y : y + tile, x : x + tile].mean() for x, y in corners + 200]
    assert np.allclose(tiling.chromatin(corners, tile, mask), expected)


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 10))
def test_of_many_fields_each_has_its_own_sample(owners: list[int], most: int) -> None:
    chosen = tiling.sample_of_each(np.array(owners, np.int64), most)
    for owner in set(owners):
        own = np.flatnonzero(np.array(owners) == owner)
        assert np.flatnonzero(chosen[own]).tolist() == tiling.sample(len(own), most).tolist()


@given(st.integers(0, 500), st.integers(1, 100))
def test_a_sample_is_spread_evenly_over_all_there_are(count: int, most: int) -> None:
    chosen = tiling.sample(count, most)
    assert len(chosen) == min(count, most)
    if count <= most:
        assert chosen.tolist() == list(range(count))
    else:
        steps = np.diff(np.concatenate([[-1 - chosen[0]], chosen, [2 * count - 1 - chosen[-1]]]))
        assert chosen[0] >= 0
        assert chosen[-1] < count
        assert steps.max() - steps.min() <= 2
