"""What a network says of the fields of a part: its evidence, pooled by field, in their own stain and in others'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import verdict
from edge.model.description import Tiling
from edge.verdict import Evidence
from edge.vision import tiling
from trainer import augment
from trainer.cells import PART, Cells
from trainer.errors import TrainingFailed
from trainer.manifest import LabelledField
from trainer.sampling import foreign_donor


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """Where fields come from and what they are; one row a field.

    Attributes
    ----------
    labels : ndarray
        Shape (fields,), int64, class of the field.
    groups, labs : ndarray
        Shape (fields,), str.
    classes : tuple of str
        Class names.
    names : ndarray
        Shape (fields,), str, see :attr:`edge.manifest.LabelledField.name`.
    """

    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    labs: NDArray[np.str_]
    classes: tuple[str, ...]
    names: NDArray[np.str_]

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

    def where(self, chosen: NDArray[np.bool_]) -> Origins:
        """Return the chosen fields only; ``chosen`` is a mask of shape (fields,)."""
        return Origins(self.labels[chosen], self.groups[chosen], self.labs[chosen], self.classes, self.names[chosen])


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
        """Weight of each cell: a field's is shared by its cells; shape (cells,), sums to 1 over fields with cells."""
        return np.asarray((self.weights / np.maximum(self._cells, 1))[self.owners])

    def distances(self, mean: NDArray[np.float32], whitening: NDArray[np.float32]) -> NDArray[np.float64]:
        """Novelty of each field, as :func:`edge.verdict.novelty` measures it, 0 without cells; shape (fields,)."""
        of_cells = np.linalg.norm((self.embeddings - mean) @ whitening, axis=1)
        return np.asarray(np.bincount(self.owners, of_cells, len(self.labels)) / np.maximum(self._cells, 1))

    @property
    def _cells(self) -> NDArray[np.int64]:
        return np.bincount(self.owners, minlength=len(self.labels))

    def where(self, chosen: NDArray[np.bool_]) -> Judged:
        """Return the chosen fields only, with their cells; ``chosen`` is a mask of shape (fields,)."""
        kept = chosen[self.owners]
        return Judged(
            labels=self.labels[chosen],
            groups=self.groups[chosen],
            labs=self.labs[chosen],
            classes=self.classes,
            names=self.names[chosen],
            evidence=[self.evidence[field] for field in np.flatnonzero(chosen)],
            embeddings=self.embeddings[kept],
            owners=(np.cumsum(chosen) - 1)[self.owners[kept]],
        )


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
        names=np.array([source.name for source in sources]),
    )
    return origins, sums, np.bincount(where)


def judge(network: Any, cells: Cells, side_px: int) -> Judged:
    """Run the network over the cells of a part and pool them by field, as many of a field as a device would judge.

    Parameters
    ----------
    network : keras.Model
        Tiles to logits and embedding.
    cells : Cells
        The part, the cells of a field in the order in which they were found.
    side_px : int
        Side of the network's tiles; the middle of larger ones is taken.

    Returns
    -------
    Judged
        Evidence of each field, embedding of each cell.

    Raises
    ------
    TrainingFailed
        When what the network says of a cell is no number.
    """
    most = Tiling(strategy="nuclei", tile_px=side_px).most_tiles
    cells = cells.where(tiling.sample_of_each(cells.fields, most))
    chunks = [network.predict_on_batch(cells.middles(side_px, part).astype(np.float32)) for part in cells.parts()]
    logits, embeddings = (np.concatenate([np.asarray(of) for of in outputs]) for outputs in zip(*chunks, strict=True))
    _require_numbers(cells, logits, embeddings)
    origins, sums, counts = pooled(cells, verdict.softmax(logits))
    return Judged(
        labels=origins.labels,
        groups=origins.groups,
        labs=origins.labs,
        classes=origins.classes,
        names=origins.names,
        evidence=[Evidence(tuple(row), count) for row, count in zip(sums.tolist(), counts.tolist(), strict=True)],
        embeddings=embeddings.astype(np.float32),
        owners=np.unique(cells.fields, return_inverse=True)[1],
    )


def _require_numbers(cells: Cells, *said: NDArray[np.floating]) -> None:
    """Refuse a network that blew up at its last step, after which no loss is measured."""
    is_number = np.logical_and.reduce([np.isfinite(of).all(axis=1) for of in said])
    if not is_number.all():
        first = cells.sources[cells.fields[is_number.argmin()]].path
        raise TrainingFailed(
            "the trained network", f"what it says of a cell of {first} is no number", "Lower --learning-rate"
        )


def with_empty(judged: Judged, empty: Sequence[LabelledField]) -> Judged:
    """Add the fields of a part in which no nucleus was found: the device says *indeterminate* of them.

    Left out, they would make every figure better than what a user sees.

    Parameters
    ----------
    judged : Judged
        The part's fields with cells.
    empty : sequence of LabelledField
        Those without.

    Returns
    -------
    Judged
        All, those without cells last.
    """
    return Judged(
        labels=np.append(judged.labels, [judged.classes.index(source.label) for source in empty]).astype(np.int64),
        groups=np.append(judged.groups, [source.group for source in empty]),
        labs=np.append(judged.labs, [source.lab for source in empty]),
        classes=judged.classes,
        names=np.append(judged.names, [source.name for source in empty]),
        evidence=[*judged.evidence, *(Evidence((0.0,) * len(judged.classes), 0) for _ in empty)],
        embeddings=judged.embeddings,
        owners=judged.owners,
    )


def can_be_restained(cells: Cells) -> bool:
    """Say whether cells are of several laboratories: of a single one there is no foreign stain to take."""
    return len(np.unique(cells.of("lab"))) > 1


def restained(cells: Cells, donors: Cells, side_px: int, seed: int) -> Cells:
    """Dress the cells of a part in the stains of other laboratories: what changes with the stain alone.

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
    labs = donors.of("lab")
    by_lab = {str(lab): np.flatnonzero(labs == lab) for lab in np.unique(labs)}
    tiles = cells.middles(side_px)
    own = cells.of("lab")
    dressed = np.flatnonzero([set(by_lab) != {str(lab)} for lab in own])
    chosen = np.array([foreign_donor(by_lab, str(lab), rng) for lab in own[dressed]], np.int64)
    for start in range(0, len(dressed), PART):
        part, giver = dressed[start : start + PART], chosen[start : start + PART]
        mean, covariance = augment.stain_statistics(donors.middles(side_px, giver))
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
        names=np.concatenate([part.names for part in parts]),
        evidence=[evidence for part in parts for evidence in part.evidence],
        embeddings=np.concatenate([part.embeddings for part in parts]),
        owners=np.concatenate([part.owners + start for part, start in zip(parts, before, strict=False)]),
    )
