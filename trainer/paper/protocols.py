"""Three ways to deal out pictures for training and testing; that they disagree is what a comparison shows.

Every protocol tests each quarter in turn (with 4 folds), trained on the other three: the paper's 75/25, four times
over, so that every field is tested and a single lucky split decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from trainer import split
from trainer.errors import DataError
from trainer.paper.fields import AS_TAKEN, Pictures


class Fold(NamedTuple):
    """Rows of pictures.

    Attributes
    ----------
    training, test : ndarray
        Indices, int64, sorted.
    """

    training: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Protocol:
    """A way to split.

    Attributes
    ----------
    title : str
        For tables and figures.
    explanation : str
        A sentence.
    deal : callable
        Pictures, number of folds and seed to folds; raises DataError where they cannot be split so.
    """

    title: str
    explanation: str
    deal: Callable[[Pictures, int, int], list[Fold]]


def as_in_paper(pictures: Pictures, folds: int, seed: int) -> list[Fold]:
    """Augment, then split at random: a field's turned picture may be trained on and the field itself tested.

    Parameters
    ----------
    pictures : Pictures
        Augmented.
    folds : int
        Number of parts, each tested in turn.
    seed : int
        Seed of the deal.

    Returns
    -------
    list of Fold
        Each picture, augmented ones too, is tested once.

    Raises
    ------
    DataError
        When a class has fewer pictures than folds.
    """
    return [Fold(*parts) for parts in _stratified(pictures.labels, pictures.classes, folds, seed)]


def by_field(pictures: Pictures, folds: int, seed: int) -> list[Fold]:
    """Split fields at random, then augment: fields of one slide are on both sides.

    Parameters
    ----------
    pictures : Pictures
        Augmented; what augmentation made is trained on only, and only with its own field.
    folds : int
        Number of parts, each tested in turn.
    seed : int
        Seed of the deal.

    Returns
    -------
    list of Fold
        Each field is tested once, as taken.

    Raises
    ------
    DataError
        When a class has fewer fields than folds.
    """
    taken = np.flatnonzero(pictures.variants == AS_TAKEN)
    dealt = _stratified(pictures.labels[taken], pictures.classes, folds, seed)
    return [_fold(pictures, np.isin(pictures.fields, pictures.fields[taken[test]])) for _, test in dealt]


def by_group(pictures: Pictures, folds: int, seed: int) -> list[Fold]:
    """Split groups (slides, patients) at random, then augment; see :func:`trainer.split.by_group`.

    Parameters
    ----------
    pictures : Pictures
        Augmented.
    folds : int
        Number of parts, each tested in turn.
    seed : int
        Seed of the deal.

    Returns
    -------
    list of Fold
        Each field is tested once, as taken; none of its group is trained on then.

    Raises
    ------
    DataError
        When a class has fewer than two groups.
    """
    shown = sorted(set(pictures.fields.tolist()))
    parts = split.by_group([pictures.sources[index] for index in shown], (), folds, seed)
    return [_fold(pictures, np.isin(pictures.groups, sorted(part))) for part in parts.folds]


def by_laboratory(pictures: Pictures, folds: int, seed: int) -> list[Fold]:  # noqa: ARG001 - laboratories are the folds
    """Leave each laboratory out in turn, then augment.

    Parameters
    ----------
    pictures : Pictures
        Augmented.
    folds, seed : int
        Not used: laboratories decide.

    Returns
    -------
    list of Fold
        Each field is tested once, as taken; none of its laboratory is trained on then.

    Raises
    ------
    DataError
        When a class comes from one laboratory only: left out, it could not be learned.
    """
    for label in np.unique(pictures.labels).tolist():
        if len(np.unique(pictures.labs[pictures.labels == label])) < 2:
            raise DataError(
                f"class {pictures.classes[label]!r}",
                "comes from one laboratory only, so no laboratory can be left out",
                "Add fields of it from another, or split by group",
            )
    return [_fold(pictures, pictures.labs == lab) for lab in np.unique(pictures.labs)]


PROTOCOLS: dict[str, Protocol] = {
    "paper": Protocol(
        "as in the paper",
        "augmented first, then split at random: a field and its own turned picture or edge map fall on both sides",
        as_in_paper,
    ),
    "field": Protocol(
        "by field",
        "split by field, then augmented: other fields of the same slide fall on both sides",
        by_field,
    ),
    "group": Protocol(
        "by group",
        "split by group (slide, patient), then augmented: nothing of a tested slide was trained on",
        by_group,
    ),
    "lab": Protocol(
        "by laboratory",
        "each laboratory left out in turn, then augmented: nothing of a tested laboratory was trained on",
        by_laboratory,
    ),
}


def _fold(pictures: Pictures, unseen: NDArray[np.bool_]) -> Fold:
    training, test = np.flatnonzero(~unseen), np.flatnonzero(unseen & (pictures.variants == AS_TAKEN))
    if not len(test):
        raise DataError("the split", "a part to be tested is empty", "Ask for fewer --folds")
    lacking = set(np.unique(pictures.labels).tolist()) - set(pictures.labels[training].tolist())
    if lacking:
        name = pictures.classes[min(lacking)]
        raise DataError("the split", f"nothing of class {name!r} is left to train on", "Add fields of other groups")
    return Fold(training, test)


def _stratified(
    labels: NDArray[np.int64], classes: tuple[str, ...], folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    counts = np.bincount(labels, minlength=len(classes))
    for label in np.unique(labels).tolist():
        if counts[label] < folds:
            raise DataError(
                f"class {classes[label]!r}",
                f"has {counts[label]} pictures, too few for {folds} folds",
                "Add fields, or ask for fewer --folds",
            )
    return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels))
