"""Whether a field can be judged at all: a pure function from a prepared field to figures and reasons.

The limits lie where real fields of five laboratories end: their focus is 0.39 to 0.88 per micrometre, and blurred with
a sigma of 2 um nearly all of them fall below 0.30; see ``docs/quality.md``. Whether it is a smear at all is the model's
to say; but what is grey or green is none, whatever a model makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.vision.balance import OD_STEPS_PER_UNIT, green_density, sampled
from edge.vision.field import Field
from edge.vision.nuclei import Nuclei
from edge.vision.scale import blur

LEAST_FOCUS_PER_UM = 0.3
LEAST_BRIGHTNESS = 0.25
MOST_SATURATION = 0.85
MOST_CRUSHED = 0.25
LEAST_CONTRAST_OD = 0.08
LEAST_FIELD = 0.1
LEAST_STAIN = 0.3
LEAST_SIDE_UM = 16.0

_NEARLY_WHITE = 253
_NEARLY_BLACK = 1
_STAINED_OD = 0.12
_SMOOTHING_UM = 0.4
_STEEPEST = 0.995
_PLENTY_PX = 150_000
_SAMPLES = 16_000


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of a frame's quality and what they mean.

    Attributes
    ----------
    usable : bool
        Whether the frame may be classified.
    reasons : tuple of str
        Why not, each a short phrase; empty when usable.
    focus : float
        Slope of the steepest edges over the field's contrast, per micrometre; hardly depends on how many cells there
        are.
    brightness : float
        Level of clear glass in its darkest channel, share of full scale, 0 to 1.
    saturation : float
        Share of the field's pixels at full scale in every channel, 0 to 1.
    foreground : float
        Share of the field covered by stained nuclei, 0 to 1.
    field : float
        Share of the frame inside the illuminated field, 0 to 1.
    contrast : float
        Optical density in green between clear glass and the darkest stain (5% and 99.5% of the field), at least 0.
    crushed : float
        Share of the field's pixels at level 0 or 1 in some channel, 0 to 1.
    stain : float
        How much less than green what is stained absorbs of blue or red, whichever is less, as a share of green: at most
        1; 0 where it is grey, less where it is green. Thiazine dyes and eosin absorb green most, and blue or red least.
    """

    usable: bool
    reasons: tuple[str, ...]
    focus: float
    brightness: float
    saturation: float
    foreground: float
    field: float
    contrast: float
    crushed: float
    stain: float


def assess(field: Field, nuclei: Nuclei) -> Quality:
    """Judge whether a field is usable.

    Parameters
    ----------
    field : Field
        The prepared field.
    nuclei : Nuclei
        Its nuclei.

    Returns
    -------
    Quality
        The figures, and the reasons if it is not usable.
    """
    height, width = field.pixels.shape[:2]
    share = 1.0 if field.inside is None else max(1, cv2.countNonZero(field.inside)) / (height * width)
    darkest = field.exposure.darkest / max(1, field.exposure.darkest.sum())
    saturated, crushed = float(darkest[_NEARLY_WHITE:].sum()), float(darkest[: _NEARLY_BLACK + 1].sum())
    contrast, focus = _contrast_and_focus(field)
    stain = _stain(nuclei)
    brightness = float(field.exposure.glass.min()) / 255
    limits = (
        (min(height, width) * field.um_per_px < LEAST_SIDE_UM, "smaller than a cell and what is around it"),
        (share < LEAST_FIELD, "hardly any of the frame is lit"),
        (brightness < LEAST_BRIGHTNESS, "under-exposed"),
        (saturated > MOST_SATURATION, "over-exposed"),
        (crushed > MOST_CRUSHED and brightness >= LEAST_BRIGHTNESS, "a colour is clipped to black"),
    )
    reasons = [phrase for broken, phrase in limits if broken]
    if not reasons and contrast < LEAST_CONTRAST_OD:
        reasons = ["blank field"]
    if not reasons and focus < LEAST_FOCUS_PER_UM:
        reasons = ["out of focus"]
    if not reasons and stain < LEAST_STAIN:
        reasons = ["not the colours of a stained smear"]
    foreground = min(1.0, cv2.countNonZero(nuclei.coarse) / nuclei.coarse.size / share)
    return Quality(
        not reasons, tuple(reasons), focus, brightness, saturated, foreground, share, contrast, crushed, stain
    )


def _stain(nuclei: Nuclei) -> float:
    blue, green, red = nuclei.density
    most = cv2.max(cv2.max(blue, green), red)
    _, stained = cv2.threshold(most, round(_STAINED_OD * OD_STEPS_PER_UNIT), 255, cv2.THRESH_BINARY)
    # OpenCV's mean under a mask takes ten times as long.
    least, own = (cv2.sumElems(cv2.bitwise_and(each, stained))[0] for each in (cv2.min(blue, red), green))
    # At least one: on an empty field there is nothing to divide.
    return 1 - least / max(1.0, own)


def _contrast_and_focus(field: Field) -> tuple[float, float]:
    # A third of a large field has edges in plenty, and its middle is what a person focuses on.
    height, width = field.pixels.shape[:2]
    rows = slice(height // 3, height - height // 3) if height * width > _PLENTY_PX else slice(None)
    lit = None if field.inside is None else field.inside[rows]
    green = np.asarray(blur(green_density(field.pixels[rows]), _SMOOTHING_UM / field.um_per_px), np.uint8)
    # Sobel's kernel sums to 8 per unit of slope; int16 holds 255 * 8 whole.
    across, down = (sampled(np.asarray(slope, np.int16), _SAMPLES) for slope in cv2.spatialGradient(green))
    slopes = cv2.add(cv2.convertScaleAbs(across, alpha=0.25), cv2.convertScaleAbs(down, alpha=0.25))
    slope = slopes.astype(np.uint8, copy=False)
    inside = None
    if lit is not None:
        inside = sampled(lit, _SAMPLES)
        rim = cv2.erode(lit, np.ones((9, 9), np.uint8)).astype(np.uint8, copy=False)
        slope[sampled(rim, _SAMPLES) == 0] = 0
    low, high = _quantiles(sampled(green, _SAMPLES), (0.05, _STEEPEST), inside)
    contrast = (high - low) / OD_STEPS_PER_UNIT
    (steepest,) = _quantiles(slope, (_STEEPEST,), inside)
    slope_per_um = steepest / 2 / field.um_per_px / OD_STEPS_PER_UNIT
    return contrast, slope_per_um / (contrast + LEAST_CONTRAST_OD / 2)


def _quantiles(image: NDArray[np.uint8], q: tuple[float, ...], inside: NDArray[np.uint8] | None) -> list[float]:
    cumulative = cv2.calcHist([image], [0], inside, [256], [0, 256]).ravel().cumsum()
    found: list[float] = cumulative.searchsorted(np.asarray(q) * cumulative[-1]).tolist()
    return found
