"""The quality gate: good fields of every kind pass, and each fault is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.simulator import Stain
from edge.vision import nuclei, quality
from edge.vision.field import prepare
from edge.vision.nuclei import Nuclei

KINDS = ["ALL", "MM", "normal"]
FIGURES = ["focus", "brightness", "saturation", "foreground", "field", "contrast", "crushed", "stain"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "seen",
    [{}, {"illumination": 0.3, "noise": 4.0}, {"exposure": 0.6}, {"defocus_um": 0.5}, {"white_balance": (0.8, 0.7)}],
)
def test_good_fields_of_every_kind_are_usable(look: Callable[..., Any], kind: str, seen: dict[str, Any]) -> None:
    found = look(kind=kind, **seen).quality
    assert found.usable, found
    assert found.reasons == ()
    assert found.field == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"defocus_um": 2.0}, "out of focus"),
        ({"defocus_um": 5.0}, "out of focus"),
        ({"exposure": 0.1}, "under-exposed"),
        ({"exposure": 0.0}, "under-exposed"),
        ({"exposure": 3.0}, "over-exposed"),
        ({"exposure": 10.0}, "over-exposed"),
        ({"white_cells": 0.0, "red_cells": 0.0, "debris": 0.0}, "blank field"),
        ({"round_field": 0.25}, "hardly any of the frame is lit"),
    ],
)
def test_each_fault_is_named_and_alone(
    look: Callable[..., Any], kind: str, fault: dict[str, float], reason: str
) -> None:
    found = look(kind=kind, **fault).quality
    assert not found.usable
    assert found.reasons == (reason,)


@pytest.mark.parametrize(("side_px", "is_told"), [(1, True), (31, True), (32, False)])
def test_a_piece_smaller_than_a_cell_is_named(look: Callable[..., Any], side_px: int, is_told: bool) -> None:
    raw = look(kind="MM").raw
    for piece in (raw[:side_px], raw[:, :side_px]):
        prepared = prepare(piece, 0.5, 0.5)
        reasons = quality.assess(prepared, nuclei.find(prepared.pixels, 0.5)).reasons
        assert ("smaller than a cell and what is around it" in reasons) is is_told


def test_a_colour_clipped_to_black_is_named(look: Callable[..., Any]) -> None:
    blue_gone = look(kind="normal", red_cells=25_000.0, stain=Stain(red_cell=(3.0, 0.1, 0.05))).quality
    assert blue_gone.reasons == ("a colour is clipped to black",)
    assert blue_gone.crushed > quality.MOST_CRUSHED


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_not_the_colours_of_a_stain_is_named(look: Callable[..., Any], kind: str) -> None:
    """A smear seen in grey, and one dyed green."""
    raw = look(kind=kind).raw
    green = raw.copy()
    green[..., 1] = raw[..., [0, 2]].max(axis=2)
    for pixels in (np.repeat(raw[..., 1:2], 3, axis=2), green):
        prepared = prepare(pixels, 0.5, 0.5)
        found = quality.assess(prepared, nuclei.find(prepared.pixels, 0.5))
        assert found.stain < 0.75 * quality.LEAST_STAIN
        assert found.reasons == ("not the colours of a stained smear",)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("amount", [0.5, 1.0, 1.5])
def test_the_colours_of_a_stain_do_not_depend_on_how_much_of_it_there_is(
    look: Callable[..., Any], kind: str, amount: float
) -> None:
    stain = Stain(**{name: tuple(amount * part for part in value) for name, value in asdict(Stain()).items()})
    assert 0.5 < look(kind=kind, stain=stain).quality.stain < 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_field_is_not_under_exposed(look: Callable[..., Any], kind: str) -> None:
    found = look(kind=kind, round_field=0.9).quality
    assert found.usable, found
    assert 0.3 < found.field < 0.5


@pytest.mark.parametrize("fault", [{"exposure": 0.1}, {"exposure": 3.0}, {"defocus_um": 3.0}])
def test_a_fault_is_seen_in_a_round_field_as_in_a_full_one(look: Callable[..., Any], fault: dict[str, float]) -> None:
    assert look(round_field=0.9, **fault).quality.reasons == look(**fault).quality.reasons != ()


@pytest.mark.parametrize("kind", KINDS)
def test_focus_falls_with_defocus(look: Callable[..., Any], kind: str) -> None:
    figures = [look(kind=kind, defocus_um=um).quality.focus for um in (0.12, 0.6, 1.0, 2.0, 3.0, 5.0)]
    assert all(sharper > duller for sharper, duller in pairwise(figures)), figures


@pytest.mark.parametrize("defocus_um", [0.12, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_focus_hardly_depends_on_how_many_cells_there_are(
    look: Callable[..., Any], kind: str, defocus_um: float
) -> None:
    figures = [look(kind=kind, white_cells=n, defocus_um=defocus_um).quality.focus for n in (400.0, 1500.0)]
    assert max(figures) < 1.35 * min(figures)


@pytest.mark.parametrize("exposure", [0.5, 1.0])
def test_focus_does_not_depend_on_exposure(look: Callable[..., Any], exposure: float) -> None:
    assert look(exposure=exposure).quality.focus == pytest.approx(look(exposure=0.7).quality.focus, rel=0.1)


def test_brightness_is_the_level_of_glass(look: Callable[..., Any]) -> None:
    bright, dim = look(noise=0.0).quality.brightness, look(noise=0.0, exposure=0.5).quality.brightness
    assert dim == pytest.approx(bright / 2, rel=0.02)
    assert look(white_balance=(1.0, 0.5)).quality.brightness == pytest.approx(bright / 2, rel=0.02)


def stained(coarse: NDArray[np.uint8]) -> Nuclei:
    """Give nuclei that cover these pixels of half the resolution."""
    height, width = coarse.shape
    return Nuclei(coarse, np.zeros((3, height, width), np.uint8), np.zeros((0, 2), np.float32), (2 * width, 2 * height))


@pytest.mark.parametrize("density", [0.0, 0.3, 0.9])
def test_contrast_is_the_density_of_stain_over_glass(density: float) -> None:
    pixels = np.full((160, 240, 3), 220, np.uint8)
    pixels[40:120, 60:180] = round(220 / 10**density)
    found = quality.assess(prepare(pixels, 0.5, 0.5), stained(np.zeros((80, 120), np.uint8)))
    assert found.contrast == pytest.approx(density, abs=0.03)
    assert (found.reasons == ("blank field",)) == (density < quality.LEAST_CONTRAST_OD)


def test_shares_are_of_the_lit_field() -> None:
    pixels = np.full((160, 240, 3), 200, np.uint8)
    pixels[40:120, 60:180] = 255
    pixels[70:90, 100:140, 0] = 0
    nuclei = np.zeros((80, 120), np.uint8)
    nuclei[:20, :30] = 1
    found = quality.assess(prepare(pixels, 0.5, 0.5), stained(nuclei))
    assert found.saturation == pytest.approx((80 * 120 - 20 * 40) / (160 * 240))
    assert found.foreground == pytest.approx(1 / 16)
    assert found.crushed == pytest.approx(20 * 40 / (160 * 240))
    pixels[:, :80] = 0
    pixels[:, -80:] = 0
    found = quality.assess(prepare(pixels, 0.5, 0.5), stained(nuclei * 0))
    assert 0.2 < found.field < 1 / 3
    assert found.saturation == pytest.approx((80 * 80 - 20 * 40) / (160 * 80), abs=0.1)


def test_figures_are_plain_numbers_that_can_be_logged(look: Callable[..., Any]) -> None:
    found = look().quality
    assert type(found.usable) is bool
    for name in FIGURES:
        assert type(getattr(found, name)) is float, name


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("smear", [{}, {"exposure": 0.0}, {"exposure": 10.0}, {"round_field": 0.25}])
def test_figures_stay_in_their_ranges(look: Callable[..., Any], name: str, smear: dict[str, float]) -> None:
    figure = getattr(look(**smear).quality, name)
    assert figure >= 0
    assert figure <= 1 or name in ("focus", "contrast")
