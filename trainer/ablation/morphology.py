"""Measured morphology joined to what the network says of a field, by a linear reader that has not seen the field.

The reader is fitted on the fields of the other folds, as they are and restained, as the decision is: without the
fields of laboratories that are left out whole. Beside it stands a reader of the network's shares alone, so that what
the reader itself does is not taken for what morphology does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from edge.result import INDETERMINATE
from edge.verdict import Evidence
from edge.vision import morphology, nuclei
from edge.vision.field import Field, prepare
from trainer import augment, calibrate, figures, pictures
from trainer.ablation.measured import AS_THEY_ARE, RESTAINED, Measured, of_looks
from trainer.augment import Stains
from trainer.cells import Cells
from trainer.dataset import Dataset
from trainer.evaluate import Judged
from trainer.figures import Decided
from trainer.sampling import foreign_donor
from trainer.settings import Settings

Shapes = dict[str, NDArray[np.float64]]
"""Of each look, shape (fields, 3): logarithms of nuclear area (um2) and of nucleus to cytoplasm, cytoplasm fraction;
NaN where no nucleus was found."""


_UNKNOWN = (np.nan, np.nan, np.nan)


class Reader(NamedTuple):
    """A linear reader of what is known of a field.

    Attributes
    ----------
    name, title : str
        As of a :class:`trainer.ablation.variants.Variant`.
    with_shapes : bool
        Whether it reads measured morphology besides the network's shares.
    """

    name: str
    title: str
    with_shapes: bool


READERS = (
    Reader("linear-reader", "as given, its shares read by a linear model", False),
    Reader("morphology", "as given, shares and measured morphology read by a linear model", True),
)


def measure(found: Dataset, settings: Settings, progress: Callable[[str, int, int], None] = lambda *_: None) -> Shapes:
    """Measure fields by the device's own code, as they are and in the stain of a field of another laboratory.

    Parameters
    ----------
    found : Dataset
        The data set; its test part is not looked at.
    settings : Settings
        Scale, tiles, and seed of the choice of donors, which are never of the field's own fold.
    progress : callable
        Called with a stage's name, how much is done, and of how much.

    Returns
    -------
    dict of str to ndarray
        See :data:`Shapes`; fields in the order of :func:`trainer.validation.cross_validate`.

    Raises
    ------
    ImageError
        When a picture cannot be read any more.
    """
    rng = np.random.default_rng(settings.seed)
    cells = found.training.where(~found.always)
    groups, stains = cells.of("group"), _stains(cells, settings.tile_px)
    of_fold = [np.unique(cells.fields[np.isin(groups, sorted(fold))]) for fold in found.folds]
    total, done = sum(map(len, of_fold)), 0
    rows: dict[str, list[tuple[float, float, float]]] = {AS_THEY_ARE: [], RESTAINED: []}
    for fold, inside in zip(found.folds, of_fold, strict=True):
        donors = np.concatenate([others for others in of_fold if others is not inside])
        labs = np.array([cells.sources[donor].lab for donor in donors.tolist()])
        by_lab = {str(lab): donors[labs == lab] for lab in np.unique(labs)}
        for index in inside.tolist():
            source = cells.sources[index]
            field = prepare(pictures.read(source), source.um_per_px, settings.um_per_px)
            rows[AS_THEY_ARE].append(_shape(field))
            if set(by_lab) != {source.lab}:
                donor = foreign_donor(by_lab, source.lab, rng)
                dressed = augment.transport(field.pixels[None], stains[index], stains[donor], np.ones(1, np.float32))
                field = replace(field, pixels=dressed[0])
            rows[RESTAINED].append(_shape(field))
            done += 1
            progress("measuring fields", done, total)
        for shapes in rows.values():
            shapes.extend([_UNKNOWN] * sum(source.group in fold for source in found.empty))
    return {look: np.array(shapes) for look, shapes in rows.items()}


def read(reader: Reader, given: Measured, shapes: Shapes) -> Measured:
    """Decide on each field by a linear reader that was fitted on the other folds.

    Parameters
    ----------
    reader : Reader
        What it reads.
    given : Measured
        What the given recipe's networks said.
    shapes : dict of str to ndarray
        Morphology of its fields.

    Returns
    -------
    Measured
        Its figures.
    """
    seen = {AS_THEY_ARE: [(field.cells, field.novelty) for field in given.fields]}
    if dressed := [field.restained for field in given.fields if field.restained is not None]:
        seen[RESTAINED] = dressed
    looks = {look: _judged(given, [cells for cells, _ in each]) for look, each in seen.items()}
    folds = np.array([field.fold for field in given.fields])
    found = cross_fitted(looks, folds, shapes if reader.with_shapes else {}, given.settings.least_probability)
    decided = {
        look: (judged, _decided(judged, found[look], np.array([far for _, far in seen[look]]), given))
        for look, judged in looks.items()
    }
    return of_looks(reader.name, reader.title, given.key, given.settings, decided, given.fields)


def cross_fitted(
    looks: Mapping[str, Judged], folds: NDArray[np.int64], shapes: Shapes, least_probability: float
) -> dict[str, NDArray[np.float64]]:
    """Give each field the probabilities of a linear reader that was fitted without its fold, as the decision below it.

    Parameters
    ----------
    looks : mapping of str to Judged
        The same fields as they are and, of several laboratories, restained.
    folds : ndarray
        Shape (fields,), int64.
    shapes : dict of str to ndarray
        Morphology of each look, read besides the shares; empty: the shares alone.
    least_probability : float
        Threshold of abstention of the decision.

    Returns
    -------
    dict of str to ndarray
        Of each look, shape (fields, classes).
    """
    classes = next(iter(looks.values())).classes
    found = {look: np.zeros((len(folds), len(classes))) for look in looks}
    for fold in range(folds.max() + 1):
        unseen = folds == fold
        # Fitted without the fold as well: else the reader would know of it by the decision.
        decision = calibrate.fit_decision([judged.where(~unseen) for judged in looks.values()], least_probability, 1.0)
        rows = {}
        for look, judged in looks.items():
            shares = np.log(figures.decided(judged, None, [decision] * len(folds)).probabilities + 1e-9)
            rows[look] = np.column_stack([shares, *([shapes[look]] if shapes else [])])
        # What was not measured is taken as what is usual.
        usual = np.nanmean(np.concatenate([row[~unseen] for row in rows.values()]), axis=0)
        rows = {look: np.where(np.isnan(row), usual, row) for look, row in rows.items()}
        weights = np.concatenate([judged.weights[~unseen] for judged in looks.values()])
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
        model.fit(
            np.concatenate([row[~unseen] for row in rows.values()]),
            np.concatenate([judged.labels[~unseen] for judged in looks.values()]),
            logisticregression__sample_weight=weights * len(weights) / weights.sum(),
        )
        for look, row in rows.items():
            found[look][np.ix_(unseen, model[-1].classes_)] = model.predict_proba(row[unseen])
    return found


def _stains(cells: Cells, side_px: int) -> dict[int, Stains]:
    """Pool the stains of the tiles of each field that has any."""
    parts = [augment.stain_statistics(cells.middles(side_px, part)) for part in cells.parts()]
    means, covariances = (np.concatenate(found) for found in zip(*parts, strict=True))
    stains = {}
    for field in np.unique(cells.fields).tolist():
        mean, covariance = means[cells.fields == field], covariances[cells.fields == field]
        centred = mean - mean.mean(axis=0)
        between = centred.T @ centred / len(mean)
        stains[field] = mean.mean(axis=0)[None], (covariance.mean(axis=0) + between)[None]
    return stains


def _shape(field: Field) -> tuple[float, float, float]:
    found = morphology.measure(field, nuclei.find(field.pixels, field.um_per_px, field.inside))
    if found is None:
        return _UNKNOWN
    return (
        float(np.log(max(found.nuclear_area_um2, 1.0))),
        float(np.log(max(found.nucleus_to_cytoplasm, 0.01))),
        found.cytoplasm_fraction,
    )


def _judged(given: Measured, evidence: list[Evidence]) -> Judged:
    fields = given.fields
    return Judged(
        labels=np.array([given.classes.index(field.label) for field in fields]),
        groups=np.array([field.group for field in fields]),
        labs=np.array([field.lab for field in fields]),
        classes=given.classes,
        names=np.array([field.path for field in fields]),
        evidence=evidence,
        embeddings=np.zeros((0, 0), np.float32),
        owners=np.zeros(0, np.int64),
    )


def _decided(
    judged: Judged, probabilities: NDArray[np.float64], novelty: NDArray[np.float64], given: Measured
) -> Decided:
    """Abstain as the device does."""
    sure = probabilities.max(axis=1) >= given.settings.least_probability
    sure &= np.array([evidence.tiles > 0 for evidence in judged.evidence])
    sure &= novelty <= 1
    called = np.array(given.classes)[probabilities.argmax(axis=1)]
    return Decided(probabilities, np.where(sure, called, INDETERMINATE), novelty)
