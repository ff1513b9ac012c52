"""The way of a frame: quality, scale, tiles, model, verdict. Reading this module top to bottom is reading that way."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from edge import verdict
from edge.errors import ImageError
from edge.frame import MOST_PIXELS, Frame, Pixels
from edge.model import Bundle, Model
from edge.model.description import Description, Tiling
from edge.result import INDETERMINATE, FrameResult, TileResult
from edge.vision import field, illumination, morphology, nuclei, quality, red_cells, scale, tiling
from edge.vision.field import Field
from edge.vision.morphology import Morphology
from edge.vision.nuclei import Nuclei
from edge.vision.quality import Quality

DEFAULT_UM_PER_PX = 0.5
"""Scale at which a frame's quality is measured when no model says another."""

_SCALE_EVERY = 64


class Stopwatch:
    """Milliseconds of each stage, in the order they ran."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def stage(self, name: str) -> None:
        """End a stage; the next one begins."""
        now = time.perf_counter()
        self.ms[name] = (now - self._last) * 1e3
        self._last = now


@dataclass(frozen=True, slots=True)
class _Look:
    field: Field
    nuclei: Nuclei
    quality: Quality


def _check_size(frame: Frame, um_per_px: float) -> None:
    """Refuse a frame that would take gigabytes at the scale wanted, which is up to twice as fine as its own."""
    scale.check_fits(frame.um_per_px, um_per_px)
    own = frame.pixels.shape[1], frame.pixels.shape[0]
    width, height = scale.resampled_size(own, frame.um_per_px, um_per_px)
    if width * height > MOST_PIXELS:
        raise ImageError(
            frame.name,
            f"{own[0]}x{own[1]} pixels of {frame.um_per_px:g} um are {width * height / 1e6:.0f} megapixels at the "
            f"{um_per_px:g} um they are judged at, {MOST_PIXELS / 1e6:.0f} are the most",
            "Cut the picture into parts, or correct --um-per-px",
        )


def _look(frame: Frame, um_per_px: float, watch: Stopwatch) -> _Look:
    _check_size(frame, um_per_px)
    ready = field.prepare(frame.pixels, frame.um_per_px, um_per_px, frame.white)
    watch.stage("scale")
    found = nuclei.find(ready.pixels, um_per_px, ready.inside)
    look = _Look(ready, found, quality.assess(ready, found))
    watch.stage("quality")
    return look


def measure(frame: Frame) -> FrameResult:
    """Measure a frame's quality without classifying it.

    Parameters
    ----------
    frame : Frame
        The captured field.

    Returns
    -------
    FrameResult
        Without a verdict.

    Raises
    ------
    ScaleError
        When the frame's pixel size is out of range, or too coarse.
    ImageError
        When the frame is too large at that scale.
    """
    watch = Stopwatch()
    look = _look(frame, DEFAULT_UM_PER_PX, watch)
    return _measured(frame, look, morphology.measure(look.field, look.nuclei), watch)


def _drift(frame: Frame, look: _Look, shape: Morphology | None) -> tuple[str, ...]:
    """Say what is no longer as the camera was calibrated, or as its user said; of a field that shows anything."""
    if not look.quality.usable:
        return ()
    found = () if frame.white is None else illumination.drift(frame.white, look.field.exposure.glass)
    # An objective is changed by hand, a pixel size given once: now and then is often enough, and costs a frame's time.
    if frame.sequence % _SCALE_EVERY == 0 and red_cells.are_odd(frame.pixels, frame.um_per_px):
        found = (*found, illumination.SCALE_DRIFTED)
    smallest_um2, largest_um2 = morphology.USUAL_AREAS_UM2
    if shape is not None and not smallest_um2 <= shape.nuclear_area_um2 <= largest_um2:
        found = (*found, illumination.NUCLEI_DRIFTED)
    return found


def _measured(frame: Frame, look: _Look, shape: Morphology | None, watch: Stopwatch) -> FrameResult:
    return FrameResult(
        frame=frame.name,
        sequence=frame.sequence,
        size_px=(frame.pixels.shape[1], frame.pixels.shape[0]),
        um_per_px=frame.um_per_px,
        wall_time_s=frame.wall_time_s,
        monotonic_s=frame.monotonic_s,
        sensor=frame.sensor,
        quality=look.quality,
        warnings=_drift(frame, look, shape),
        morphology=shape,
        ms={"capture": frame.capture_ms, **watch.ms},
    )


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A frame made ready for the model; holds none of its pixels, so that they can go while it waits.

    Attributes
    ----------
    measured : FrameResult
        What is known of it without the model.
    tiles : ndarray
        Shape (n, tile_px, tile_px, 3), uint8, BGR: what the model will see; none of a frame that is not usable.
    corners : ndarray
        Shape (n, 2): left and top of each tile in the prepared field, pixels.
    total : int
        Number of tile positions in the field.
    frame_px_per_field_px : tuple of float
        Size of the field's pixel in pixels of the frame, across and down.
    """

    measured: FrameResult
    tiles: Pixels
    corners: tiling.Corners
    total: int
    frame_px_per_field_px: tuple[float, float]


