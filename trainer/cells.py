"""From labelled fields to labelled cells, by the device's own preparation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge.errors import WbcError
from edge.vision import nuclei, tiling
from edge.vision.field import Field, prepare
from trainer import manifest, pictures
from trainer.errors import DataError, named
from trainer.manifest import LabelledField

PART = 1024
"""Cells that are looked at together, where all would be too much memory."""

MOST_UNREADABLE = 0.02
"""Share of unreadable pictures over which a data set is refused."""


class Chosen:
    """Some tiles of an array, in an order, without a copy of them: parts of a data set share what was read once.

    Parameters
    ----------
    pixels : ndarray
        Shape (m, side, side, 3), uint8.
    rows : ndarray
        Shape (n,), int64, which of them.
    """

    def __init__(self, pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self.pixels, self.rows = pixels, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the chosen tiles: (n, side, side, 3)."""
        return (len(self.rows), *self.pixels.shape[1:])

    def __len__(self) -> int:
        """Return the number of chosen tiles."""
        return len(self.rows)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """Copy tiles, or parts of them, indexed as an array would be."""
        first, *within = index if isinstance(index, tuple) else (index,)
        if first is Ellipsis:
            return np.asarray(np.asarray(self)[index])
        return np.asarray(self.pixels[(self.rows[first], *within)])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Copy all of them."""
        return np.asarray(self.pixels[self.rows], dtype)


Tiles = NDArray[np.uint8] | Chosen


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Tiles around the nuclei of a data set; one row a cell.

    Attributes
    ----------
    tiles : ndarray or Chosen
        Shape (n, side, side, 3), uint8, BGR, white-balanced, at the model's scale.
    labels : ndarray
        Shape (n,), int64, index into ``classes``.
    fields : ndarray
        Shape (n,), int64, index into ``sources``.
    classes : tuple of str
        Class names.
    sources : tuple of LabelledField
        The fields that were read.
    unreadable : tuple of str
        Why the others were not, a line each.
    """

    tiles: Tiles
    labels: NDArray[np.int64]
    fields: NDArray[np.int64]
    classes: tuple[str, ...]
    sources: tuple[LabelledField, ...]
    unreadable: tuple[str, ...] = ()

    def of(self, attribute: str) -> NDArray[np.str_]:
        """Attribute of the source field of each cell: its ``lab``, ``group`` or ``label``; shape (n,)."""
        return np.array([getattr(source, attribute) for source in self.sources])[self.fields]

    def where(self, chosen: NDArray[np.bool_]) -> Cells:
        """Return the chosen cells only, without copying tiles; ``chosen`` is a mask of shape (n,)."""
        rows = np.flatnonzero(chosen)
        held = self.tiles
        tiles = Chosen(held.pixels, held.rows[rows]) if isinstance(held, Chosen) else Chosen(held, rows)
        return replace(self, tiles=tiles, labels=self.labels[chosen], fields=self.fields[chosen])

    def middles(self, side_px: int, rows: Any = slice(None)) -> NDArray[np.uint8]:
        """Copy the middle of tiles.

        Parameters
        ----------
        side_px : int
            Side of the middle, at most the tiles'.
        rows : slice or ndarray
            Which cells; a part at a time, since all are gigabytes.

        Returns
        -------
        ndarray
            Shape (n, side_px, side_px, 3), uint8, BGR.
        """
        margin = (self.tiles.shape[1] - side_px) // 2
        middle = slice(margin, margin + side_px)
        return np.array(self.tiles[rows, middle, middle])

    def parts(self) -> Iterator[slice]:
        """Go through the cells a handy number at a time."""
        return (slice(start, start + PART) for start in range(0, len(self.labels), PART))


def together(first: Cells, second: Cells) -> Cells:
    """Join the cells of two data sets with the same classes.

    Parameters
    ----------
    first, second : Cells
        Tiles of one size.

    Returns
    -------
    Cells
        Those of the first, then those of the second.
    """
    return Cells(
        np.concatenate([np.asarray(first.tiles), np.asarray(second.tiles)]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.fields, second.fields + len(first.sources)]),
        first.classes,
        first.sources + second.sources,
        first.unreadable + second.unreadable,
    )


def extract(
    sources: Sequence[LabelledField],
    classes: tuple[str, ...],
    um_per_px: float,
    side_px: int,
    background_class: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Cells:
    """Cut a tile around every nucleus of every field.

    Only a field's region of interest is looked at. Where a field has a mask of the cells of its class, the nuclei
    outside it take the background class: a marrow with myeloma holds many cells that are none.

    Parameters
    ----------
    sources : sequence of LabelledField
        The data set.
    classes : tuple of str
        Class names, in the order of the network's outputs.
    um_per_px : float
        The model's scale, micrometres.
    side_px : int
        Side of the tiles; larger than the model's, so that they can be turned and zoomed.
    background_class : str, optional
        Class of cells outside a mask; None leaves them out.
    progress : callable
        Called with the number of fields done.

    Returns
    -------
    Cells
        All cells.

    Raises
    ------
    DataError
        When a file is missing, over 2% of the pictures are unreadable, or a class has no cell.
    """
    manifest.require_files(sources)
    read: list[LabelledField] = []
    unreadable: list[tuple[Path, str]] = []
    tiles, labels, owners = [], [], []
    for done, source in enumerate(sources, start=1):
        progress(done)
        try:
            field = prepare(pictures.read(source), source.um_per_px, um_per_px)
        except WbcError as error:
            unreadable.append((source.path, str(error)))
            continue
        centres = nuclei.find(field.pixels, um_per_px, field.inside).centres
        label = np.full(len(centres), classes.index(source.label))
        if source.mask is not None:
            inside = _inside(centres, pictures.read_mask(source, source.mask), field)
            label[~inside] = classes.index(background_class) if background_class else -1
        kept = label >= 0
        tiles.append(tiling.cut(field.pixels, tiling.around(centres[kept], side_px), side_px))
        labels.append(label[kept])
        owners.append(np.full(int(kept.sum()), len(read)))
        read.append(source)
    if len(unreadable) > MOST_UNREADABLE * len(sources):
        why = f"unreadable, {named([path for path, _ in unreadable])}; of the first: {unreadable[0][1]}"
        raise DataError(f"{len(unreadable)} of {len(sources)} pictures", why)
    cells = Cells(
        np.concatenate(tiles),
        np.concatenate(labels),
        np.concatenate(owners),
        classes,
        tuple(read),
        tuple(why for _, why in unreadable),
    )
    for index, name in enumerate(classes):
        if not (cells.labels == index).any():
            raise DataError(f"class {name!r}", "no nucleus was found in its fields", "Check um_per_px")
    return cells


def _inside(centres: NDArray[np.float32], mask: NDArray[np.uint8], field: Field) -> NDArray[np.bool_]:
    height, width = field.pixels.shape[:2]
    mask = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    x, y = np.rint(centres).astype(np.intp).T
    return np.asarray(mask[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)] > 0)
