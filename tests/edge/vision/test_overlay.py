"""The overlay lines up with the tiles to the pixel, in the colours of their classes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.frame import Pixels
from edge.result import TileResult
from edge.vision import overlay

CLASSES = ("ALL", "MM", "normal")
SIZES = [(640, 480), (2560, 1920)]


def scene(size: tuple[int, int]) -> Pixels:
    width, height = size
    return np.random.default_rng(0).integers(150, 240, (height, width, 3), np.uint8)


def tile(x_px: int, y_px: int, size_px: int, label: str = "MM", probability: float = 0.8) -> TileResult:
    rest = (1 - probability) / 2
    return TileResult(
        x_px, y_px, size_px, size_px, label, tuple(probability if name == label else rest for name in CLASSES)
    )


def covered(size: tuple[int, int], tiles: list[TileResult]) -> NDArray[np.bool_]:
    width, height = size
    mask = np.zeros((height, width), bool)
    for one in tiles:
        mask[max(0, one.y_px) : one.y_px + one.height_px, max(0, one.x_px) : one.x_px + one.width_px] = True
    return mask


@pytest.mark.parametrize("size", SIZES)
def test_the_frame_is_on_the_outermost_pixels_of_the_tile(size: tuple[int, int]) -> None:
    one = tile(320, 260, 101)
    picture = overlay.draw(scene(size), [one], CLASSES, "caption")
    inside = picture[260:361, 320:421]
    colour = overlay.COLOURS_BGR[1]
    for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert (edge == colour).all()
    assert not (inside[10:-10, 10:-10] == colour).all(axis=-1).any()


@pytest.mark.parametrize("size", SIZES)
def test_outside_the_tiles_no_pixel_changes(size: tuple[int, int]) -> None:
    width, height = size
    tiles = [
        tile(320, 260, 101),
        tile(380, 300, 80, "ALL", 0.99),
        tile(width - 30, height - 40, 101, "normal"),
        tile(-50, height - 60, 101),
        tile(330, 270, 1),
    ]
    with_tiles = overlay.draw(scene(size), tiles, CLASSES, "caption")
    without = overlay.draw(scene(size), [], CLASSES, "caption")
    differs = (with_tiles != without).any(axis=-1)
    assert not differs[~covered(size, tiles)].any()
    assert differs[covered(size, tiles)].mean() > 0.99


@pytest.mark.parametrize("size", SIZES)
def test_the_legend_stays_in_its_corner(size: tuple[int, int]) -> None:
    pixels = scene(size)
    rows, columns = np.nonzero((overlay.draw(pixels, [], CLASSES, "caption") != pixels).any(axis=-1))
    assert len(rows) > 100
    assert rows.max() < 0.2 * min(size)
    assert columns.max() < 0.3 * min(size)


def test_a_tile_is_tinted_the_more_the_more_probable() -> None:
    pixels = scene((640, 480))
    colour = np.array(overlay.COLOURS_BGR[0])
    distances = []
    for probability in (0.4, 0.7, 1.0):
        picture = overlay.draw(pixels, [tile(300, 200, 100, "ALL", probability)], CLASSES, "caption")
        distances.append(np.abs(picture[205:295, 305:395].astype(float) - colour).mean())
        expected = pixels + 0.25 * probability * (colour - pixels.astype(float))
        assert np.abs(picture[205:295, 305:395] - expected[205:295, 305:395]).max() <= 1
    assert all(more > less for more, less in pairwise(distances))


def test_where_tiles_overlap_the_more_probable_one_shows() -> None:
    sure, unsure = tile(300, 200, 100, "ALL", 0.95), tile(300, 200, 100, "normal", 0.5)
    pixels = scene((640, 480))
    pictures = [
        overlay.draw(pixels, tiles, CLASSES, "")[210:290, 310:390] for tiles in ([sure, unsure], [unsure, sure])
    ]
    assert np.array_equal(*pictures)
    assert np.array_equal(pictures[0], overlay.draw(pixels, [sure], CLASSES, "")[210:290, 310:390])


def test_colours_follow_the_order_of_the_classes_and_repeat() -> None:
    classes = tuple(f"class {number}" for number in range(8))
    for number, label in enumerate(classes):
        one = TileResult(300, 200, 50, 50, label, (1.0,) * 8)
        picture = overlay.draw(scene((640, 480)), [one], classes, "caption")
        assert tuple(picture[200, 320]) == overlay.COLOURS_BGR[number % len(overlay.COLOURS_BGR)]
    assert len(set(overlay.COLOURS_BGR)) == len(overlay.COLOURS_BGR)


def test_the_frame_as_captured_is_not_drawn_on() -> None:
    pixels = scene((640, 480))
    before = pixels.copy()
    overlay.draw(pixels, [tile(10, 10, 50)], CLASSES, "caption")
    assert np.array_equal(pixels, before)


def test_a_frame_smaller_than_its_legend_is_drawn_all_the_same() -> None:
    for size in ((1, 1), (1, 4000), (4000, 1)):
        picture = overlay.draw(np.zeros((*size, 3), np.uint8), [tile(-5, -5, 20)], CLASSES, "caption")
        assert picture.shape[0] * size[1] == picture.shape[1] * size[0]


def test_a_small_field_is_enlarged_until_its_legend_can_be_read() -> None:
    pixels = scene((224, 150))
    one = tile(120, 90, 31)
    picture = overlay.draw(pixels, [one], CLASSES, "caption")
    assert picture.shape == (450, 672, 3)
    assert np.array_equal(picture[300:450:3, :300:3], pixels[100:, :100])
    inside = picture[270:363, 360:453]
    for edge in (inside[:3], inside[-3:], inside[:, :3], inside[:, -3:]):
        assert (edge == overlay.COLOURS_BGR[1]).all()


squares = st.builds(
    lambda x, y, width, height, certainty: TileResult(x, y, width, height, "MM", (certainty,)),
    *(st.integers(-20, 40) for _ in range(2)),
    *(st.integers(1, 30) for _ in range(2)),
    st.sampled_from((0.5, 0.9)),
)


@given(st.lists(squares, max_size=6))
def test_each_pixel_is_of_the_nearest_tile_that_covers_it(tiles: list[TileResult]) -> None:
    owners = overlay.owned(36, (0, 24), tiles)
    y, x = np.mgrid[:24, :36]
    distances = np.full((len(tiles) + 1, 24, 36), np.inf)
    for distance, one in zip(distances, tiles, strict=False):
        apart = (x - one.x_px - (one.width_px - 1) / 2) ** 2 + (y - one.y_px - (one.height_px - 1) / 2) ** 2
        covers = (x >= one.x_px) & (x < one.x_px + one.width_px) & (y >= one.y_px) & (y < one.y_px + one.height_px)
        distance[covers] = apart[covers]
    assert np.array_equal(owners >= 0, np.isfinite(distances.min(axis=0)))
    assert np.array_equal(owners[7:15], overlay.owned(36, (7, 15), tiles))
    assert np.array_equal(np.take_along_axis(distances, owners[None], axis=0)[0], distances.min(axis=0))


def test_cells_that_touch_keep_their_own_colours() -> None:
    left, right = tile(300, 200, 100, "ALL"), tile(340, 200, 100, "normal", 0.95)
    picture = overlay.draw(scene((640, 480)), [left, right], CLASSES, "")
    alone = [overlay.draw(scene((640, 480)), [one], CLASSES, "") for one in (left, right)]
    assert np.array_equal(picture[205:295, 305:360], alone[0][205:295, 305:360])
    assert np.array_equal(picture[205:295, 380:435], alone[1][205:295, 380:435])
