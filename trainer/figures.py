"""Figures that can be believed: fields of held-out groups, intervals over groups, controls beside each headline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import verdict
from edge.result import INDETERMINATE
from edge.verdict import Decision
from trainer import statistics
from trainer.evaluate import Judged, Origins
from trainer.statistics import auroc_with_interval

COVERAGE = 0.8
"""Share of fields, the most certain, of which the risk is told."""

ACROSS = "from different laboratories"


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What decisions make of the fields of a part.

    Attributes
    ----------
    probabilities : ndarray
        Shape (fields, classes), calibrated.
    verdicts : ndarray
        Shape (fields,), str: a class or ``"indeterminate"``, as a device would say.
    novelty : ndarray or None
        Shape (fields,), distance of each field in units of the refusal threshold; None: not measured.
    """

    probabilities: NDArray[np.float64]
    verdicts: NDArray[np.str_]
    novelty: NDArray[np.float64] | None


def decided(judged: Judged, novelty: NDArray[np.float64] | None, decisions: Sequence[Decision]) -> Decided:
    """Decide on each field as a device will, by a decision that was fitted without it.

    Parameters
    ----------
    judged : Judged
        The fields.
    novelty : ndarray or None
        Shape (fields,), distance of each field in units of the refusal threshold, which refuses those over 1; None: not
        measured, and none is refused.
    decisions : sequence of Decision
        One a field.

    Returns
    -------
    Decided
        Probabilities and verdicts.
    """
    found = [verdict.decide(*pair, judged.classes) for pair in zip(judged.evidence, decisions, strict=True)]
    distances = np.zeros(len(found)) if novelty is None else novelty
    labels = [INDETERMINATE if far > 1 else one.label for one, far in zip(found, distances, strict=True)]
    return Decided(np.array([one.probabilities for one in found]), np.array(labels), novelty)


def figures(judged: Judged, found: Decided, seed: int) -> dict[str, Any]:
    """Measure verdicts on the fields of a part.

    Parameters
    ----------
    judged : Judged
        The part.
    found : Decided
        What was decided on each of its fields.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        Number of fields, and of those without a nucleus, which are indeterminate; for each class and laboratory the
        share of each verdict; those of :func:`of_probabilities`; AUROC of each class against the rest with its
        interval; accuracy among decided fields and share decided, both of fields as they come.
    """
    truth = np.array(judged.classes)[judged.labels]
    is_decided = found.verdicts != INDETERMINATE
    return {
        "fields": len(truth),
        "without_nucleus": sum(evidence.tiles == 0 for evidence in judged.evidence),
        "verdicts": shares_by_origin(found.verdicts, judged),
        "auroc": {
            label: auroc_with_interval(truth == label, found.probabilities[:, i], judged.groups, seed)
            for i, label in enumerate(judged.classes)
            if 0 < (truth == label).sum() < len(truth)
        },
        **of_probabilities(found.probabilities, judged, seed),
        "decided": float(is_decided.mean()),
        "accuracy_of_decided": float((found.verdicts == truth)[is_decided].mean()) if is_decided.any() else None,
        "novelty_quantiles": None
        if found.novelty is None
        else np.quantile(found.novelty, (0.5, 0.9, 0.99)).round(3).tolist(),
    }


def log_loss(found: Decided, origins: Origins) -> float:
    """Measure how unlikely the truth was: mean negative log-likelihood, classes and their laboratories weighing alike.

    Parameters
    ----------
    found : Decided
        What was decided on each field.
    origins : Origins
        The fields.

    Returns
    -------
    float
        At least 0, lower is better.
    """
    likelihood = found.probabilities[np.arange(len(origins.labels)), origins.labels]
    return float(-(origins.weights * np.log(likelihood + 1e-9)).sum())


def of_probabilities(probabilities: NDArray[np.float64], origins: Origins, seed: int) -> dict[str, Any]:
    """Measure probabilities, the network's or a control's.

    Parameters
    ----------
    probabilities : ndarray
        Shape (fields, classes).
    origins : Origins
        The fields.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        ``accuracy`` of the most probable class, classes and their laboratories weighing alike, with its interval over
        groups; ``pairs``; and of fields as they come, each weighing alike: ``calibration_error`` and ``reliability``,
        ``risk_coverage`` and the risk at ``COVERAGE``.
    """
    right = probabilities.argmax(axis=1) == origins.labels
    curve = statistics.risk_coverage(probabilities.max(axis=1), right)
    return {
        "accuracy": statistics.share_with_interval(right, origins.weights, origins.labels, origins.groups, seed),
        "pairs": pairs(probabilities, origins, seed),
        "calibration_error": statistics.expected_calibration_error(probabilities, origins.labels),
        "reliability": statistics.reliability(probabilities, origins.labels),
        "risk_coverage": curve,
        "risk_at_80_percent_coverage": float(np.interp(COVERAGE, curve["coverage"], curve["risk"])),
    }


