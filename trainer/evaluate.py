"""Figures that can be believed: fields of held-out groups, intervals over groups, controls beside each headline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import verdict
from edge.result import INDETERMINATE
from edge.verdict import Decision, Evidence
from trainer import augment
from trainer.cells import Cells
from trainer.sampling import foreign_donor
from trainer.statistics import auroc_with_interval, expected_calibration_error


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """Where fields come from and what they are; one row a field with at least one cell.

    Attributes
    ----------
    labels : ndarray
        Shape (fields,), int64, class of the field.
    groups, labs : ndarray
        Shape (fields,), str.
    classes : tuple of str
        Class names.
    """

    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    labs: NDArray[np.str_]
    classes: tuple[str, ...]

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weight of each field: classes alike, in a class laboratories alike; shape (fields,), sums to 1."""
        weights: NDArray[np.float64] = np.zeros(len(self.labels))
        for label in np.unique(self.labels):
            of_class = np.unique(self.labs[self.labels == label])
            for lab in of_class:
                same = (self.labels == label) & (self.labs == lab)
                weights[same] = 1 / len(of_class) / same.sum()
        return np.asarray(weights / weights.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Judged(Origins):
    """Fields as the network sees them.

    Attributes
    ----------
    evidence : list of Evidence
        Of each field.
    embeddings : ndarray
        Shape (cells, d), float32.
    owners : ndarray
        Shape (cells,), int64, field of each cell.
    """

    evidence: list[Evidence]
    embeddings: NDArray[np.float32]
    owners: NDArray[np.int64]

    @property
    def cell_weights(self) -> NDArray[np.float64]:
        """Weight of each cell: a field's is shared by its cells; shape (cells,), sums to 1."""
        return np.asarray((self.weights / np.bincount(self.owners))[self.owners])

    def distances(self, mean: NDArray[np.float32], whitening: NDArray[np.float32]) -> NDArray[np.float64]:
        """Novelty of each field, as :func:`edge.verdict.novelty` measures it; shape (fields,)."""
        of_cells = np.linalg.norm((self.embeddings - mean) @ whitening, axis=1)
        return np.asarray(np.bincount(self.owners, of_cells) / np.bincount(self.owners))


def pooled(cells: Cells, values: NDArray[np.floating]) -> tuple[Origins, NDArray[np.float64], NDArray[np.int64]]:
    """Add up the cells of each field.

    Parameters
    ----------
    cells : Cells
        The cells.
    values : ndarray
        Shape (cells, k), a row a cell.

    Returns
    -------
    tuple
        Origins of the fields, sums of shape (fields, k), and number of cells, shape (fields,).
    """
    shown, where = np.unique(cells.fields, return_inverse=True)
    sums = np.zeros((len(shown), values.shape[1]))
    np.add.at(sums, where, values)
    sources = [cells.sources[index] for index in shown]
    origins = Origins(
        labels=np.array([cells.classes.index(source.label) for source in sources]),
        groups=np.array([source.group for source in sources]),
        labs=np.array([source.lab for source in sources]),
        classes=cells.classes,
    )
    return origins, sums, np.bincount(where)


def judge(network: Any, cells: Cells, side_px: int) -> Judged:
    """Run the network over the cells of a part and pool them by field.

    Parameters
    ----------
    network : keras.Model
        Tiles to logits and embedding.
    cells : Cells
        The part.
    side_px : int
        Side of the network's tiles; the middle of larger ones is taken.

    Returns
    -------
    Judged
        Evidence of each field, embedding of each cell.
    """
    margin = (cells.tiles.shape[1] - side_px) // 2
    middle = slice(margin, margin + side_px)
    chunks = [
        network.predict_on_batch(cells.tiles[start : start + 512, middle, middle].astype(np.float32))
        for start in range(0, len(cells.tiles), 512)
    ]
    probabilities = verdict.softmax(np.concatenate([np.asarray(logits) for logits, _ in chunks]))
    embeddings = np.concatenate([np.asarray(embedding) for _, embedding in chunks])
    origins, sums, counts = pooled(cells, probabilities)
    return Judged(
        labels=origins.labels,
        groups=origins.groups,
        labs=origins.labs,
        classes=origins.classes,
        evidence=[Evidence(tuple(row), count) for row, count in zip(sums.tolist(), counts.tolist(), strict=True)],
        embeddings=embeddings.astype(np.float32),
        owners=np.unique(cells.fields, return_inverse=True)[1],
    )


def restained(cells: Cells, donors: Cells, side_px: int, seed: int) -> Cells:
    """Dress the cells of a part in the stains of other laboratories: the nearest thing to a laboratory not seen.

    Parameters
    ----------
    cells : Cells
        The part.
    donors : Cells
        Cells whose stains are taken.
    side_px : int
        Side of the tiles wanted.
    seed : int
        Seed of the choice of donors.

    Returns
    -------
    Cells
        The same cells, tiles of ``side_px``; those for whose laboratory there is no other keep their stain.
    """
    rng = np.random.default_rng(seed)
    margin = (cells.tiles.shape[1] - side_px) // 2
    middle = slice(margin, margin + side_px)
    labs = donors.of("lab")
    by_lab = {str(lab): np.flatnonzero(labs == lab) for lab in np.unique(labs)}
    tiles = cells.tiles[:, middle, middle].copy()
    own = cells.of("lab")
    dressed = np.flatnonzero([set(by_lab) != {str(lab)} for lab in own])
    chosen = np.array([foreign_donor(by_lab, str(lab), rng) for lab in own[dressed]], np.int64)
    for start in range(0, len(dressed), 512):
        part, giver = dressed[start : start + 512], chosen[start : start + 512]
        mean, covariance = augment.stain_statistics(donors.tiles[giver][:, middle, middle])
        tiles[part] = augment.restain(tiles[part], mean, covariance, np.ones(len(part), np.float32))
    return Cells(tiles, cells.labels, cells.fields, cells.classes, cells.sources)


def joined(parts: list[Judged]) -> Judged:
    """Join the held-out parts of a cross-validation.

    Parameters
    ----------
    parts : list of Judged
        One a fold.

    Returns
    -------
    Judged
        All their fields.
    """
    before = np.cumsum([0, *(len(part.labels) for part in parts)])
    return Judged(
        labels=np.concatenate([part.labels for part in parts]),
        groups=np.concatenate([part.groups for part in parts]),
        labs=np.concatenate([part.labs for part in parts]),
        classes=parts[0].classes,
        evidence=[evidence for part in parts for evidence in part.evidence],
        embeddings=np.concatenate([part.embeddings for part in parts]),
        owners=np.concatenate([part.owners + start for part, start in zip(parts, before, strict=False)]),
    )


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
        Number of fields; for each class and laboratory the share of each verdict; AUROC of each class against the rest
        with its interval; accuracy among decided fields, share decided; expected calibration error.
    """
    calibrated = np.array([verdict.probabilities(e, decision) for e in judged.evidence])
    distances = np.zeros(len(judged.evidence)) if novelty is None else novelty
    verdicts = np.array(
        [
            INDETERMINATE if distance > 1 else verdict.decide(evidence, decision, judged.classes).label
            for evidence, distance in zip(judged.evidence, distances, strict=True)
        ]
    )
    truth = np.array(judged.classes)[judged.labels]
    decided = verdicts != INDETERMINATE
    return {
        "fields": len(truth),
        "verdicts": shares_by_origin(verdicts, judged),
        "auroc": {
            label: auroc_with_interval(truth == label, calibrated[:, i], judged.groups, seed)
            for i, label in enumerate(judged.classes)
            if 0 < (truth == label).sum() < len(truth)
        },
        "pairs": pairs_within_laboratory(calibrated, judged, seed),
        "decided": float(decided.mean()),
        "accuracy_of_decided": float((verdicts == truth)[decided].mean()) if decided.any() else None,
        "calibration_error": expected_calibration_error(calibrated, judged.labels),
        "novelty_quantiles": None if novelty is None else np.quantile(novelty, (0.5, 0.9, 0.99)).round(3).tolist(),
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
    flat |= {f"{part} calibration error": found["calibration_error"]}
    if found["accuracy_of_decided"] is not None:
        flat[f"{part} accuracy of decided"] = found["accuracy_of_decided"]
    for name, interval in found["pairs"].items():
        flat[f"{part} AUROC, {name}"] = interval["auroc"]
        control = report["controls"]["mean colour"][part]["pairs"].get(name)
        if control:
            flat[f"{part} AUROC, {name}, mean colour only"] = control["auroc"]
    return flat
