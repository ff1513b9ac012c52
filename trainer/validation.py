"""Networks trained on some groups and measured on the others: what the decision is fitted on, and the figures taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.verdict import Decision
from trainer import calibrate, controls, evaluate
from trainer.cells import Cells
from trainer.evaluate import Judged
from trainer.learning import Surroundings, train
from trainer.manifest import LabelledField
from trainer.settings import Settings

SHUFFLED_STEPS = 3
"""By how much fewer steps a network is trained on shuffled labels: a leak shows in a third of the time."""


@dataclass(frozen=True, eq=False)
class Validated:
    """Fields as networks see them that were not trained on them.

    Attributes
    ----------
    held_out : Judged
        The fields as they are.
    restained : Judged or None
        The same fields in stains of other laboratories; None where there is a single laboratory.
    distances : ndarray
        Shape (fields,), novelty of each field to the network of its fold, 0 without cells.
    restained_distances : ndarray or None
        The same of the restained.
    is_known : ndarray
        Shape (fields,), bool, those of whose laboratory the network of their fold saw other fields.
    networks : tuple
        The network of each fold.
    folds : ndarray
        Shape (fields,), int64, whose network judged each field.
    least_probability : float
        Threshold of abstention.
    """

    held_out: Judged
    restained: Judged | None
    distances: NDArray[np.float64]
    restained_distances: NDArray[np.float64] | None
    is_known: NDArray[np.bool_]
    networks: tuple[Any, ...]
    folds: NDArray[np.int64]
    least_probability: float

    @property
    def looks(self) -> tuple[Judged, ...]:
        """The fields as they are and, where there are foreign stains, restained."""
        return (self.held_out,) if self.restained is None else (self.held_out, self.restained)

    def thresholds(self, without: NDArray[np.bool_] | None = None) -> tuple[float, float]:
        """Choose the distances of the warning and of refusal by all fields but some; see :meth:`decision`."""
        seen = np.array([evidence.tiles > 0 for evidence in self.held_out.evidence])
        if without is not None:
            seen &= ~without
        known, foreign = self.distances[seen & self.is_known], self.distances[seen & ~self.is_known]
        return calibrate.novelty_thresholds(known, foreign)

    def decision(self, without: NDArray[np.bool_] | None = None) -> Decision:
        """Fit the decision on all fields but some.

        Parameters
        ----------
        without : ndarray, optional
            Shape (fields,), bool, those that it must not see, since it will be measured on them; None: it sees all,
            and is the one to be deployed.
        """
        seen = np.ones(len(self.folds), np.bool_) if without is None else ~without
        warns, refuses = self.thresholds(without)
        return calibrate.fit_decision(
            [look.where(seen) for look in self.looks], self.least_probability, warns / refuses
        )

    @cached_property
    def decisions(self) -> list[Decision]:
        """For each field the decision that was fitted on the other folds: figures are measured by these."""
        of_folds = [self.decision(self.folds == fold) for fold in range(self.folds.max() + 1)]
        return [of_folds[fold] for fold in self.folds.tolist()]

    @property
    def novelty(self) -> NDArray[np.float64]:
        """Distance of each field in units of the refusal threshold that the other folds give; shape (fields,)."""
        return self.distances / self._refuses

    @property
    def restained_novelty(self) -> NDArray[np.float64] | None:
        """The same of the restained fields, None where there are none."""
        return None if self.restained_distances is None else self.restained_distances / self._refuses

    @cached_property
    def _refuses(self) -> NDArray[np.float64]:
        return np.array([self.thresholds(self.folds == fold)[1] for fold in range(self.folds.max() + 1)])[self.folds]


def cross_validate(
    cells: Cells,
    always: NDArray[np.bool_],
    folds: Sequence[frozenset[str]],
    empty: Sequence[LabelledField],
    settings: Settings,
    around: Surroundings,
) -> Validated:
    """Train a network a fold, on the groups of the other folds, and judge the fold with it.

    Parameters
    ----------
    cells : Cells
        The training part.
    always : ndarray
        Shape (cells,), bool, drawn cells: every network is trained on them, none is judged by them.
    folds : sequence of frozenset of str
        Groups of each fold, of one at least each.
    empty : sequence of LabelledField
        Fields without a nucleus, of these groups and others.
    settings : Settings
        How networks are trained.
    around : Surroundings
        Where progress, checkpoints and logs go.

    Returns
    -------
    Validated
        Fields of all folds.
    """
    groups, labs = cells.of("group"), cells.of("lab")
    foreign_stains = evaluate.can_be_restained(cells.where(~always))
    held_out, restained, is_known, distances, restained_distances, networks = [], [], [], [], [], []
    for number, fold in enumerate(folds, start=1):
        outside = np.isin(groups, sorted(fold)) & ~always
        seen, unseen = cells.where(~outside & ~always), cells.where(outside)
        networks.append(train(cells.where(~outside), settings, f"fold {number} of {len(folds)}", around))
        judged = evaluate.judge(networks[-1], seen, settings.tile_px)
        mean, whitening = calibrate.fit_novelty(judged.embeddings, judged.cell_weights)
        without_cells = [source for source in empty if source.group in fold]
        own = evaluate.judge(networks[-1], unseen, settings.tile_px)
        held_out.append(evaluate.with_empty(own, without_cells))
        distances.append(held_out[-1].distances(mean, whitening))
        is_known.append(np.isin(held_out[-1].labs, np.unique(labs[~outside & ~always])))
        if foreign_stains:
            dressed = evaluate.restained(unseen, seen, settings.tile_px, settings.seed)
            found = evaluate.judge(networks[-1], dressed, settings.tile_px)
            restained.append(evaluate.with_empty(found, without_cells))
            restained_distances.append(restained[-1].distances(mean, whitening))
    return Validated(
        evaluate.joined(held_out),
        evaluate.joined(restained) if foreign_stains else None,
        np.concatenate(distances),
        np.concatenate(restained_distances) if foreign_stains else None,
        np.concatenate(is_known),
        tuple(networks),
        np.repeat(np.arange(len(folds)), [len(judged.labels) for judged in held_out]),
        settings.least_probability,
    )


def leave_out(
    cells: Cells,
    always: NDArray[np.bool_],
    parts: Sequence[tuple[str, frozenset[str]]],
    empty: Sequence[LabelledField],
    settings: Settings,
    around: Surroundings,
) -> list[tuple[Judged, NDArray[np.float64]]]:
    """Judge each part by a network that saw all but that part.

    Parameters
    ----------
    cells : Cells
        The training part.
    always : ndarray
        Shape (cells,), bool, drawn cells, trained on always.
    parts : sequence of (str, frozenset of str)
        Name, and groups, of each part; see :func:`trainer.split.by_laboratory`.
    empty : sequence of LabelledField
        Fields without a nucleus, of these groups and others.
    settings : Settings
        How networks are trained.
    around : Surroundings
        Where progress, checkpoints and logs go.

    Returns
    -------
    list of (Judged, ndarray)
        Fields of each part, and their novelty to that network, shape (fields,).
    """
    groups = cells.of("group")
    judged = []
    for name, part in parts:
        outside = np.isin(groups, sorted(part)) & ~always
        network = train(cells.where(~outside), settings, f"without {name}", around)
        seen = evaluate.judge(network, cells.where(~outside & ~always), settings.tile_px)
        mean, whitening = calibrate.fit_novelty(seen.embeddings, seen.cell_weights)
        own = evaluate.judge(network, cells.where(outside), settings.tile_px)
        found = evaluate.with_empty(own, [source for source in empty if source.group in part])
        judged.append((found, found.distances(mean, whitening)))
    return judged


def with_shuffled_labels(
    cells: Cells, always: NDArray[np.bool_], fold: frozenset[str], settings: Settings, around: Surroundings
) -> Judged:
    """Judge a fold by a network that was trained on shuffled labels: it can know nothing, unless something leaks.

    Parameters
    ----------
    cells : Cells
        The training part.
    always : ndarray
        Shape (cells,), bool, drawn cells; left out, since their labels cannot be shuffled with those of fields.
    fold : frozenset of str
        Groups of the fold.
    settings : Settings
        How the network is trained.
    around : Surroundings
        Where progress, checkpoints and logs go.

    Returns
    -------
    Judged
        Fields of the fold, with their true labels.
    """
    outside = np.isin(cells.of("group"), sorted(fold)) & ~always
    seen = controls.shuffled(cells.where(~outside & ~always), settings.seed)
    # Nothing is watched: what would be chosen by has shuffled labels, too.
    fewer = replace(settings, steps=max(1, settings.steps // SHUFFLED_STEPS), stop_on=())
    network = train(seen, fewer, "shuffled labels", around)
    return evaluate.judge(network, cells.where(outside), settings.tile_px)