def plain(probabilities: NDArray[np.float64], origins: Origins, seed: int) -> dict[str, Any]:
    """Measure what calls the most probable class, always: a control has no decision that abstains.

    Parameters
    ----------
    probabilities : ndarray
        Shape (fields, classes).
    origins : Origins
        The fields.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        ``fields``, ``verdicts``, and the figures of :func:`of_probabilities`.
    """
    called = np.array(origins.classes)[probabilities.argmax(axis=1)]
    return {
        "fields": len(called),
        "verdicts": shares_by_origin(called, origins),
        **of_probabilities(probabilities, origins, seed),
    }


def shares_by_origin(verdicts: NDArray[np.str_], origins: Origins) -> dict[str, dict[str, float]]:
    """Share of each verdict among the fields of each class and laboratory.

    Parameters
    ----------
    verdicts : ndarray
        Shape (fields,), str.
    origins : Origins
        The fields.

    Returns
    -------
    dict
        ``"normal, bccd"`` to the number of ``fields`` and the share of each class and of ``"indeterminate"``.
    """
    truth = np.array(origins.classes)[origins.labels]
    shares = {}
    for label in origins.classes:
        for lab in np.unique(origins.labs[truth == label]):
            chosen = (truth == label) & (origins.labs == lab)
            found = {name: float((verdicts[chosen] == name).mean()) for name in (*origins.classes, INDETERMINATE)}
            shares[f"{label}, {lab}"] = {"fields": float(chosen.sum()), **found}
    return shares


def pairs(probabilities: NDArray[np.float64], origins: Origins, seed: int) -> dict[str, dict[str, float]]:
    """AUROC of each pair of classes, in each laboratory that has both: the figures that laboratory cannot explain.

    Two classes that no laboratory has both of are told apart across laboratories, and that is said in the name: what
    tells the laboratories apart then tells the classes apart too, as the controls beside it show.

    Parameters
    ----------
    probabilities : ndarray
        Shape (fields, classes).
    origins : Origins
        The fields.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        ``"ALL against normal, laboratory"`` to ``auroc``, ``low`` and ``high``.
    """
    found = {}
    present = np.unique(origins.labels).tolist()
    for i, a in enumerate(present):
        for b in present[i + 1 :]:
            both = np.isin(origins.labels, (a, b))
            name = f"{origins.classes[a]} against {origins.classes[b]}"
            of_a, of_b = (set(origins.labs[origins.labels == one].tolist()) for one in (a, b))
            places = {f"{name}, {lab}": both & (origins.labs == lab) for lab in sorted(of_a & of_b)}
            for title, chosen in (places or {f"{name}, {ACROSS}": both}).items():
                score = np.log((probabilities[chosen, a] + 1e-12) / (probabilities[chosen, b] + 1e-12))
                found[title] = auroc_with_interval(origins.labels[chosen] == a, score, origins.groups[chosen], seed)
    return found


def mark_explained(report: dict[str, Any]) -> None:
    """Put the controls' own figures beside each headline of a report, and mark those that a control explains.

    Parameters
    ----------
    report : dict
        Figures of each part and of the controls. To accuracies and pairs are added ``controls``, names of those that
        were measured on the same fields to their figures, and ``explained_by``, names of those whose figure the
        headline's interval reaches, or None where none was measured.
    """
    for part in (name for name in report if name != "controls"):
        controls = {name: found[part] for name, found in report["controls"].items() if part in found}
        beside = {name: found["accuracy"]["share"] for name, found in controls.items()}
        _mark(report[part]["accuracy"], "share", beside)
        for pair, figure in report[part]["pairs"].items():
            beside = {name: found["pairs"][pair]["auroc"] for name, found in controls.items() if pair in found["pairs"]}
            _mark(figure, "auroc", beside)


def _mark(figure: dict[str, Any], of: str, beside: dict[str, float]) -> None:
    bound = figure.get("low", figure[of])
    figure["controls"] = beside
    figure["explained_by"] = [name for name, found in beside.items() if found >= bound] if beside else None


def headline(report: dict[str, Any]) -> dict[str, float]:
    """Pick the figures that a bundle carries.

    Parameters
    ----------
    report : dict
        Figures of each part.

    Returns
    -------
    dict of str to float
        Of the cross-validated part.
    """
    part = "cross-validated"
    found = report[part]
    flat = {f"{part} fields": float(found["fields"]), f"{part} decided": found["decided"]}
    flat |= {f"{part} calibration error": found["calibration_error"], f"{part} accuracy": found["accuracy"]["share"]}
    if found["accuracy_of_decided"] is not None:
        flat[f"{part} accuracy of decided"] = found["accuracy_of_decided"]
    for name, interval in found["pairs"].items():
        flat[f"{part} AUROC, {name}"] = interval["auroc"]
        for control in ("mean colour", "background only"):
            beside = report["controls"][control][part]["pairs"].get(name)
            if beside:
                flat[f"{part} AUROC, {name}, {control}"] = beside["auroc"]
    return flat
