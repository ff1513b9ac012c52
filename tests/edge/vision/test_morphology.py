"""Familiar numbers of cells, checked on drawn discs of known area and on the simulator's truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vision import morphology, nuclei
from edge.vision.balance import WHITE, expose
from edge.vision.field import Field

CHROMATIN_OD = (20, 100, 60)
CYTOPLASM_OD = (10, 20, 25)


def absorbing(density: NDArray[Any], um_per_px: float) -> Field:
    """Make the field whose pixels have these optical densities; shape (height, width, 3), hundredths."""
    pixels = np.rint(WHITE * 10 ** (-density / 100)).astype(np.uint8)
    return Field(pixels, expose(pixels), None, um_per_px)


def cells(
    centres_um: list[tuple[float, float]],
    um_per_px: float,
    nucleus_um: float = 4.0,
    cell_um: float = 6.0,
    size_um: tuple[float, float] = (150.0, 100.0),
) -> tuple[Field, nuclei.Nuclei]:
    """Draw round cells of known radii, in optical density."""
    width, height = (round(side / um_per_px) for side in size_um)
    density = np.zeros((height, width, 3), np.uint8)
    for radius_um, colour in ((cell_um, CYTOPLASM_OD), (nucleus_um, CHROMATIN_OD)):
        for x_um, y_um in centres_um:
            away = np.hypot(*(np.indices((height, width)) + 0.5 - np.array([y_um, x_um])[:, None, None] / um_per_px))
            density[away * um_per_px < radius_um] = colour
    # Without a sensor's noise any threshold between two colours is Otsu's.
    noisy = density + np.random.default_rng(1).normal(0, 2, density.shape)
    field = absorbing(np.clip(noisy, 0, 238), um_per_px)
    return field, nuclei.find(field.pixels, um_per_px)


APART = [(30.0, 30.0), (75.0, 30.0), (120.0, 30.0), (30.0, 70.0), (75.0, 70.0), (120.0, 70.0)]


@pytest.mark.parametrize("um_per_px", [0.2, 0.25, 0.4, 0.5])
@pytest.mark.parametrize("nucleus_um", [3.0, 4.0, 5.0])
def test_known_discs_are_measured_at_every_scale(nucleus_um: float, um_per_px: float) -> None:
    measured = morphology.measure(*cells(APART, um_per_px, nucleus_um))
    assert measured is not None
    assert measured.nuclei == 6
    # Half of the mask's soft rim is counted, so that a small nucleus is measured somewhat too large.
    assert measured.nuclear_area_um2 == pytest.approx(1.12 * math.pi * nucleus_um**2, rel=0.12)
    cytoplasm_um2 = math.pi * (6.0**2 - nucleus_um**2)
    around_um2 = 16.0**2 - math.pi * nucleus_um**2
    assert measured.cytoplasm_fraction == pytest.approx(cytoplasm_um2 / around_um2, rel=0.4)


def test_more_nucleus_in_the_same_cell_is_less_cytoplasm() -> None:
    small, large = (morphology.measure(*cells(APART, 0.25, nucleus_um)) for nucleus_um in (3.0, 5.0))
    assert small is not None
    assert large is not None
    assert large.nucleus_to_cytoplasm > 3 * small.nucleus_to_cytoplasm
    assert large.cytoplasm_fraction < 0.5 * small.cytoplasm_fraction


def test_figures_do_not_depend_on_the_scale() -> None:
    fine, coarse = (morphology.measure(*cells(APART, um_per_px)) for um_per_px in (0.2, 0.5))
    assert fine is not None
    assert coarse is not None
    assert coarse.nuclear_area_um2 == pytest.approx(fine.nuclear_area_um2, rel=0.1)
    assert coarse.nucleus_to_cytoplasm == pytest.approx(fine.nucleus_to_cytoplasm, rel=0.2)
    assert coarse.cytoplasm_fraction == pytest.approx(fine.cytoplasm_fraction, rel=0.2)


def test_touching_nuclei_share_their_area() -> None:
    measured = morphology.measure(*cells([(71.0, 50.0), (79.6, 50.0)], 0.25, nucleus_um=4.4))
    assert measured is not None
    assert measured.nuclei == 2
    assert measured.nuclear_area_um2 == pytest.approx(math.pi * 4.4**2, rel=0.2)


def test_what_lies_beyond_the_frame_is_not_counted_as_glass() -> None:
    whole = morphology.measure(*cells([(75.0, 50.0)], 0.25))
    at_the_edge = morphology.measure(*cells([(75.0, 0.0)], 0.25))
    assert whole is not None
    assert at_the_edge is not None
    assert at_the_edge.cytoplasm_fraction == pytest.approx(whole.cytoplasm_fraction, rel=0.1)


def test_a_field_without_nuclei_has_no_figures(look: Callable[..., Any]) -> None:
    seen = look(white_cells=0.0, red_cells=0.0, debris=0.0)
    assert morphology.measure(seen.field, seen.nuclei) is None


@pytest.mark.parametrize("kind", ["ALL", "MM"])
def test_nuclei_of_the_simulator_have_their_area(look: Callable[..., Any], kind: str) -> None:
    seen = look(kind=kind, white_cells=500.0)
    measured = morphology.measure(seen.field, seen.nuclei)
    assert measured is not None
    truth_um2 = np.median([cell.nucleus_um2 for cell in seen.truth])
    assert measured.nuclear_area_um2 == pytest.approx(truth_um2, rel=0.3)


def test_plasma_cells_have_more_cytoplasm_than_lymphoblasts(look: Callable[..., Any]) -> None:
    of_kind = {}
    for kind in ("ALL", "MM"):
        seen = look(kind=kind)
        of_kind[kind] = morphology.measure(seen.field, seen.nuclei)
    assert of_kind["MM"].nucleus_to_cytoplasm < 0.5 * of_kind["ALL"].nucleus_to_cytoplasm
    assert of_kind["MM"].cytoplasm_fraction > 1.5 * of_kind["ALL"].cytoplasm_fraction


def test_a_nucleus_whose_middle_is_between_its_lobes_does_not_count_as_glass() -> None:
    density = np.zeros((200, 300, 3), np.uint8)
    for x in (60, 240):
        cv2.circle(density, (x, 100), 16, CHROMATIN_OD, -1)
    cv2.circle(density, (150, 100), 15, CHROMATIN_OD, 6)
    field = absorbing(density, 0.25)
    found = nuclei.find(field.pixels, 0.25)
    ring = replace(found, centres=np.array([[60, 100], [150, 100], [240, 100]], np.float32))
    assert not found.mask[100, 150]
    measured = morphology.measure(field, ring)
    assert measured is not None
    assert measured.nuclear_area_um2 == pytest.approx(math.pi * 4.0**2, rel=0.1)