def prepare(frame: Frame, description: Description) -> Prepared:
    """Bring a frame to a model's scale, measure it, and cut the tiles that the model will judge.

    Parameters
    ----------
    frame : Frame
        The captured field.
    description : Description
        The model's description.

    Returns
    -------
    Prepared
        What :func:`judge` needs.

    Raises
    ------
    ScaleError
        When the frame's pixel size is out of range, or too coarse for the model.
    ImageError
        When the frame is too large at the model's scale.
    """
    watch = Stopwatch()
    look = _look(frame, description.um_per_px, watch)
    # Before the network has filled the processor's caches with other things.
    shape = morphology.measure(look.field, look.nuclei) if look.quality.usable else None
    corners, total = _corners(look, description.tiling) if look.quality.usable else (tiling.NO_CORNERS, 0)
    tiles = tiling.cut(look.field.pixels, corners, description.tiling.tile_px)
    watch.stage("tile")
    measured = _measured(frame, look, shape, watch)
    return Prepared(measured, tiles, corners, total, _frame_px_per_field_px(frame, look.field))


def judge(prepared: Prepared, model: Model) -> FrameResult:
    """Judge a prepared frame.

    Parameters
    ----------
    prepared : Prepared
        From :func:`prepare`, with the bundle of the same model.
    model : Model
        The model, loaded.

    Returns
    -------
    FrameResult
        With a verdict; a frame that is not usable is indeterminate and never reaches the model.
    """
    bundle, tiles, measured = model.bundle, prepared.tiles, prepared.measured
    watch = Stopwatch()
    outputs = model.runtime.run(tiles) if len(tiles) else None
    rows = [] if outputs is None else [tuple(row) for row in verdict.softmax(outputs.logits).tolist()]
    watch.stage("infer")
    novelty = (
        None if outputs is None else verdict.novelty(outputs.embeddings, bundle.novelty_mean, bundle.novelty_whitening)
    )
    decided = _decide(measured.quality, rows, novelty, bundle)
    watch.stage("verdict")
    return replace(
        measured,
        verdict=decided.label,
        reason=decided.reason,
        warnings=(*measured.warnings, *_warnings(novelty, bundle)),
        probabilities=dict(zip(bundle.description.classes, decided.probabilities, strict=True)) if rows else {},
        tiles_total=prepared.total,
        tiles=_tile_results(prepared.corners, rows, prepared.frame_px_per_field_px, bundle),
        novelty=novelty,
        model=bundle.identity,
        ms={**measured.ms, **watch.ms},
    )


def classify(frame: Frame, model: Model) -> FrameResult:
    """Judge a frame: :func:`prepare` and :func:`judge` one after the other.

    Parameters
    ----------
    frame : Frame
        The captured field.
    model : Model
        The model, loaded.

    Returns
    -------
    FrameResult
        With a verdict.

    Raises
    ------
    ScaleError
        When the frame's pixel size is out of range, or too coarse for the model.
    ImageError
        When the frame is too large at the model's scale.
    """
    return judge(prepare(frame, model.bundle.description), model)


def _corners(look: _Look, settings: Tiling) -> tuple[tiling.Corners, int]:
    if settings.strategy == "nuclei":
        corners = tiling.around(look.nuclei.centres, settings.tile_px)
        return corners[tiling.sample(len(corners), settings.most_tiles)], len(corners)
    width, height = look.nuclei.size_px
    corners = tiling.grid(width, height, settings.tile_px, settings.overlap_px)
    chromatin = tiling.chromatin(corners, settings.tile_px, look.nuclei.mask)
    richest = np.argsort(-chromatin, kind="stable")[: settings.most_tiles]
    return corners[np.sort(richest[chromatin[richest] >= settings.least_chromatin])], len(corners)


def _decide(found: Quality, rows: list[tuple[float, ...]], novelty: float | None, bundle: Bundle) -> verdict.Verdict:
    decision, classes = bundle.description.decision, bundle.description.classes
    decided = verdict.decide(verdict.pool(rows, len(classes)), decision, classes)
    if not found.usable:
        return verdict.Verdict(INDETERMINATE, ", ".join(found.reasons), decided.probabilities)
    if novelty is not None and novelty > 1:
        return verdict.Verdict(INDETERMINATE, verdict.NO_SMEAR, decided.probabilities)
    return decided


def _warnings(novelty: float | None, bundle: Bundle) -> tuple[str, ...]:
    if novelty is None or not bundle.description.decision.novelty_warns < novelty <= 1:
        return ()
    return (verdict.NEW_MICROSCOPE,)


def _frame_px_per_field_px(frame: Frame, field: Field) -> tuple[float, float]:
    """Size of a field's pixel in pixels of the frame, across and down.

    Not the ratio of the two scales: the field's size is a whole number of pixels, and over a frame that adds up.
    """
    height, width = field.pixels.shape[:2]
    return frame.pixels.shape[1] / width, frame.pixels.shape[0] / height


def _tile_results(
    corners: tiling.Corners, rows: list[tuple[float, ...]], frame_px_per_field_px: tuple[float, float], bundle: Bundle
) -> tuple[TileResult, ...]:
    classes, side = bundle.description.classes, bundle.description.tiling.tile_px
    across, down = frame_px_per_field_px
    tiles = []
    for (x, y), row in zip(corners.tolist(), rows, strict=True):
        # Edge by edge: the axes' sizes of a pixel differ by some thousandths, and neighbours of a grid must still meet.
        left, top = round(x * across), round(y * down)
        right, bottom = round((x + side) * across), round((y + side) * down)
        tiles.append(TileResult(left, top, right - left, bottom - top, classes[row.index(max(row))], row))
    return tuple(tiles)
