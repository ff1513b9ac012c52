"""What a network says of the fields of a part: its evidence, pooled by field, in their own stain and in others'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import verdict
from edge.verdict import Evidence
from trainer import augment
from trainer.cells import PART, Cells
from trainer.sampling import foreign_donor


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
    paths : ndarray
        Shape (fields,), str, their pictures.
    """

    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    labs: NDArray[np.str_]
    classes: tuple[str, ...]
    paths: NDArray[np.str_]

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
        paths=np.array([str(source.path) for source in sources]),
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
    chunks = [network.predict_on_batch(cells.middles(side_px, part).astype(np.float32)) for part in cells.parts()]
    probabilities = verdict.softmax(np.concatenate([np.asarray(logits) for logits, _ in chunks]))
    embeddings = np.concatenate([np.asarray(embedding) for _, embedding in chunks])
    origins, sums, counts = pooled(cells, probabilities)
    return Judged(
        labels=origins.labels,
        groups=origins.groups,
        labs=origins.labs,
        classes=origins.classes,
        paths=origins.paths,
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
        paths=np.concatenate([part.paths for part in parts]),
        evidence=[evidence for part in parts for evidence in part.evidence],
        embeddings=np.concatenate([part.embeddings for part in parts]),
        owners=np.concatenate([part.owners + start for part, start in zip(parts, before, strict=False)]),
    )
