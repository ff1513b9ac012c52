"""Every file of a data set, looked at once: what `trainer data check` judges by."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.camera.decode import read_image
from edge.errors import ScaleError, WbcError
from edge.frame import Pixels
from edge.manifest import crop, is_there
from edge.vision import morphology, nuclei
from edge.vision.field import prepare
from trainer import pictures
from trainer.data import borders, duplicates
from trainer.manifest import LabelledField

NUCLEI_FIELDS = 12
"""Fields of each laboratory and pixel size whose nuclei are measured: those tell whether the pixel size is right."""

NUCLEI_UM_PER_PX = 0.5
"""Scale at which they are measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was seen of a field.

    Attributes
    ----------
    source : LabelledField
        The field.
    size_px : tuple of int
        Width and height of the picture; empty when it cannot be read.
    problem : str
        Why it cannot be read; empty when it can.
    hashes : ndarray
        Shape (8, 4), uint64, see :func:`trainer.data.duplicates.hashes`; zeros when it cannot be read.
    has_border : bool
        Whether there are bars around it that no region of interest leaves out.
    cover : dict
        Share of the field, 0 to 1, that each of its masks covers, by column.
    mask_problems : tuple of str
        Why those of its masks that are there cannot be read.
    nuclear_areas_um2 : tuple of float
        Median area of its nuclei, if it was chosen for that and has some.
    """

    source: LabelledField
    size_px: tuple[int, ...] = ()
    problem: str = ""
    hashes: duplicates.Hashes = field(default_factory=lambda: np.zeros((8, 4), np.uint64))
    has_border: bool = False
    cover: dict[str, float] = field(default_factory=dict)
    mask_problems: tuple[str, ...] = ()
    nuclear_areas_um2: tuple[float, ...] = ()


def look(fields: Sequence[LabelledField], progress: Callable[[int], None] = lambda _: None) -> list[Seen]:
    """Look at every picture and mask of a data set.

    Parameters
    ----------
    fields : sequence of LabelledField
        The data set.
    progress : callable
        Called with the number of fields done.

    Returns
    -------
    list of Seen
        One a field, in their order.
    """
    measured = _sample(fields)
    seen = []
    for done, source in enumerate(fields, start=1):
        seen.append(_look_at(source, done - 1 in measured))
        progress(done)
    return seen


def _sample(fields: Sequence[LabelledField]) -> set[int]:
    origins: dict[tuple[str, float], list[int]] = defaultdict(list)
    for number, source in enumerate(fields):
        origins[source.lab, source.um_per_px].append(number)
    return {numbers[at] for numbers in origins.values() for at in _evenly(len(numbers), NUCLEI_FIELDS)}


def _evenly(length: int, most: int) -> list[int]:
    return sorted({int(at) for at in np.linspace(0, length - 1, min(length, most)).round()})


def _look_at(source: LabelledField, is_measured: bool) -> Seen:
    try:
        whole = read_image(source.path)
        pixels = crop(whole, source.roi, source.path)
    except WbcError as error:
        return Seen(source, problem=str(error))
    cover, problems = {}, []
    for column, path in source.masks.items():
        if not is_there(path):
            continue
        try:
            cover[column] = float(pictures.read_mask(source, path).mean())
        except WbcError as error:
            problems.append(str(error))
    return Seen(
        source,
        size_px=(whole.shape[1], whole.shape[0]),
        hashes=duplicates.hashes(pixels),
        has_border=source.roi is None and borders.find(whole) is not None,
        cover=cover,
        mask_problems=tuple(problems),
        nuclear_areas_um2=_nuclear_area(pixels, source.um_per_px) if is_measured else (),
    )


def _nuclear_area(pixels: Pixels, um_per_px: float) -> tuple[float, ...]:
    try:
        prepared = prepare(pixels, um_per_px, NUCLEI_UM_PER_PX)
    except ScaleError:
        return ()
    found = nuclei.find(prepared.pixels, NUCLEI_UM_PER_PX, prepared.inside)
    measured = morphology.measure(prepared, found)
    return () if measured is None else (measured.nuclear_area_um2,)


def nuclear_diameter_um(seen: Sequence[Seen]) -> float | None:
    """Give the median diameter of the nuclei of some fields, as of disks of their areas.

    Parameters
    ----------
    seen : sequence of Seen
        The fields.

    Returns
    -------
    float or None
        Micrometres; None when no nucleus was measured.
    """
    areas = [area for one in seen for area in one.nuclear_areas_um2]
    return 2 * math.sqrt(float(np.median(areas)) / math.pi) if areas else None
