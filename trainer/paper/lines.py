"""Lines of the tables: what a system achieved, what a protocol added to it, and whether a shortcut does as well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.paper import measures
from trainer.paper.controls import SHORTCUTS
from trainer.paper.results import Comparison, Inflation, Outcome, Row

AUROC = "AUROC"
LAST_STEPS = 50
"""Steps of each training whose mean loss a line tells."""


def row(outcome: Outcome, seed: int) -> Row:
    """Measure an outcome.

    Parameters
    ----------
    outcome : Outcome
        What a system did.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Row
        A line of Table 2.
    """
    figures = measures.with_intervals(outcome.confusions, seed)
    figures[AUROC] = measures.auroc(outcome.labels, outcome.scores, outcome.groups, seed)
    last = [loss for losses in outcome.part.losses for loss in losses[-LAST_STEPS:]]
    return Row(
        task=outcome.task,
        protocol=outcome.protocol,
        system=outcome.system,
        title=outcome.title,
        is_control=outcome.is_control,
        tested=len(outcome.labels),
        figures=figures,
        accuracy_as_taken=float((outcome.called == outcome.labels)[outcome.taken].mean()),
        confusion=outcome.confusions.sum(axis=0).tolist(),
        last_loss=float(np.mean(last)) if last else None,
        restarts=sum(outcome.part.restarts),
        parameters=outcome.part.parameters,
        size_bytes=outcome.part.size_bytes,
        ms_per_picture=outcome.part.ms_per_picture,
        training_s=outcome.part.training_s,
    )


def inflation(outcomes: Sequence[Outcome], seed: int) -> list[Inflation]:
    """Subtract each system's accuracy by the other protocols from the one as in the paper.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of all systems by all protocols.
    seed : int
        Seed of the resampling.

    Returns
    -------
    list of Inflation
        Of the systems, not of the controls; empty without the paper's protocol.
    """
    found = []
    flattering = {(one.task, one.system): one for one in outcomes if one.protocol == "paper" and not one.is_control}
    for other in outcomes:
        one = flattering.get((other.task, other.system))
        if one is None or other.protocol == "paper":
            continue
        taken = measures.confusions(
            one.labels[one.taken], one.called[one.taken], one.groups[one.taken], len(one.task.classes)
        )
        found.append(
            Inflation(
                task=one.task,
                system=one.system,
                title=one.title,
                protocol=other.protocol,
                points=measures.difference(one.confusions, other.confusions, seed),
                as_taken=measures.difference(taken, other.confusions, seed),
                one_class_only=one.one_class_only + other.one_class_only,
            )
        )
    return found


def explained(found: Comparison, one: Row) -> bool:
    """Say whether a reader of a shortcut does as well as a system, so that its figure shows nothing of the disease.

    Parameters
    ----------
    found : Comparison
        The comparison.
    one : Row
        A system's line of Table 2.

    Returns
    -------
    bool
        Whether its balanced accuracy is within or below the interval of mean colour's, or of the background's, by the
        same protocol.
    """
    bounds = [
        other.figures["balanced accuracy"]
        for other in found.rows
        if other.system in SHORTCUTS and (other.task, other.protocol) == (one.task, one.protocol)
    ]
    return any(one.figures["balanced accuracy"].value <= (bound.high or bound.value) for bound in bounds)
