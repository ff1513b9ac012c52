"""The way of a frame, whole: what is refused never reaches the model, what is judged lies where it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edge import pipeline, simulator, verdict
from edge.errors import ImageError, ScaleError
from edge.frame import Frame, SensorReport
from edge.model import Model, open_model, shelf
from edge.model.runtime import Outputs, Runtime
from edge.result import INDETERMINATE, FrameResult, TileResult
from edge.simulator import Smear
from edge.vision import nuclei, tiling
from edge.vision.balance import WHITE
from edge.vision.field import prepare

FIELD: dict[str, Any] = {"kind": "ALL", "size_px": (1024, 768), "um_per_px": 0.25}


@cache
def drawn(**smear: Any) -> simulator.Field:
    return simulator.draw(Smear(**{**FIELD, **smear}), 1)


def frame(**smear: Any) -> Frame:
    return Frame(
        pixels=drawn(**smear).pixels,
        name="sim:7",
        sequence=7,
        um_per_px=smear.get("um_per_px", FIELD["um_per_px"]),
        wall_time_s=1_800_000_000.5,
        monotonic_s=123.25,
        capture_ms=4.5,
        sensor=SensorReport(1000.0, 2.0, (1.5, 1.25)),
    )


@pytest.fixture(scope="module")
def model() -> Model:
    """Return the model that ships; what it thinks of simulated fields is not promised, so nothing is refused."""
    found = open_model(shelf.find(None))
    return with_decision(with_novelty_of(found, 0.1), least_probability=0.0, least_tiles=1, novelty_warns=0.5)


def with_decision(model: Model, **changes: Any) -> Model:
    description = model.bundle.description
    decision = msgspec.structs.replace(description.decision, **changes)
    described = msgspec.structs.replace(description, decision=decision)
    return replace(model, bundle=replace(model.bundle, description=described))


def with_tiling(model: Model, **changes: Any) -> Model:
    description = model.bundle.description
    tiles = msgspec.structs.replace(description.tiling, **changes)
    described = msgspec.structs.replace(description, tiling=tiles)
    return replace(model, bundle=replace(model.bundle, description=described))


def with_novelty_of(model: Model, novelty: float) -> Model:
    """Stretch the bundle's distances until the simulated field is so far from the training data."""
    found = pipeline.classify(frame(), model).novelty
    assert found
    stretched = model.bundle.novelty_whitening * np.float32(novelty / found)
    return replace(model, bundle=replace(model.bundle, novelty_whitening=stretched))


