"""What became of a frame and of a sample: small frozen values that travel from the pipeline to the journal and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from edge.frame import SensorReport
from edge.vision.morphology import Morphology
from edge.vision.quality import Quality

INDETERMINATE = "indeterminate"
"""The verdict that is none: the reason stands beside it."""


class TileResult(msgspec.Struct, frozen=True, gc=False):
    """One tile that the model judged; a frame has dozens, and a frozen dataclass is made four times as slowly.

    Attributes
    ----------
    x_px, y_px, width_px, height_px : int
        Left, top and size of the tile in pixels of the frame; may reach beyond the frame's edge. What is a square at
        the model's scale is one here up to the rounding of its edges to whole pixels.
    label : str
        Most probable class.
    probabilities : tuple of float
        Calibrated probability of each class, in the model's order.
    """

    x_px: int
    y_px: int
    width_px: int
    height_px: int
    label: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One frame, judged.

    Attributes
    ----------
    frame : str
        The frame's name.
    sequence : int
        The frame's number within its source.
    size_px : tuple of int
        Width and height of the frame.
    um_per_px : float
        Pixel size of the frame, micrometres.
    wall_time_s, monotonic_s : float
        The frame's times, see :class:`edge.frame.Frame`.
    sensor : SensorReport
        What the sensor said.
    quality : Quality
        The quality gate's figures.
    verdict : str or None
        A class of the model, ``"indeterminate"``, or None when the frame was captured without classifying.
    reason : str or None
        Why the verdict is indeterminate.
    warnings : tuple of str
        What a reader should know beside the verdict ("not the microscope I was trained on").
    probabilities : mapping of str to float
        Calibrated probability of each class; empty when nothing was classified.
    tiles_total : int
        Number of tile positions in the field.
    tiles : tuple of TileResult
        The tiles that were judged.
    morphology : Morphology or None
        Familiar numbers of the field's cells; None when no nucleus was measured.
    novelty : float or None
        Distance of the field from the training data, 1.0 is the refusal threshold; None when nothing was classified.
    model : str or None
        ``name@first-12-hex-digits`` of the bundle's SHA-256.
    ms : mapping of str to float
        Milliseconds of each stage in their order: capture, scale, quality; when classified also tile, infer, verdict.
    """

    frame: str
    sequence: int
    size_px: tuple[int, int]
    um_per_px: float
    wall_time_s: float
    monotonic_s: float
    sensor: SensorReport
    quality: Quality
    verdict: str | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    probabilities: Mapping[str, float] = field(default_factory=dict)
    tiles_total: int = 0
    tiles: tuple[TileResult, ...] = ()
    morphology: Morphology | None = None
    novelty: float | None = None
    model: str | None = None
    ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SampleResult:
    """The verdict of a sample over its frames so far.

    Attributes
    ----------
    sample : str
        The sample's identifier, as its user gave it.
    verdict : str
        A class of the model, or ``"indeterminate"``.
    reason : str or None
        Why the verdict is indeterminate.
    probabilities : mapping of str to float
        Calibrated probability of each class over the frames that were classified.
    frames : int
        Number of frames seen.
    indeterminate : int
        How many of them were indeterminate.
    """

    sample: str
    verdict: str
    reason: str | None
    probabilities: Mapping[str, float]
    frames: int
    indeterminate: int
