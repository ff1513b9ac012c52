"""Honest splits: whole groups only; where a laboratory has a single group, the whole laboratory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainer import manifest
from trainer.errors import DataError
from trainer.manifest import LabelledField


class Parts(NamedTuple):
    """Groups of the parts of a data set.

    Attributes
    ----------
    test : frozenset of str
        What neither the network nor its calibration sees.
    folds : tuple of frozenset of str
        The others, dealt out for cross-validation.
    """

    test: frozenset[str]
    folds: tuple[frozenset[str], ...]

    @property
    def training(self) -> frozenset[str]:
        """Every group but the test part's."""
        return frozenset().union(*self.folds)


def by_group(fields: Sequence[LabelledField], hold_out: Sequence[str], folds: int, seed: int) -> Parts:
    """Split a data set by group.

    The groups of each class of each laboratory are dealt out over the folds; a laboratory's only group falls into
    one fold, so that fold measures a laboratory that its network never saw.

    Parameters
    ----------
    fields : sequence of LabelledField
        The data set.
    hold_out : sequence of str
        Groups, or laboratories, of the test part.
    folds : int
        Number of folds, at least 2; there are fewer when there are fewer groups.
    seed : int
        Seed of the deal.

    Returns
    -------
    Parts
        Disjoint groups that together are all.

    Raises
    ------
    DataError
        When a held-out name is unknown, or a class would be missing from a fold's training part.
    """
    names = {field.group for field in fields} | {field.lab for field in fields}
    unknown = sorted(set(hold_out) - names)
    if unknown:
        raise DataError(f"--hold-out {unknown[0]}", "is neither a group nor a laboratory of the manifest")
    test = {field.group for field in fields if field.group in hold_out or field.lab in hold_out}
    origins: dict[tuple[str, str], set[str]] = defaultdict(set)
    labels: dict[str, set[str]] = defaultdict(set)
    for field in fields:
        if field.group not in test:
            origins[field.label, field.lab].add(field.group)
            labels[field.group].add(field.label)
    rng = np.random.default_rng(seed)
    order: dict[str, None] = {}
    for _, groups in sorted(origins.items(), key=lambda item: (len(item[1]) == 1, item[0])):
        order |= dict.fromkeys(rng.permutation(sorted(groups - order.keys())).tolist())
    fold_of = dict(zip(order, manifest.deal([labels[group] for group in order], folds), strict=True))
    for label in sorted({field.label for field in fields}):
        if len({fold for group, fold in fold_of.items() if label in labels[group]}) < 2:
            why, remedy = "has fewer than two groups to train on", "Hold out less, or add fields of another slide"
            if sum(label in of_group for of_group in labels.values()) > 1:
                why, remedy = "is in one fold alone, since its groups hold other classes too", "Ask for more --folds"
            raise DataError(f"class {label!r}", why, remedy)
    dealt = [frozenset(group for group, own in fold_of.items() if own == fold) for fold in range(folds)]
    return Parts(frozenset(test), tuple(fold for fold in dealt if fold))


def by_laboratory(fields: Sequence[LabelledField]) -> list[tuple[str, frozenset[str]]]:
    """Choose what to leave out so that a network meets a laboratory for the first time.

    A class of a laboratory is left out where another laboratory has that class too: elsewhere class and laboratory
    cannot be told apart, and a network that never saw a class says nothing of it.

    Parameters
    ----------
    fields : sequence of LabelledField
        The training part.

    Returns
    -------
    list of (str, frozenset of str)
        Name of each laboratory and its groups of classes that others have too; empty when no two share a class.
    """
    labs_of: dict[str, set[str]] = defaultdict(set)
    for field in fields:
        labs_of[field.label].add(field.lab)
    left_out: dict[str, set[str]] = defaultdict(set)
    for field in fields:
        if len(labs_of[field.label]) > 1:
            left_out[field.lab].add(field.group)
    # A group with a class that no other laboratory has stays, whatever else is in it.
    for field in fields:
        if len(labs_of[field.label]) == 1:
            left_out[field.lab].discard(field.group)
    return [(lab, frozenset(groups)) for lab, groups in sorted(left_out.items()) if groups]


def require_watched(
    fields: Sequence[LabelledField], parts: Parts, names: Sequence[str], besides: Sequence[frozenset[str]] = ()
) -> None:
    """Refuse to watch what is not there, or what a class cannot be learned without.

    Parameters
    ----------
    fields : sequence of LabelledField
        The data set.
    parts : Parts
        Groups of each part.
    names : sequence of str
        Groups and laboratories that are to be watched, see :mod:`trainer.stopping`.
    besides : sequence of frozenset of str
        Groups of what is left out besides each fold.

    Raises
    ------
    DataError
        When one is not in the training part, or a network would be trained on nothing of a class.
    """
    training = [field for field in fields if field.group in parts.training]
    there = {field.group for field in training} | {field.lab for field in training}
    if unknown := sorted(set(names) - there):
        raise DataError(f"--stop-on {unknown[0]}", "is neither a group nor a laboratory of the training part")
    watched = {field.group for field in training if field.group in names or field.lab in names}
    labels = {field.label for field in training}
    for left_out in (frozenset[str](), *parts.folds, *besides):
        remaining = {field.label for field in training if field.group not in watched | left_out}
        if missing := sorted(labels - remaining) if watched else []:
            raise DataError(
                f"--stop-on {', '.join(names)}",
                f"leaves {'a fold ' if left_out else ''}nothing of class {missing[0]!r} to train on",
                "Watch less, or another group",
            )
