"""From tiles to a verdict on a frame and on a sample: pure arithmetic on evidence that can be added up.

A field is judged as a haematologist's differential count is: by the share of its nucleated cells that are of each
class. Each tile gives its class probabilities as a fraction of a cell; their sum over a frame, or over all frames of a
sample, is the evidence. With ``n`` tiles, class sums ``s_k`` and the decision's pseudo-counts ``a_k``, temperature
``T`` and bias ``b_k``, the calibrated probabilities are ``softmax(log((s_k + a_k) / (n + sum(a))) / T + b_k)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.result import INDETERMINATE, FrameResult, SampleResult

TOO_LITTLE = "too little to see"
LOW_CONFIDENCE = "low confidence"
NO_SMEAR = "unlike any smear in training"
NEW_MICROSCOPE = "not the microscope this model was trained on"
NO_NUMBER = "the model's figures overflow"

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]

# Within these no evidence of cells makes the arithmetic overflow; fits lie far inside.
PseudoCount = Annotated[float, msgspec.Meta(ge=1e-6, le=1e6)]
Temperature = Annotated[float, msgspec.Meta(ge=0.01, le=100)]
Bias = Annotated[float, msgspec.Meta(ge=-100, le=100)]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's tiles become a verdict; all of it measured on groups held out of training.

    Attributes
    ----------
    pseudo_counts : tuple of float
        Cells of each class assumed before any is seen, so that one cell decides less than ten.
    temperature : float
        Divisor of the log-shares of the classes (Guo et al. 2017, "On calibration of modern neural networks").
    bias : tuple of float
        Added to each class's score: a marrow is myeloma long before most of its cells are plasma cells.
    least_probability : float
        A frame whose best class is less probable than this is indeterminate.
    least_tiles : int
        A frame with fewer tiles than this is indeterminate.
    novelty_warns : float
        Novelty over which a field is from a microscope unlike those trained on; refusal is at 1.
    """

    pseudo_counts: tuple[PseudoCount, ...]
    temperature: Temperature
    bias: tuple[Bias, ...]
    least_probability: Share
    least_tiles: Count
    novelty_warns: Positive


@dataclass(frozen=True, slots=True)
class Evidence:
    """What tiles say together.

    Attributes
    ----------
    cells : tuple of float
        Sum of the tiles' probabilities for each class.
    tiles : int
        Number of tiles.
    """

    cells: tuple[float, ...]
    tiles: int

    def __add__(self, other: Evidence) -> Evidence:
        """Pool the evidence of two frames."""
        return Evidence(tuple(a + b for a, b in zip(self.cells, other.cells, strict=True)), self.tiles + other.tiles)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, or the reason for none.

    Attributes
    ----------
    label : str
        A class, or ``"indeterminate"``.
    reason : str or None
        Why it is indeterminate.
    probabilities : tuple of float
        Calibrated probability of each class.
    """

    label: str
    reason: str | None
    probabilities: tuple[float, ...]


def softmax(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Turn scores into probabilities along the last axis.

    Parameters
    ----------
    scores : ndarray
        Any shape, float.

    Returns
    -------
    ndarray
        Same shape, float64; sums to 1 along the last axis.
    """
    scores = np.asarray(scores, np.float64)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def pool(probabilities: Iterable[tuple[float, ...]], classes: int) -> Evidence:
    """Add up the tiles of a frame.

    Parameters
    ----------
    probabilities : iterable of tuple of float
        Class probabilities of each tile.
    classes : int
        Number of classes, for a frame without tiles.

    Returns
    -------
    Evidence
        Their sum.
    """
    rows = list(probabilities)
    # A frame's few numbers: NumPy takes longer to begin than this takes in all, here and in `probabilities`.
    cells = tuple(math.fsum(column) for column in zip(*rows, strict=True)) if rows else (0.0,) * classes
    return Evidence(cells, len(rows))


