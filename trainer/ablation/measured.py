"""What is measured of a recipe: verdicts and probabilities of cross-validated fields, as they are and restained."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.verdict import Evidence
from trainer import figures
from trainer.evaluate import Judged
from trainer.figures import Decided
from trainer.settings import Settings
from trainer.validation import Validated

AS_THEY_ARE, RESTAINED = "as they are", "restained"


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure, with its 95% interval over groups where one was measured."""

    value: float
    low: float | None = None
    high: float | None = None


class FieldSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the network of a fold said of a field that it never saw.

    Attributes
    ----------
    path : str
        Name of the field: its picture's path, and its region of interest if it has one.
    label, group, lab : str
        Whence it is.
    fold : int
        Which network judged it, from 0.
    cells : Evidence
        Its cells in its own stain.
    novelty : float
        Distance of the field in units of the refusal threshold.
    restained : tuple of (Evidence, float) or None
        The same two in others' stains; None where there is a single laboratory.
    """

    path: str
    label: str
    group: str
    lab: str
    fold: int
    cells: Evidence
    novelty: float
    restained: tuple[Evidence, float] | None = None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a variant.

    Attributes
    ----------
    variant, title : str
        See :class:`trainer.ablation.variants.Variant`.
    key : str
        Digest of all that decides it.
    settings : Settings
        Its settings.
    classes : tuple of str
        Class names.
    loss : float
        As ``trainer search`` measures it: mean of the looks.
    looks : dict
        ``"as they are"`` and, of several laboratories, ``"restained"``, each to figures by name.
    fields : tuple of FieldSeen
        All cross-validated fields.
    """

    variant: str
    title: str
    key: str
    settings: Settings
    classes: tuple[str, ...]
    loss: float
    looks: dict[str, dict[str, Figure]]
    fields: tuple[FieldSeen, ...]


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A variant that could not be trained.

    Attributes
    ----------
    variant, title, key : str
        As of :class:`Measured`.
    why : str
        What its training failed of.
    """

    variant: str
    title: str
    key: str
    why: str


def of_validated(name: str, title: str, key: str, settings: Settings, validated: Validated) -> Measured:
    """Measure what the networks of a cross-validation say.

    Parameters
    ----------
    name, title : str
        Which variant was trained.
    key : str
        Digest of all that decides it.
    settings : Settings
        Its settings.
    validated : Validated
        What its networks said.

    Returns
    -------
    Measured
        Its figures.
    """
    own, dressed = validated.held_out, validated.restained
    looks = {AS_THEY_ARE: (own, figures.decided(own, validated.novelty, validated.decisions))}
    restained: list[tuple[Evidence, float] | None] = [None] * len(own.labels)
    if dressed is not None and validated.restained_novelty is not None:
        looks[RESTAINED] = dressed, figures.decided(dressed, validated.restained_novelty, validated.decisions)
        restained = list(zip(dressed.evidence, validated.restained_novelty.tolist(), strict=True))
    fields = tuple(
        FieldSeen(
            path=path,
            label=own.classes[label],
            group=group,
            lab=lab,
            fold=fold,
            cells=own.evidence[number],
            novelty=novelty,
            restained=restained[number],
        )
        for number, (path, label, group, lab, fold, novelty) in enumerate(
            zip(
                *(
                    each.tolist()
                    for each in (own.names, own.labels, own.groups, own.labs, validated.folds, validated.novelty)
                ),
                strict=True,
            )
        )
    )
    return of_looks(name, title, key, settings, looks, fields)


def of_looks(
    name: str,
    title: str,
    key: str,
    settings: Settings,
    looks: Mapping[str, tuple[Judged, Decided]],
    fields: tuple[FieldSeen, ...],
) -> Measured:
    """Measure decisions on the fields as they are and restained.

    Parameters
    ----------
    name, title : str
        Which variant it is.
    key : str
        Digest of all that decides it.
    settings : Settings
        Its settings.
    looks : mapping of str to (Judged, Decided)
        The fields in the order of ``fields``, and what was decided on each.
    fields : tuple of FieldSeen
        What the networks said of them.

    Returns
    -------
    Measured
        Its figures.
    """
    folds = np.array([field.fold for field in fields])
    return Measured(
        variant=name,
        title=title,
        key=key,
        settings=settings,
        classes=next(iter(looks.values()))[0].classes,
        loss=sum(figures.log_loss(found, judged) for judged, found in looks.values()) / len(looks),
        looks={
            look: of_look(judged, found, left_out(judged.labs, folds), settings.seed)
            for look, (judged, found) in looks.items()
        },
        fields=fields,
    )


def left_out(labs: NDArray[np.str_], folds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which fields are of laboratories that lie in one fold whole: their network never saw the laboratory.

    Parameters
    ----------
    labs : ndarray
        Shape (fields,), str.
    folds : ndarray
        Shape (fields,), int64.

    Returns
    -------
    ndarray
        Shape (fields,), bool.
    """
    whole = [lab for lab in np.unique(labs) if len(np.unique(folds[labs == lab])) == 1]
    return np.isin(labs, whole)


def of_look(judged: Judged, found: Decided, foreign: NDArray[np.bool_], seed: int) -> dict[str, Figure]:
    """Measure decisions on fields.

    Parameters
    ----------
    judged : Judged
        The fields.
    found : Decided
        What was decided on each.
    foreign : ndarray
        Shape (fields,), bool, those of laboratories that were left out whole.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict of str to Figure
        AUROC of each pair of classes that one laboratory has both of, accuracy of the most probable class, share of
        the fields of left-out laboratories that are called another class, share of each class that is called so
        (laboratories alike), mean negative log-likelihood, expected calibration error.
    """
    told = figures.figures(judged, found, seed)
    values = {
        f"AUROC {name}": _interval(pair, "auroc")
        for name, pair in told["pairs"].items()
        if not name.endswith(figures.ACROSS)
    }
    values["accuracy"] = _interval(told["accuracy"], "share")
    truth = np.array(judged.classes)[judged.labels]
    if foreign.any():
        wrong = (found.verdicts != truth) & np.isin(found.verdicts, judged.classes)
        values["left-out laboratories, called another class"] = Figure(value=float(wrong[foreign].mean()))
    for label in judged.classes:
        of_class = truth == label
        right = (found.verdicts == label)[of_class]
        values[f"{label} called {label}"] = Figure(value=float(np.average(right, weights=judged.weights[of_class])))
    values["log loss"] = Figure(value=figures.log_loss(found, judged))
    values["calibration error"] = Figure(value=told["calibration_error"])
    return values


def _interval(figure: Mapping[str, float], of: str) -> Figure:
    return Figure(value=figure[of], low=figure.get("low"), high=figure.get("high"))
