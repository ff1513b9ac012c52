"""Labelled fields to compare on and to calibrate with: of a run, or cut from a manifest as the device cuts tiles."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from convert.errors import CalibrationRefused
from edge import manifest, pipeline
from edge.camera.decode import read_image
from edge.errors import BundleCorrupt, DataError, WbcError
from edge.frame import Frame
from edge.manifest import LabelledField
from edge.model import run as _run
from edge.model.description import Description, Tiling
from edge.vision import tiling as _tiling

CALIBRATION_TILES = 400
NOT_STATED = "not stated"

_MOST_UNREADABLE = 0.02
_AGAIN = "Train it again"
_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """Tiles of labelled fields.

    Attributes
    ----------
    tiles : ndarray
        Shape (n, tile, tile, 3), uint8, BGR, as the device cuts them.
    labels : ndarray
        Shape (n,), int64, class of each tile.
    owners : ndarray
        Shape (n,), int64, field of each tile.
    field_labels : ndarray
        Shape (fields,), int64, class of each field.
    labs : ndarray
        Shape (fields,), text, laboratory of each field.
    groups : ndarray
        Shape (fields,), text, what was never split between training and testing.
    whole : bool
        The tiles of a field are together; else each counts as a field of its own, as in runs of earlier versions.
    unreadable : tuple of str
        Why pictures of the manifest are not among them, a line each.
    """

    tiles: NDArray[np.uint8]
    labels: NDArray[np.int64]
    owners: NDArray[np.int64]
    field_labels: NDArray[np.int64]
    labs: NDArray[np.str_]
    groups: NDArray[np.str_]
    whole: bool = True
    unreadable: tuple[str, ...] = ()


def held_out(folder: Path, run: _run.Run) -> Fields:
    """Read the fields that a run held out of training.

    Parameters
    ----------
    folder : Path
        What ``trainer fit`` wrote.
    run : Run
        Its description.

    Returns
    -------
    Fields
        At most as many tiles of a field as the device judges.

    Raises
    ------
    BundleCorrupt
        When the arrays are missing, damaged, or do not fit each other.
    """
    tiles = run_tiles(folder, _run.HELD_OUT_TILES, run.tiling)
    labels = run_array(folder, _run.HELD_OUT_LABELS, np.int64)
    if labels.shape != (len(tiles),) or not np.isin(labels, range(len(run.classes))).all():
        raise BundleCorrupt(f"run {folder}", "its arrays do not fit each other", _AGAIN)
    if not (folder / _run.HELD_OUT_FIELDS).exists():
        stated = np.full(len(tiles), NOT_STATED)
        return Fields(tiles, labels, np.arange(len(tiles)), labels, stated, stated, whole=False)
    owners = run_array(folder, _run.HELD_OUT_FIELDS, np.int64)
    sources = _run.array(folder, _run.HELD_OUT_SOURCES)
    if (
        owners.shape != labels.shape
        or sources.shape != (int(owners.max()) + 1, 3)
        or owners.min() < 0
        or not np.isin(sources[:, 0], run.classes).all()
    ):
        raise BundleCorrupt(f"run {folder}", "its arrays do not fit each other", _AGAIN)
    classes = np.array([run.classes.index(label) for label in sources[:, 0].tolist()])
    kept = _tiling.sample_of_each(owners, run.tiling.most_tiles)
    return Fields(
        tiles[kept], labels[kept], owners[kept], classes, sources[:, 2].astype(str), sources[:, 1].astype(str)
    )


def _rank(owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Say the how many-th of its owner's each one is."""
    order = np.argsort(owners, kind="stable")
    first = np.searchsorted(owners[order], owners[order], "left")
    rank = np.empty(len(owners), np.int64)
    rank[order] = np.arange(len(owners)) - first
    return rank


def run_tiles(folder: Path, name: str, tiling: Tiling) -> NDArray[np.uint8]:
    """Read an array of tiles of a run, and refuse one of another size."""
    tiles = run_array(folder, name, np.uint8)
    if tiles.ndim != 4 or tiles.shape[1:] != (tiling.tile_px, tiling.tile_px, 3) or not len(tiles):
        raise BundleCorrupt(f"run {folder}", f"{name} holds no tiles of {tiling.tile_px} px", _AGAIN)
    return tiles


def run_array(folder: Path, name: str, dtype: type[_Number]) -> NDArray[_Number]:
    """Read an array of a run, and refuse one of another type."""
    array = _run.array(folder, name)
    if array.dtype != dtype:
        raise BundleCorrupt(f"run {folder}", f"{name} holds {array.dtype}, not {np.dtype(dtype)}", _AGAIN)
    return array.astype(dtype, copy=False)