class Recording:
    """A runtime that keeps the tiles it was given."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.name, self.logit_step = runtime.name, runtime.logit_step
        self.tiles: NDArray[np.uint8] = np.empty(0, np.uint8)

    def run(self, tiles: NDArray[np.uint8]) -> Outputs:
        self.tiles = tiles.copy()
        return self._runtime.run(tiles)


class Untouchable:
    """A runtime that must not be asked."""

    name, logit_step = "none", 0.0

    def run(self, tiles: NDArray[np.uint8]) -> Outputs:
        raise AssertionError(f"{len(tiles)} tiles reached the model")


def test_a_result_says_everything_of_its_frame(model: Model) -> None:
    taken = frame()
    result = pipeline.classify(taken, model)
    assert (result.frame, result.sequence, result.size_px) == ("sim:7", 7, (1024, 768))
    assert (result.um_per_px, result.wall_time_s, result.monotonic_s) == (0.25, 1_800_000_000.5, 123.25)
    assert result.sensor == taken.sensor
    assert result.model == model.bundle.identity
    assert result.quality.usable
    assert result.morphology is not None
    assert result.morphology.nuclei == result.tiles_total
    assert result.novelty == pytest.approx(0.1, rel=1e-3)


def test_probabilities_are_those_of_the_tiles_together(model: Model) -> None:
    classes = model.bundle.description.classes
    result = pipeline.classify(frame(), model)
    assert tuple(result.probabilities) == classes
    assert sum(result.probabilities.values()) == pytest.approx(1)
    assert result.verdict == max(result.probabilities, key=lambda name: result.probabilities[name])
    assert result.reason is None
    evidence = verdict.pool((tile.probabilities for tile in result.tiles), len(classes))
    expected = verdict.probabilities(evidence, model.bundle.description.decision)
    assert tuple(result.probabilities.values()) == pytest.approx(expected)
    for tile in result.tiles:
        assert sum(tile.probabilities) == pytest.approx(1)
        assert tile.label == classes[int(np.argmax(tile.probabilities))]


def test_each_stage_is_timed_in_its_order(model: Model) -> None:
    stages = ["capture", "scale", "quality", "tile", "infer", "verdict"]
    for result in (pipeline.classify(frame(), model), pipeline.classify(frame(exposure=0.1), model)):
        assert list(result.ms) == stages
        assert all(ms >= 0 for ms in result.ms.values())
        assert result.ms["capture"] == 4.5
    assert list(pipeline.measure(frame()).ms) == stages[:3]


def test_the_same_frame_is_judged_the_same_and_left_as_it_was(model: Model) -> None:
    taken = frame()
    before = taken.pixels.copy()
    first, again = (replace(pipeline.classify(taken, model), ms={}) for _ in range(2))
    assert first == again
    assert np.array_equal(taken.pixels, before)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"defocus_um": 3.0}, "out of focus"),
        ({"exposure": 0.1}, "under-exposed"),
        ({"exposure": 3.0}, "over-exposed"),
        ({"white_cells": 0.0, "red_cells": 0.0, "debris": 0.0}, "blank field"),
    ],
)
def test_a_frame_that_is_not_usable_never_reaches_the_model(model: Model, fault: dict[str, float], reason: str) -> None:
    result = pipeline.classify(frame(**fault), replace(model, runtime=Untouchable()))
    assert (result.verdict, result.reason) == (INDETERMINATE, reason)
    assert result.quality.reasons == (reason,)
    assert (result.tiles, result.tiles_total, dict(result.probabilities)) == ((), 0, {})
    assert (result.novelty, result.warnings, result.morphology) == (None, (), None)
    assert result.model == model.bundle.identity


def test_a_frame_that_would_take_gigabytes_at_the_model_s_scale_is_refused_before_it_does(model: Model) -> None:
    # As numpy keeps it, one white pixel: its like of 50 megapixels takes no memory until it is resampled.
    pixels = np.broadcast_to(np.uint8(235), (5000, 10_000, 3))
    large = replace(frame(), pixels=pixels, um_per_px=0.6)
    for looked_at in (pipeline.measure, lambda frame: pipeline.classify(frame, model)):
        with pytest.raises(ImageError, match=r"sim:7: 10000x5000 .*72 megapixels .*67 are the most. Cut the picture"):
            looked_at(large)


def test_every_reason_is_told() -> None:
    dark_spot = frame(round_field=0.25, exposure=0.1)
    result = pipeline.classify(dark_spot, replace(open_model(shelf.find(None)), runtime=Untouchable()))
    assert result.reason == ", ".join(result.quality.reasons)
    assert len(result.quality.reasons) == 2


def test_a_usable_field_without_nuclei_is_too_little_to_see(model: Model) -> None:
    red_cells_only = frame(kind="normal", white_cells=0.0, debris=0.0)
    result = pipeline.classify(red_cells_only, replace(model, runtime=Untouchable()))
    assert result.quality.usable
    assert (result.verdict, result.reason) == (INDETERMINATE, verdict.TOO_LITTLE)
    assert (result.tiles, result.tiles_total, dict(result.probabilities)) == ((), 0, {})
    assert result.morphology is None


def test_fewer_tiles_than_the_model_asks_for_are_too_little(model: Model) -> None:
    result = pipeline.classify(frame(), with_decision(model, least_tiles=10_000))
    assert (result.verdict, result.reason) == (INDETERMINATE, verdict.TOO_LITTLE)
    assert result.tiles
    assert result.probabilities


def test_low_confidence_is_no_verdict(model: Model) -> None:
    result = pipeline.classify(frame(), with_decision(model, least_probability=1.0, temperature=50.0))
    assert (result.verdict, result.reason) == (INDETERMINATE, verdict.LOW_CONFIDENCE)


@pytest.mark.parametrize(
    ("novelty", "warnings", "refused"),
    [(0.3, (), False), (0.7, (verdict.NEW_MICROSCOPE,), False), (1.5, (), True), (30.0, (), True)],
)
def test_a_new_microscope_warns_and_what_is_no_smear_is_refused(
    model: Model, novelty: float, warnings: tuple[str, ...], refused: bool
) -> None:
    result = pipeline.classify(frame(), with_novelty_of(model, novelty))
    assert result.novelty == pytest.approx(novelty, rel=1e-3)
    assert result.warnings == warnings
    assert result.reason == (verdict.NO_SMEAR if refused else None)
    assert (result.verdict == INDETERMINATE) == refused


@pytest.mark.parametrize("um_per_px", [0.2, 0.25, 0.5])
def test_tiles_lie_around_the_cells_in_pixels_of_the_frame(model: Model, um_per_px: float) -> None:
    description = model.bundle.description
    smear = {"um_per_px": um_per_px, "size_px": (round(256 / um_per_px), round(192 / um_per_px))}
    result = pipeline.classify(frame(**smear), with_tiling(model, most_tiles=1000))
    size_px = round(description.tiling.tile_px * description.um_per_px / um_per_px)
    assert {(tile.width_px, tile.height_px) for tile in result.tiles} == {(size_px, size_px)}
    middles = np.array([(tile.x_px, tile.y_px) for tile in result.tiles]) + (size_px - 1) / 2
    cells = np.array([(cell.x_px, cell.y_px) for cell in drawn(**smear).cells])
    apart = cells[:, None] - middles[None]
    nearest_um = np.hypot(apart[..., 0], apart[..., 1]).min(axis=1) * um_per_px
    assert np.mean(nearest_um < 4) > 0.9


@pytest.mark.parametrize("strategy", ["nuclei", "grid"])
def test_what_the_model_saw_is_what_lies_in_the_tile_s_square(model: Model, strategy: str) -> None:
    recording = Recording(model.runtime)
    taken = frame()
    result = pipeline.classify(taken, with_tiling(replace(model, runtime=recording), strategy=strategy))
    tile_px = model.bundle.description.tiling.tile_px
    assert recording.tiles.shape == (len(result.tiles), tile_px, tile_px, 3)
    balanced = prepare(taken.pixels, 0.25, 0.25).pixels
    inside = [(tile, seen) for tile, seen in zip(result.tiles, recording.tiles, strict=True) if within(tile)]
    assert len(inside) >= 5
    for tile, seen in inside:
        square = balanced[tile.y_px : tile.y_px + tile.height_px, tile.x_px : tile.x_px + tile.width_px]
        expected = cv2.resize(square, (tile_px, tile_px), interpolation=cv2.INTER_AREA)
        assert np.abs(seen.astype(int) - expected).mean() < 3, tile


def within(tile: TileResult) -> bool:
    return tile.x_px >= 0 and tile.y_px >= 0 and tile.x_px + tile.width_px <= 1024 and tile.y_px + tile.height_px <= 768


def test_the_last_tiles_of_a_grid_end_at_the_frame_s_edge_whatever_the_pixel_size(model: Model) -> None:
    # 2592 x 1944 pixels of 0.042 um are 217.7 x 163.3 of the model's: what is rounded there are many pixels here.
    taken = frame(size_px=(2592, 1944), um_per_px=0.042)
    of_grid = with_tiling(model, strategy="grid", least_chromatin=0.0, most_tiles=1000)
    tiles = pipeline.classify(taken, of_grid).tiles
    assert max(tile.x_px + tile.width_px for tile in tiles) == 2592
    assert max(tile.y_px + tile.height_px for tile in tiles) == 1944


def test_tiles_beyond_the_edge_are_filled_with_glass(model: Model) -> None:
    recording = Recording(model.runtime)
    result = pipeline.classify(frame(), replace(model, runtime=recording))
    beyond = [seen for tile, seen in zip(result.tiles, recording.tiles, strict=True) if tile.x_px < -10]
    assert beyond
    assert all((seen[:, 0] == WHITE).all() for seen in beyond)


def test_at_most_so_many_tiles_are_judged_a_sample_of_all_sizes(model: Model) -> None:
    everything = pipeline.classify(frame(), with_tiling(model, most_tiles=1000))
    few = pipeline.classify(frame(), with_tiling(model, most_tiles=5))
    assert len(everything.tiles) == everything.tiles_total == few.tiles_total > 20
    count = len(everything.tiles)
    assert few.tiles == tuple(everything.tiles[number] for number in tiling.sample(count, 5))
    assert few.tiles[0] != everything.tiles[0]


def grid_of(model: Model, taken: Frame, overlap_px: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Lay the grid over the prepared field, with the chromatin of each tile."""
    description = model.bundle.description
    field = prepare(taken.pixels, taken.um_per_px, description.um_per_px)
    mask = nuclei.find(field.pixels, description.um_per_px).mask
    corners = tiling.grid(mask.shape[1], mask.shape[0], description.tiling.tile_px, overlap_px)
    return corners, tiling.chromatin(corners, description.tiling.tile_px, mask)


