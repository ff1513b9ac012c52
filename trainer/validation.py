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
    held_out, restained : Judged
        The fields as they are, and in stains of other laboratories.
    novelty : ndarray
        Shape (fields,), distance of each field in units of the refusal threshold.
    warns, refuses : float
        Distances of the warning and of refusal.
    networks : tuple
        The network of each fold.
    folds : ndarray
        Shape (fields,), int64, whose network judged each field.
    least_probability : float
        Threshold of abstention.
    """

    held_out: Judged
    restained: Judged
    novelty: NDArray[np.float64]
    warns: float
    refuses: float
    networks: tuple[Any, ...]
    folds: NDArray[np.int64]
    least_probability: float

    def decision(self, without: NDArray[np.bool_] | None = None) -> Decision:
        """Fit the decision on all fields but some.

        Parameters
        ----------
        without : ndarray, optional
            Shape (fields,), bool, those that it must not see, since it will be measured on them; None: it sees all,
            and is the one to be deployed.
        """
        seen = np.ones(len(self.folds), np.bool_) if without is None else ~without
        return calibrate.fit_decision(
            self.held_out.where(seen), self.restained.where(seen), self.least_probability, self.warns / self.refuses
        )

    @cached_property
    def decisions(self) -> list[Decision]:
        """For each field the decision that was fitted on the other folds: figures are measured by these."""
        of_folds = [self.decision(self.folds == fold) for fold in range(self.folds.max() + 1)]
        return [of_folds[fold] for fold in self.folds.tolist()]


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
    held_out, restained, known, foreign, distances, networks = [], [], [], [], [], []
    for number, fold in enumerate(folds, start=1):
        outside = np.isin(groups, sorted(fold)) & ~always
        seen, unseen = cells.where(~outside & ~always), cells.where(outside)
        networks.append(train(cells.where(~outside), settings, f"fold {number} of {len(folds)}", around))
        judged = evaluate.judge(networks[-1], seen, settings.tile_px)
        mean, whitening = calibrate.fit_novelty(judged.embeddings, judged.cell_weights)
        own = evaluate.judge(networks[-1], unseen, settings.tile_px)
        dressed = evaluate.judge(
            networks[-1], evaluate.restained(unseen, seen, settings.tile_px, settings.seed), settings.tile_px
        )
        distance = own.distances(mean, whitening)
        is_known = np.isin(own.labs, np.unique(labs[~outside & ~always]))
        known.append(distance[is_known])
        foreign.append(distance[~is_known])
        without_cells = [source for source in empty if source.group in fold]
        held_out.append(evaluate.with_empty(own, without_cells))
        restained.append(evaluate.with_empty(dressed, without_cells))
        distances.append(held_out[-1].distances(mean, whitening))
    warns, refuses = calibrate.novelty_thresholds(np.concatenate(known), np.concatenate(foreign))
    return Validated(
        evaluate.joined(held_out),
        evaluate.joined(restained),
        np.concatenate(distances) / refuses,
        warns,
        refuses,
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
) -> list[Judged]:
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
    list of Judged
        Fields of each part.
    """
    groups = cells.of("group")
    judged = []
    for name, part in parts:
        outside = np.isin(groups, sorted(part)) & ~always
        network = train(cells.where(~outside), settings, f"without {name}", around)
        found = evaluate.judge(network, cells.where(outside), settings.tile_px)
        judged.append(evaluate.with_empty(found, [source for source in empty if source.group in part]))
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
