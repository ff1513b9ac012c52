"""Nuclei are found where the simulator drew them, one centre a cell, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vision import morphology, nuclei
from edge.vision.balance import WHITE, expose
from edge.vision.field import Field

KINDS = ["ALL", "MM", "normal"]
WHITE_CELLS = {"ALL": 1300.0, "MM": 1150.0, "normal": 600.0}
UM_PER_PX = 0.5


def distances_um(seen: Any) -> NDArray[np.float64]:
    """Between each true nucleus and each centre found."""
    apart = seen.truth_centres[:, None] - seen.nuclei.centres[None]
    return np.asarray(np.hypot(apart[..., 0], apart[..., 1]) * UM_PER_PX)


def away_from_the_edge(points: NDArray[Any], shape: tuple[int, ...], margin_um: float) -> NDArray[np.bool_]:
    height, width = shape[:2]
    rim = np.minimum(points, np.array([width - 1, height - 1]) - points).min(axis=1)
    return np.asarray(rim * UM_PER_PX > margin_um)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_nearly_every_nucleus_is_found_and_little_else(look: Callable[..., Any], kind: str, seed: int) -> None:
    seen = look(seed, kind=kind, white_cells=WHITE_CELLS[kind])
    apart_um = distances_um(seen)
    assert len(apart_um) >= 25
    recall = (apart_um.min(axis=1) < 4).mean()
    whole = away_from_the_edge(seen.nuclei.centres, seen.nuclei.mask.shape, 8)
    precision = (apart_um.min(axis=0)[whole] < 4).mean()
    assert recall > 0.93, recall
    assert precision > 0.9, precision


@pytest.mark.parametrize("cast", [{"white_balance": (0.7, 0.8)}, {"exposure": 0.6}, {"illumination": 0.25}])
def test_lamp_and_camera_hardly_matter(look: Callable[..., Any], cast: dict[str, Any]) -> None:
    plain, seen = look(), look(**cast)
    assert len(seen.nuclei.centres) == pytest.approx(len(plain.nuclei.centres), rel=0.06)
    assert seen.nuclei.mask.mean() == pytest.approx(plain.nuclei.mask.mean(), rel=0.1)


def test_the_lobes_of_a_neutrophil_share_a_centre(look: Callable[..., Any]) -> None:
    of_each = []
    for seed in (1, 2, 3):
        seen = look(seed, kind="normal", white_cells=400.0)
        apart_um = distances_um(seen)
        between = np.hypot(*(seen.truth_centres[:, None] - seen.truth_centres[None]).transpose(2, 0, 1)) * UM_PER_PX
        alone = (between + 1e9 * np.eye(len(between))).min(axis=1) > 18
        whole = away_from_the_edge(seen.truth_centres, seen.nuclei.mask.shape, 8)
        lobed = np.array([cell.kind == "neutrophil" for cell in seen.truth])
        of_each += (apart_um < 8).sum(axis=1)[alone & whole & lobed].tolist()
    assert len(of_each) >= 15
    assert np.mean(np.array(of_each) == 1) > 0.9, of_each


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found_on_blank_glass(look: Callable[..., Any], kind: str) -> None:
    seen = look(kind=kind, white_cells=0.0, red_cells=0.0, debris=0.0)
    assert not seen.nuclei.mask.any()
    assert seen.nuclei.centres.shape == (0, 2)


def test_red_cells_are_no_nuclei(look: Callable[..., Any]) -> None:
    seen = look(kind="normal", white_cells=0.0, debris=0.0)
    assert seen.quality.usable
    assert not seen.nuclei.mask.any()


def test_nothing_is_found_outside_the_lit_field(look: Callable[..., Any]) -> None:
    seen = look(round_field=0.9)
    x, y = np.rint(seen.nuclei.centres).astype(int).T
    assert len(x) > 10
    assert seen.field.inside[y, x].all()


def test_the_mask_is_of_zeros_and_ones_and_centres_come_largest_first(look: Callable[..., Any]) -> None:
    found = look().nuclei
    assert found.mask.dtype == np.uint8
    assert set(np.unique(found.mask)) == {0, 1}
    assert found.centres.dtype == np.float32
    cover = cv2.GaussianBlur(found.mask.astype(np.float32), (0, 0), 4)
    x, y = np.rint(found.centres).astype(int).T
    inside = away_from_the_edge(found.centres, found.mask.shape, 8)
    of_each = cover[y, x][inside]
    third = len(of_each) // 3
    assert of_each[:third].mean() > of_each[third:-third].mean() > of_each[-third:].mean()


def dots(rows: int, columns: int) -> NDArray[np.uint8]:
    """Draw so many specks of chromatin, 6 pixels wide, on clear glass."""
    density = np.zeros((12, 12, 3))
    density[2:8, 2:8] = (0.2, 1.0, 0.6)
    return np.tile(np.rint(WHITE * 10**-density).astype(np.uint8), (rows, columns, 1))


def test_a_large_noisy_picture_with_more_specks_than_labels_of_16_bits_is_survived() -> None:
    pixels = dots(270, 270)
    found = nuclei.find(pixels, 2.0)
    assert len(found.centres) > 65_535
    measured = morphology.measure(Field(pixels, expose(pixels), None, 2.0), found)
    assert measured is not None
    assert measured.nuclei == len(found.centres)
