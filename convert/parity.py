"""Whether a converted network still decides as the trained one: by field, as the device decides, and by tile."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.errors import QuantizationRefused
from convert.fields import Fields
from edge import verdict
from edge.verdict import Decision, Evidence

_BINS = 10
_ROUNDING = 1e-9


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """A converted network against the trained one on the same tiles.

    Attributes
    ----------
    fields, tiles : int
        How many were compared.
    agreement : float
        Share of fields with the same verdict, *indeterminate* among them, 0 to 1.
    tile_agreement : float
        Share of tiles with the same class, 0 to 1.
    accuracy, tile_accuracy : float
        Share of fields and of tiles whose most probable class is the labelled one, 0 to 1.
    auroc : float or None
        Area under the ROC curve by the fields' probabilities, each class against the others, averaged; None where only
        one class is.
    calibration_error : float
        Expected calibration error of the fields' probabilities, 0 to 1 (Guo et al. 2017), ten bins.
    largest_difference : float
        Largest difference of a tile's logit.
    novel : float or None
        Share of fields that the device refuses as unlike any smear in training, which *agreement* and *accuracy* leave
        aside: one that refuses everything would agree everywhere. None of attempts, and in reports of earlier versions.
    """

    fields: int
    tiles: int
    agreement: float
    tile_agreement: float
    accuracy: float
    tile_accuracy: float
    auroc: float | None
    calibration_error: float
    largest_difference: float
    novel: float | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A converted network against the trained one.

    Attributes
    ----------
    runtime : str
        Where it ran.
    whole : Figures
        Of all fields.
    by_class, by_lab : dict of str to Figures
        Of the fields of each class, and of each laboratory.
    """

    runtime: str
    whole: Figures
    by_class: dict[str, Figures]
    by_lab: dict[str, Figures]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What a converted network may lose at most.

    Attributes
    ----------
    min_agreement : float
        Least share of fields, and of tiles, that it decides as the trained network does.
    max_accuracy_drop : float
        Largest loss of accuracy, of fields and of tiles.
    max_auroc_drop : float
        Largest loss of area under the ROC curve.
    max_calibration_drop : float
        Largest growth of the calibration error.
    """

    min_agreement: float = 0.98
    max_accuracy_drop: float = 0.01
    max_auroc_drop: float = 0.01
    max_calibration_drop: float = 0.02


def compare(
    runtime: str,
    reference: NDArray[np.float32],
    logits: NDArray[np.float32],
    novelty: NDArray[np.float64] | None,
    fields: Fields,
    decision: Decision,
    classes: tuple[str, ...],
) -> Comparison:
    """Compare the logits of two networks on labelled fields.

    Parameters
    ----------
    runtime : str
        Where the second ran.
    reference, logits : ndarray
        Shape (n, classes), float32: the trained network's, and the converted one's.
    novelty : ndarray, optional
        Shape (fields,), float64: of each field by the converted network, refused over 1; None where not known.
    fields : Fields
        What the n tiles are of.
    decision : Decision
        How tiles become a verdict.
    classes : tuple of str
        Class of each logit.

    Returns
    -------
    Comparison
        Of all, by class and by laboratory.
    """
    judged = [_judge(each, fields, decision, classes) for each in (reference, logits)]

    def of(chosen: NDArray[np.bool_]) -> Figures:
        return _figures(judged[0], judged[1], reference, logits, novelty, fields, chosen)

    everything = np.ones(len(fields.field_labels), bool)
    return Comparison(
        runtime=runtime,
        whole=of(everything),
        by_class={
            name: of(fields.field_labels == index)
            for index, name in enumerate(classes)
            if (fields.field_labels == index).any()
        },
        by_lab={lab: of(fields.labs == lab) for lab in np.unique(fields.labs).tolist()},
    )


def _judge(
    logits: NDArray[np.float32], fields: Fields, decision: Decision, classes: tuple[str, ...]
) -> tuple[list[str], NDArray[np.float64]]:
    sums = np.zeros((len(fields.field_labels), len(classes)))
    np.add.at(sums, fields.owners, verdict.softmax(logits))
    counts = np.bincount(fields.owners, minlength=len(sums)).tolist()
    verdicts = [
        verdict.decide(Evidence(tuple(row), count), decision, classes)
        for row, count in zip(sums.tolist(), counts, strict=True)
    ]
    return [each.label for each in verdicts], np.array([each.probabilities for each in verdicts])


def _figures(
    exact: tuple[list[str], NDArray[np.float64]],
    converted: tuple[list[str], NDArray[np.float64]],
    reference: NDArray[np.float32],
    logits: NDArray[np.float32],
    novelty: NDArray[np.float64] | None,
    fields: Fields,
    chosen: NDArray[np.bool_],
) -> Figures:
    of_tiles = chosen[fields.owners]
    truth, tile_truth = fields.field_labels[chosen], fields.labels[of_tiles]
    probabilities = converted[1][chosen]
    decided, tile_decided = probabilities.argmax(axis=1), logits[of_tiles].argmax(axis=1)
    same = np.array(exact[0]) == np.array(converted[0])
    return Figures(
        fields=int(chosen.sum()),
        tiles=int(of_tiles.sum()),
        agreement=float(same[chosen].mean()),
        tile_agreement=float((reference[of_tiles].argmax(axis=1) == tile_decided).mean()),
        accuracy=float((decided == truth).mean()),
        tile_accuracy=float((tile_decided == tile_truth).mean()),
        auroc=_auroc(probabilities, truth),
        calibration_error=_calibration_error(probabilities, truth),
        largest_difference=float(np.abs(reference[of_tiles] - logits[of_tiles]).max()),
        novel=None if novelty is None else float((novelty[chosen] > 1).mean()),
    )


def _auroc(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float | None:
    from sklearn.metrics import roc_auc_score

    present = np.unique(truth)
    if len(present) < 2:
        return None
    return float(np.mean([roc_auc_score(truth == index, probabilities[:, index]) for index in present]))


def _calibration_error(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    confidence = probabilities.max(axis=1)
    surplus = confidence - (probabilities.argmax(axis=1) == truth)
    gaps, _ = np.histogram(confidence, _BINS, (0, 1), weights=surplus)
    return float(np.abs(gaps).sum() / len(truth))


def refusal(kind: str, found: Figures, exact: Figures, budget: Budget) -> QuantizationRefused | None:
    """Say what a converted network lost beyond its budget.

    Parameters
    ----------
    kind : str
        What it is called.
    found, exact : Figures
        The converted network's, and the trained one's.
    budget : Budget
        What it may lose.

    Returns
    -------
    QuantizationRefused or None
        None when it is within its budget.
    """
    for unit, count, agreement, drop in (
        ("fields", found.fields, found.agreement, exact.accuracy - found.accuracy),
        ("tiles", found.tiles, found.tile_agreement, exact.tile_accuracy - found.tile_accuracy),
    ):
        if agreement < budget.min_agreement:
            # Rounded away from what is allowed: else it would say that 98.0% are too few, and 98% enough.
            share = math.floor(1000 * agreement + _ROUNDING) / 10
            why = f"decides only {share:.1f}% of {count} {unit} as the trained network does"
            return QuantizationRefused(
                f"the {kind} network", why, f"At least {100 * budget.min_agreement:g}% are asked for"
            )
        if exceeds(drop, budget.max_accuracy_drop):
            points = math.ceil(1000 * drop - _ROUNDING) / 10
            why = f"lost {points:.1f} points of accuracy on {count} {unit}"
            return QuantizationRefused(
                f"the {kind} network", why, f"At most {100 * budget.max_accuracy_drop:g} are allowed"
            )
    lost = 0.0 if found.auroc is None or exact.auroc is None else exact.auroc - found.auroc
    if exceeds(lost, budget.max_auroc_drop):
        why = f"lost {lost:.3f} of the area under the ROC curve"
        return QuantizationRefused(f"the {kind} network", why, f"At most {budget.max_auroc_drop:g} is allowed")
    growth = found.calibration_error - exact.calibration_error
    if exceeds(growth, budget.max_calibration_drop):
        why = f"is worse calibrated by {growth:.3f}"
        return QuantizationRefused(f"the {kind} network", why, f"At most {budget.max_calibration_drop:g} is allowed")
    return None


def novelty_refusal(kind: str, found: Figures, exact: Figures, budget: Budget) -> QuantizationRefused | None:
    """Say whether a device would refuse more fields than by the trained network, as unlike any smear in training.

    Parameters
    ----------
    kind : str
        What the converted network is called.
    found, exact : Figures
        Its own, and the trained one's, with their share of novel fields.
    budget : Budget
        A field that is refused is one that is not decided as the trained network does.

    Returns
    -------
    QuantizationRefused or None
        None when it is within the budget, or where novelty was not measured.
    """
    if found.novel is None or exact.novel is None:
        return None
    if exceeds(found.novel - exact.novel, 1 - budget.min_agreement):
        shares = [100 * each for each in (found.novel, exact.novel)]
        why = f"refuses {shares[0]:.1f}% of {found.fields} fields as novel, the trained one {shares[1]:.1f}%"
        allowed = f"At most {100 * (1 - budget.min_agreement):g} points more are allowed"
        return QuantizationRefused(f"the {kind} network", why, allowed)
    return None


def exceeds(loss: float, most: float) -> bool:
    """Say whether a difference of two shares is over a bound, and not by its rounding alone: 1 - 0.99 is over 0.01."""
    return loss > most + _ROUNDING