def cut(
    sources: Sequence[LabelledField],
    description: Description,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Fields:
    """Cut the tiles of a manifest's fields as the device would: unusable fields have none.

    Parameters
    ----------
    sources : sequence of LabelledField
        The manifest's rows, labelled with classes of the model.
    description : Description
        The model's: scale, normalisation, tiling, classes.
    progress : callable
        Called with how many fields are done, and of how many.

    Returns
    -------
    Fields
        Of every field with at least one tile; tiles take their field's class.

    Raises
    ------
    DataError
        When a label is no class of the model, a picture is missing, over 2% are unreadable, or no tile is left.
    """
    if unknown := sorted({source.label for source in sources} - set(description.classes)):
        raise DataError(
            "the manifest", f"labels a field {unknown[0]!r}", f"The classes are {', '.join(description.classes)}"
        )
    manifest.require_there(source.path for source in sources)
    tiles, kept, unreadable = [], [], []
    for done, source in enumerate(sources, start=1):
        progress(done, len(sources))
        try:
            pixels = manifest.crop(read_image(source.path), source.roi, source.path)
            frame = Frame(pixels, source.path.name, done, source.um_per_px, time.time(), time.monotonic())
            found = pipeline.prepare(frame, description).tiles
        except WbcError as error:
            unreadable.append(str(error))
            continue
        if len(found):
            tiles.append(found)
            kept.append(source)
    if len(unreadable) > _MOST_UNREADABLE * len(sources):
        raise DataError(f"{len(unreadable)} of {len(sources)} pictures", f"unreadable, the first: {unreadable[0]}")
    if not tiles:
        raise DataError("the manifest", "no tile could be cut of its fields", "Check um_per_px, and the pictures")
    owners = np.repeat(np.arange(len(tiles)), [len(part) for part in tiles])
    classes = np.array([description.classes.index(source.label) for source in kept])
    labs, groups = (np.array([getattr(source, name) for source in kept]) for name in ("lab", "group"))
    return Fields(np.concatenate(tiles), classes[owners], owners, classes, labs, groups, unreadable=tuple(unreadable))


def calibration(
    path: Path,
    description: Description,
    tested_groups: Collection[str],
    tested: Sequence[LabelledField] = (),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Fields:
    """Cut the fields that a network is calibrated on from a manifest.

    Parameters
    ----------
    path : Path
        The manifest.
    description : Description
        The model's.
    tested_groups : collection of str
        Groups that the network is tested on, none of which may be in the manifest.
    tested : sequence of LabelledField
        Fields that it is tested on; neither their groups nor their pictures, by whatever path, may be in it.
    progress : callable
        Called with how many fields are done, and of how many.

    Returns
    -------
    Fields
        All of it; :func:`balanced` chooses the representative dataset.

    Raises
    ------
    CalibrationRefused
        When the manifest is empty, has one class only, or has a group or a picture of the test part.
    DataError
        When it cannot be read.
    """
    sources = manifest.read([path])
    if not sources:
        raise CalibrationRefused(f"calibration {path}", "has no field", "Name fields of the training part")
    if len({source.label for source in sources}) < 2:
        raise CalibrationRefused(
            f"calibration {path}", f"has the class {sources[0].label!r} only", "Name fields of all"
        )
    # One slide may have two names, and a picture has one.
    groups, pictures = (
        {*tested_groups, *(each.group for each in tested)},
        {os.path.realpath(each.path) for each in tested},
    )
    leaked = sorted(f"group {source.group!r}" for source in sources if source.group in groups)
    leaked += [f"{source.path}" for source in sources if os.path.realpath(source.path) in pictures]
    if leaked:
        raise CalibrationRefused(
            f"calibration {path}",
            f"has {leaked[0]} of the test part",
            "What is calibrated on must not be tested on: leave the test part's groups out",
        )
    return cut(sources, description, progress)


def balanced(fields: Fields, most: int = CALIBRATION_TILES) -> NDArray[np.uint8]:
    """Choose tiles so that classes have as many as they have alike, and in a class its laboratories.

    Parameters
    ----------
    fields : Fields
        Tiles to choose from.
    most : int
        At most so many.

    Returns
    -------
    ndarray
        Shape (at most ``most``, tile, tile, 3), uint8.
    """
    rng = np.random.default_rng(0)
    _, origin = np.unique(
        np.stack([fields.labels.astype(str), fields.labs[fields.owners]]), axis=1, return_inverse=True
    )
    order = rng.permutation(len(origin))
    # One of each laboratory in turn, then of these one of each class in turn, until there are enough: by cells of both
    # at once a class of many laboratories would outweigh the others.
    for of in (origin, fields.labels):
        order = order[np.argsort(_rank(of[order]), kind="stable")]
    return np.asarray(fields.tiles[np.sort(order[:most])])


def check_calibration(tiles: NDArray[np.uint8], tile_px: int) -> None:
    """Refuse a representative dataset that would calibrate nothing.

    Parameters
    ----------
    tiles : ndarray
        The tiles.
    tile_px : int
        Side that the network takes.

    Raises
    ------
    CalibrationRefused
        When they have another shape, or are none, or all alike.
    """
    shape = (tile_px, tile_px, 3)
    if tiles.ndim != 4 or tiles.shape[1:] != shape:
        raise CalibrationRefused("the representative dataset", f"has shape {tiles.shape}, the network {shape}")
    if not len(tiles) or (tiles == tiles[0]).all():
        raise CalibrationRefused("the representative dataset", "is empty or the same tile throughout")
