"""Figures that can be believed: fields of held-out groups, intervals over groups, controls beside each headline."""

from __future__ import annotations

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


def verdicts(judged: Judged, novelty: NDArray[np.float64] | None, decision: Decision) -> NDArray[np.str_]:
    """Decide on each field as a device will.

    Parameters
    ----------
    judged : Judged
        The fields.
    novelty : ndarray or None
        Shape (fields,), distance of each field in units of the refusal threshold; None: not measured.
    decision : Decision
        The decision as it will be deployed.

    Returns
    -------
    ndarray
        Shape (fields,), str: a class or ``"indeterminate"``.
    """
    distances = np.zeros(len(judged.evidence)) if novelty is None else novelty
    return np.array(
        [
            INDETERMINATE if distance > 1 else verdict.decide(evidence, decision, judged.classes).label
            for evidence, distance in zip(judged.evidence, distances, strict=True)
        ]
    )


def calibrated(judged: Judged, decision: Decision) -> NDArray[np.float64]:
    """Calibrated probabilities of each field, shape (fields, classes)."""
    return np.array([verdict.probabilities(evidence, decision) for evidence in judged.evidence])


def figures(judged: Judged, novelty: NDArray[np.float64] | None, decision: Decision, seed: int) -> dict[str, Any]:
    """Measure verdicts on the fields of a part.

    Parameters
    ----------
    judged : Judged
        The part.
    novelty : ndarray or None
        Shape (fields,), distance of each field in units of the refusal threshold; None: not measured.
    decision : Decision
        The decision as it will be deployed.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        Number of fields; for each class and laboratory the share of each verdict; those of :func:`of_probabilities`;
        AUROC of each class against the rest with its interval; accuracy among decided fields, share decided.
    """
    probabilities = calibrated(judged, decision)
    found = verdicts(judged, novelty, decision)
    truth = np.array(judged.classes)[judged.labels]
    decided = found != INDETERMINATE
    return {
        "fields": len(truth),
        "verdicts": shares_by_origin(found, judged),
        "auroc": {
            label: auroc_with_interval(truth == label, probabilities[:, i], judged.groups, seed)
            for i, label in enumerate(judged.classes)
            if 0 < (truth == label).sum() < len(truth)
        },
        **of_probabilities(probabilities, judged, seed),
        "decided": float(decided.mean()),
        "accuracy_of_decided": float((found == truth)[decided].mean()) if decided.any() else None,
        "novelty_quantiles": None if novelty is None else np.quantile(novelty, (0.5, 0.9, 0.99)).round(3).tolist(),
    }


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
        groups; ``pairs``; ``calibration_error`` and ``reliability``; ``risk_coverage`` and the risk at
        ``COVERAGE``.
    """
    right = probabilities.argmax(axis=1) == origins.labels
    curve = statistics.risk_coverage(probabilities.max(axis=1), right)
    return {
        "accuracy": statistics.share_with_interval(right, origins.weights, origins.groups, seed),
        "pairs": pairs_within_laboratory(probabilities, origins, seed),
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


def pairs_within_laboratory(
    probabilities: NDArray[np.float64], origins: Origins, seed: int
) -> dict[str, dict[str, float]]:
    """AUROC of each pair of classes that one laboratory has both of: the figures that laboratory cannot explain.

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
    pairs = {}
    for lab in np.unique(origins.labs):
        here = origins.labs == lab
        present = np.unique(origins.labels[here]).tolist()
        for i, a in enumerate(present):
            for b in present[i + 1 :]:
                both = here & np.isin(origins.labels, (a, b))
                score = np.log((probabilities[both, a] + 1e-12) / (probabilities[both, b] + 1e-12))
                pairs[f"{origins.classes[a]} against {origins.classes[b]}, {lab}"] = auroc_with_interval(
                    origins.labels[both] == a, score, origins.groups[both], seed
                )
    return pairs


def mark_explained(report: dict[str, Any]) -> None:
    """Mark each headline of a report that a control explains: whose interval the control's own figure reaches.

    Parameters
    ----------
    report : dict
        Figures of each part and of the controls; ``explained_by`` is added to accuracies and pairs.
    """
    for part in (name for name in report if name != "controls"):
        controls = {name: found[part] for name, found in report["controls"].items() if part in found}
        report[part]["accuracy"]["explained_by"] = [
            name
            for name, found in controls.items()
            if found["accuracy"]["share"] >= report[part]["accuracy"].get("low", report[part]["accuracy"]["share"])
        ]
        for pair, figure in report[part]["pairs"].items():
            figure["explained_by"] = [
                name
                for name, found in controls.items()
                if found["pairs"].get(pair, {"auroc": 0})["auroc"] >= figure.get("low", figure["auroc"])
            ]


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
