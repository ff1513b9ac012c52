"""A data set made ready to train on: read, split by group, cut into cells, and joined by drawn ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer import manifest, simulated, split
from trainer.cells import Cells, extract, together
from trainer.errors import DataError
from trainer.manifest import LabelledField
from trainer.settings import Settings
from trainer.split import Parts

MARGIN = 1.5
"""Tiles are cut so much larger than the network's, so that they can be turned and zoomed without an empty corner."""


class Dataset(NamedTuple):
    """A data set, cut and split; all cells are in one array, and the parts are views of it.

    Attributes
    ----------
    training : Cells
        All cells but the test part's, drawn ones among them.
    always : ndarray
        Shape (cells,), bool, the drawn ones of these.
    test : Cells
        The test part; may be empty.
    folds : list of frozenset of str
        Groups of each fold.
    laboratories : list of (str, frozenset of str)
        What can be left out by laboratory, see :func:`trainer.split.by_laboratory`.
    held_out_groups : frozenset of str
        Groups of the test part.
    empty : tuple of LabelledField
        Fields of all parts in which no nucleus was found.
    unreadable : tuple of str
        Why pictures could not be read, a line each.
    digest : str
        SHA-256 of pictures, masks and labels.
    """

    training: Cells
    always: NDArray[np.bool_]
    test: Cells
    folds: list[frozenset[str]]
    laboratories: list[tuple[str, frozenset[str]]]
    held_out_groups: frozenset[str]
    empty: tuple[LabelledField, ...]
    unreadable: tuple[str, ...]
    digest: str


def split_up(
    manifests: Sequence[Path], relabel: Mapping[str, str] | None, hold_out: Sequence[str], folds: int, seed: int
) -> tuple[list[LabelledField], Parts]:
    """Read manifests and split them by group.

    Parameters
    ----------
    manifests : sequence of Path
        CSV files, see :mod:`trainer.manifest`.
    relabel : mapping of str to str or None
        New names of labels.
    hold_out : sequence of str
        Groups or laboratories of the test part.
    folds : int
        Folds of the cross-validation.
    seed : int
        Seed of the deal.

    Returns
    -------
    tuple
        The fields, and the groups of each part.

    Raises
    ------
    DataError
        When the manifests cannot be trained on.
    """
    sources = manifest.read(manifests, relabel)
    if any(source.lab == simulated.LAB for source in sources):
        raise DataError(f"laboratory {simulated.LAB!r}", "is what drawn fields are called", "Give it another name")
    manifest.classes(sources)
    return sources, split.by_group(sources, hold_out, folds, seed)


def prepare(
    sources: Sequence[LabelledField],
    parts: Parts,
    settings: Settings,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Dataset:
    """Cut the cells of a data set, and draw others if asked for.

    Parameters
    ----------
    sources : sequence of LabelledField
        The fields.
    parts : Parts
        Groups of each part.
    settings : Settings
        Scale, tiles, drawn fields.
    progress : callable
        Called with a stage's name, how much is done, and of how much.

    Returns
    -------
    Dataset
        The data set.

    Raises
    ------
    DataError
        When its pictures cannot be trained on, no nucleus was found in any field of the test part, or a network of the
        cross-validation would have no field of a class to learn from.
    """
    classes = manifest.classes(sources)
    larger = round(settings.tile_px * MARGIN / 2) * 2
    cells = extract(
        sources,
        classes,
        settings.um_per_px,
        larger,
        settings.background_class if settings.background_class in classes else None,
        lambda done: progress("reading fields", done, len(sources)),
    )
    digest, unreadable, taken = manifest.fingerprint(cells.sources), cells.unreadable, cells.sources
    shown = set(np.unique(cells.fields).tolist())
    with_cells = [source for number, source in enumerate(taken) if number in shown]
    empty = tuple(source for number, source in enumerate(taken) if number not in shown)
    if parts.test and not any(source.group in parts.test for source in with_cells):
        raise DataError(
            "the test part", "no nucleus was found in any of its fields", "Look at its pictures, or hold out others"
        )
    # Fields without a nucleus are in no fold.
    dealt = [fold for fold in parts.folds if any(source.group in fold for source in with_cells)]
    _require_in_two_folds(classes, with_cells, dealt)
    if settings.simulate:
        drawn = simulated.cells(
            classes,
            settings.background_class or "",
            settings.simulate,
            settings.um_per_px,
            larger,
            settings.seed,
            lambda done: progress("drawing fields", done, simulated.KINDS * settings.simulate),
        )
        cells = together(cells, drawn)
    groups, is_drawn = cells.of("group"), cells.of("lab") == simulated.LAB
    in_test = np.isin(groups, sorted(parts.test)) & ~is_drawn
    return Dataset(
        cells.where(~in_test),
        is_drawn[~in_test],
        cells.where(in_test),
        dealt,
        _laboratories(taken, with_cells, parts.test),
        parts.test,
        empty,
        unreadable,
        digest,
    )


def _require_in_two_folds(
    classes: Sequence[str], with_cells: Sequence[LabelledField], folds: Sequence[frozenset[str]]
) -> None:
    """Refuse what :func:`trainer.split.by_group` would have refused, had it known where nuclei are."""
    for label in classes:
        of_class = {source.group for source in with_cells if source.label == label}
        if sum(not of_class.isdisjoint(fold) for fold in folds) < 2:
            raise DataError(
                f"class {label!r}",
                "has nuclei in one fold at most, so that a network would be judged by what it was never taught",
                "Look at its pictures; leave fields without a nucleus out of the manifest, or hold out less",
            )


def _laboratories(
    sources: Sequence[LabelledField], with_cells: Sequence[LabelledField], test: frozenset[str]
) -> list[tuple[str, frozenset[str]]]:
    """Choose what to leave out by laboratory, among those of which there is a cell to learn or to judge."""
    met = {(source.label, source.lab) for source in with_cells}
    there = [source for source in sources if source.group not in test and (source.label, source.lab) in met]
    # A group without a nucleus stays among its laboratory's: its fields count as indeterminate.
    of_cells = {source.group for source in with_cells}
    return [(lab, groups) for lab, groups in split.by_laboratory(there) if groups & of_cells]