def places(result: FrameResult, model: Model) -> list[list[int]]:
    """Give the tiles' corners in pixels of the model's scale."""
    ratio = result.um_per_px / model.bundle.description.um_per_px
    return [[round(tile.x_px * ratio), round(tile.y_px * ratio)] for tile in result.tiles]


def test_a_grid_skips_the_tiles_without_nuclei(model: Model) -> None:
    taken = frame(kind="normal", white_cells=300.0)
    of_grid = with_tiling(model, strategy="grid", overlap_px=8, least_chromatin=0.03, most_tiles=1000)
    result = pipeline.classify(taken, of_grid)
    corners, chromatin = grid_of(of_grid, taken, 8)
    assert result.tiles_total == len(corners)
    assert 0 < len(result.tiles) < len(corners)
    assert places(result, of_grid) == corners[chromatin >= 0.03].tolist()


def test_of_a_crowded_grid_the_richest_tiles_are_judged_row_by_row(model: Model) -> None:
    taken = frame()
    of_grid = with_tiling(model, strategy="grid", least_chromatin=0.0, most_tiles=7)
    corners, chromatin = grid_of(of_grid, taken, 0)
    richest = np.sort(np.argsort(-chromatin, kind="stable")[:7])
    assert places(pipeline.classify(taken, of_grid), of_grid) == corners[richest].tolist()