def probabilities(evidence: Evidence, decision: Decision) -> tuple[float, ...]:
    """Turn evidence into calibrated probabilities; see the module's formula.

    Parameters
    ----------
    evidence : Evidence
        Of a frame or a sample.
    decision : Decision
        The model's.

    Returns
    -------
    tuple of float
        One probability a class; sums to 1.
    """
    cells = [own + assumed for own, assumed in zip(evidence.cells, decision.pseudo_counts, strict=True)]
    total = math.fsum(cells)
    scores = [
        math.log(share / total) / decision.temperature + bias for share, bias in zip(cells, decision.bias, strict=True)
    ]
    most = max(scores)
    powers = [math.exp(score - most) for score in scores]
    whole = math.fsum(powers)
    return tuple(power / whole for power in powers)


def decide(evidence: Evidence, decision: Decision, classes: tuple[str, ...]) -> Verdict:
    """Decide on a frame or a sample, or abstain.

    Parameters
    ----------
    evidence : Evidence
        What its tiles say.
    decision : Decision
        The model's calibration and thresholds.
    classes : tuple of str
        The model's classes.

    Returns
    -------
    Verdict
        A class when its probability reaches the threshold, else ``"indeterminate"`` with the reason.
    """
    calibrated = probabilities(evidence, decision)
    if evidence.tiles < decision.least_tiles:
        return Verdict(INDETERMINATE, TOO_LITTLE, calibrated)
    if not all(map(math.isfinite, calibrated)):
        return Verdict(INDETERMINATE, NO_NUMBER, calibrated)
    best = calibrated.index(max(calibrated))
    if calibrated[best] < decision.least_probability:
        return Verdict(INDETERMINATE, LOW_CONFIDENCE, calibrated)
    return Verdict(classes[best], None, calibrated)


def novelty(embeddings: NDArray[np.float32], mean: NDArray[np.float32], whitening: NDArray[np.float32]) -> float:
    """Measure how unlike the training data a frame is.

    The length of a tile's whitened embedding is its Mahalanobis distance from the training tiles (Lee et al. 2018, "A
    simple unified framework for detecting out-of-distribution samples"), in units of the refusal threshold; a frame's
    is the mean over its tiles. Averaging embeddings instead would put noise, whose tiles lie all around, in the middle.

    Parameters
    ----------
    embeddings : ndarray
        Shape (n, d), float32, n at least 1.
    mean, whitening : ndarray
        Shapes (d,) and (d, d), from the bundle.

    Returns
    -------
    float
        0 at the middle of the training data; beyond 1 it is no smear.
    """
    white = (embeddings - mean) @ whitening
    return math.fsum(map(math.sqrt, (white * white).sum(axis=1).tolist())) / len(white)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a model has seen of a sample so far.

    Attributes
    ----------
    evidence : Evidence
        Sum over the frames that are usable and like a smear.
    frames : int
        Number of frames judged.
    indeterminate : int
        How many of them were indeterminate.
    """

    evidence: Evidence
    frames: int = 0
    indeterminate: int = 0

    def plus(self, result: FrameResult) -> Tally:
        """Count a frame; an unusable one or one unlike any smear is counted and is no evidence."""
        evidence = self.evidence
        if result.quality.usable and result.novelty is not None and result.novelty <= 1:
            evidence += pool((tile.probabilities for tile in result.tiles), len(evidence.cells))
        return Tally(evidence, self.frames + 1, self.indeterminate + (result.verdict == INDETERMINATE))

    def decide(self, sample: str, decision: Decision, classes: tuple[str, ...]) -> SampleResult:
        """Decide on the sample, or abstain.

        Parameters
        ----------
        sample : str
            Its identifier.
        decision : Decision
            The model's calibration and thresholds.
        classes : tuple of str
            The model's classes.
        """
        decided = decide(self.evidence, decision, classes)
        shown = dict(zip(classes, decided.probabilities, strict=True)) if self.evidence.tiles else {}
        return SampleResult(sample, decided.label, decided.reason, shown, self.frames, self.indeterminate)
