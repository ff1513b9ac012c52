"""What a simulated field shows, and that the truth about it is true."""

from collections import Counter
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.errors import ConfigurationError
from edge.frame import Pixels
from edge.simulator import Smear, SmearKind, draw, random_smear, random_stain

SMALL: dict[str, Any] = {"size_px": (640, 480), "um_per_px": 0.25}
GLASS = 232
KINDS: list[SmearKind] = ["ALL", "MM", "normal"]


def green_density(pixels: Pixels) -> NDArray[np.float64]:
    return np.asarray(-np.log10(np.maximum(pixels[..., 1], 1) / GLASS), np.float64)


def disc(shape: tuple[int, ...], x_px: float, y_px: float, radius_px: float) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.uint8)
    cv2.circle(mask, (round(x_px), round(y_px)), max(1, round(radius_px)), 1, -1)
    return mask.astype(bool)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_smear_and_seed_give_the_same_field(kind: SmearKind) -> None:
    smear = Smear(kind=kind, **SMALL)
    first, again, other = draw(smear, 1), draw(smear, 1), draw(smear, 2)
    assert np.array_equal(first.pixels, again.pixels)
    assert first.cells == again.cells
    assert not np.array_equal(first.pixels, other.pixels)
    assert first.cells != other.cells


@pytest.mark.parametrize("kind", KINDS)
def test_every_nucleus_of_the_truth_is_dark_and_of_its_size(kind: SmearKind) -> None:
    smear = Smear(kind=kind, white_cells=1000, noise=0, illumination=0, **SMALL)
    field = draw(smear, 5)
    density = green_density(field.pixels)
    assert len(field.cells) > 5
    for cell in field.cells:
        area_px = cell.nucleus_um2 / smear.um_per_px**2
        around = disc(density.shape, cell.x_px, cell.y_px, 1.6 * cell.nucleus_radius_um / smear.um_per_px)
        whole = min(cell.x_px, cell.y_px, 639 - cell.x_px, 479 - cell.y_px) * smear.um_per_px > 10
        if whole:
            assert (density[around] > 0.3).sum() > 0.75 * area_px, cell


def test_no_nucleus_is_missing_from_the_truth() -> None:
    smear = Smear(kind="ALL", red_cells=0, debris=0, noise=0, illumination=0, **SMALL)
    field = draw(smear, 5)
    known = np.zeros(field.pixels.shape[:2], bool)
    for cell in field.cells:
        known |= disc(known.shape, cell.x_px, cell.y_px, (1.4 * cell.nucleus_radius_um + 0.5) / smear.um_per_px)
    rim = 40  # Nuclei whose centre is outside reach in this far.
    dark = green_density(field.pixels)[rim:-rim, rim:-rim] > 0.4
    assert dark.sum() > 5000
    assert (dark & ~known[rim:-rim, rim:-rim]).sum() < 0.01 * dark.sum()


@pytest.mark.parametrize(("kind", "typical"), [("ALL", "lymphoblast"), ("MM", "plasma cell"), ("normal", "neutrophil")])
def test_each_kind_of_smear_is_led_by_its_own_cells_among_normal_ones(kind: SmearKind, typical: str) -> None:
    field = draw(Smear(kind=kind, white_cells=1200, red_cells=0, size_px=(600, 500), um_per_px=0.5), 0)
    counts = Counter(cell.kind for cell in field.cells)
    assert counts.most_common(1)[0][0] == typical
    assert counts[typical] > sum(counts.values()) / 2
    assert len(counts) > 2


def test_normal_blood_has_few_white_cells_among_many_red_ones() -> None:
    smears = {kind: Smear(kind=kind, size_px=(500, 400), um_per_px=0.5) for kind in KINDS}
    counts = {kind: len(draw(smear, 0).cells) for kind, smear in smears.items()}
    assert 0 < 5 * counts["normal"] < min(counts["ALL"], counts["MM"])
    red_cells = draw(replace(smears["normal"], white_cells=0, debris=0), 0)
    assert red_cells.cells == ()
    assert 0.15 < (green_density(red_cells.pixels) > 0.1).mean() < 0.7


def test_nuclear_sizes_are_those_of_the_atlas() -> None:
    cells = draw(Smear(kind="MM", white_cells=2000, red_cells=0, size_px=(800, 600), um_per_px=0.5), 0).cells
    median_um2 = {
        kind: np.median([cell.nucleus_um2 for cell in cells if cell.kind == kind])
        for kind in ("plasma cell", "erythroblast", "monocyte")
    }
    assert 25 < median_um2["erythroblast"] < median_um2["plasma cell"] < median_um2["monocyte"] < 160


def test_more_red_cells_cover_more_glass() -> None:
    covered = [
        (green_density(draw(Smear(red_cells=density, white_cells=0, debris=0, **SMALL), 3).pixels) > 0.08).mean()
        for density in (0, 1000, 4000, 12_000)
    ]
    assert covered == sorted(covered)
    assert covered[0] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_with_nothing_on_it_the_field_is_bare_glass(kind: SmearKind) -> None:
    field = draw(Smear(kind=kind, white_cells=0, red_cells=0, debris=0, noise=0, illumination=0, **SMALL), 0)
    assert field.cells == ()
    assert field.pixels.std(axis=(0, 1)).max() < 2
    assert field.pixels.min() > 200


def test_another_stain_or_microscope_shows_the_same_cells() -> None:
    smear = Smear(kind="MM", **SMALL)
    cells = draw(smear, 4).cells
    stain = random_stain(np.random.default_rng(0))
    for change in (
        replace(smear, stain=stain),
        replace(smear, defocus_um=2.0),
        replace(smear, noise=9.0),
        replace(smear, exposure=0.2),
        replace(smear, round_field=0.8),
    ):
        assert draw(change, 4).cells == cells


def test_another_camera_shows_the_same_cells_at_its_own_scale() -> None:
    fine = draw(Smear(kind="MM", size_px=(1000, 750), um_per_px=0.1), 6).cells
    coarse = draw(Smear(kind="MM", size_px=(250, 187), um_per_px=0.4), 6).cells
    fine_um = {(cell.kind, round(0.1 * cell.x_px), round(0.1 * cell.y_px)) for cell in fine}
    assert len(fine) > 5
    # Heights differ by a quarter of a micrometre.
    matched = sum(
        any(
            kind == cell.kind and abs(x - 0.4 * cell.x_px) < 2 and abs(y - 0.4 * cell.y_px) < 2
            for kind, x, y in fine_um
        )
        for cell in coarse
    )
    assert matched >= 0.9 * len(fine)
    fine_area, coarse_area = (np.median([cell.nucleus_um2 for cell in cells]) for cells in (fine, coarse))
    assert coarse_area == pytest.approx(fine_area, rel=0.1)


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    um_per_px=st.floats(0.02, 1.0),
    seed=st.integers(0, 2**40),
)
def test_any_size_at_any_scale_is_drawn_whole(width: int, height: int, um_per_px: float, seed: int) -> None:
    smear = random_smear(np.random.default_rng(seed), size_px=(width, height), um_per_px=um_per_px)
    field = draw(smear, seed)
    assert field.pixels.shape == (height, width, 3)
    assert field.pixels.dtype == np.uint8
    for cell in field.cells:
        assert 0 <= cell.x_px <= width - 1
        assert 0 <= cell.y_px <= height - 1
        assert 5 < cell.nucleus_um2 < 260


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="seed"):
        draw(Smear(size_px=(8, 8)), -1)