def test_a_round_field_is_judged_by_what_is_lit(model: Model) -> None:
    result = pipeline.classify(frame(round_field=0.9), model)
    assert result.quality.usable
    middles = np.array([(tile.x_px, tile.y_px) for tile in result.tiles]) + (result.tiles[0].width_px - 1) / 2
    assert (np.hypot(*(middles - (511.5, 383.5)).T) < 0.46 * 768).all()


def test_measuring_gives_quality_and_shape_but_no_verdict() -> None:
    result = pipeline.measure(frame())
    assert result.quality.usable
    assert result.morphology is not None
    assert (result.verdict, result.reason, result.model, result.novelty) == (None, None, None, None)
    assert (result.tiles, dict(result.probabilities)) == ((), {})
    assert (result.frame, result.size_px) == ("sim:7", (1024, 768))


@pytest.mark.parametrize(
    "judge", [pipeline.measure, lambda taken: pipeline.classify(taken, open_model(shelf.find(None)))]
)
@pytest.mark.parametrize("um_per_px", [0.0, 0.001, 1.9, 50.0, float("nan")])
def test_a_wrong_pixel_size_is_refused(judge: Callable[[Frame], FrameResult], um_per_px: float) -> None:
    with pytest.raises(ScaleError, match="--um-per-px"):
        judge(replace(frame(), um_per_px=um_per_px))


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (9, 7)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_frame_of_a_few_pixels_is_indeterminate(model: Model, shape: tuple[int, int], level: int) -> None:
    taken = replace(frame(), pixels=np.full((*shape, 3), level, np.uint8))
    result = pipeline.classify(taken, replace(model, runtime=Untouchable()))
    assert result.verdict == INDETERMINATE
    assert result.size_px == shape[::-1]
