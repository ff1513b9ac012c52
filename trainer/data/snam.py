"""SN-AM: B-ALL and multiple myeloma of one laboratory, from The Cancer Imaging Archive.

Gupta and Gupta 2019, "SN-AM Dataset: White Blood cancer dataset of B-ALL and MM for stain normalization", The Cancer
Imaging Archive, doi:10.7937/tcia.2019.of2w8lxr: marrow, Jenner-Giemsa, 1000x, BMP of 2560x1920 pixels.

Pictures are named as ``25_ALL_5.bmp``, ``15_MM.bmp``, ``5_also_ref_image_MM.bmp`` or ``ref_ALL.bmp``, or lie in
folders ``ALL`` and ``MM``; masks are named as their picture with ``_nucleus_mask``, ``_background_mask``,
``_cytoplasm_mask`` or ``_cyto_mask`` behind, beside it or in any other folder.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from edge.vision import scale
from trainer import pictures
from trainer.errors import DataError
from trainer.manifest import LabelledField

LAB = "snam"

CLASSES = ("ALL", "MM")

UM_PER_PX = 0.05
"""Size of a pixel, micrometres; not published, an estimate: 2560 columns on a sensor of 2/3 inch (8.8 mm), a 100x
objective and the usual 0.7x adapter make 0.049. ``trainer data check`` measures the nuclei that it leads to."""

_MASK = re.compile(r"(.+)_(nucleus|background|cytoplasm|cyto)_mask", re.IGNORECASE)
_COLUMNS = {
    "nucleus": "nucleus_mask",
    "background": "background_mask",
    "cytoplasm": "cytoplasm_mask",
    "cyto": "cytoplasm_mask",
}


def read(folder: Path, um_per_px: float = UM_PER_PX) -> tuple[list[LabelledField], list[Path]]:
    """Find the fields of SN-AM and their masks.

    The number that leads a name is the group, within its class: ``25_ALL`` and ``25_MM`` are not one patient. The mask
    of the nuclei is the mask of the cells of the class as well.

    Parameters
    ----------
    folder : Path
        Where the archive was unpacked.
    um_per_px : float
        Size of a pixel, micrometres.

    Returns
    -------
    fields : list of LabelledField
        In natural order of their paths.
    left_out : list of Path
        Pictures that are neither a field of a class nor the mask of one.

    Raises
    ------
    DataError
        When there is no field, or a field has two masks of a kind.
    NoImages
        When there is no picture at all.
    ScaleError
        When the pixel size is none of a microscope.
    """
    scale.check(um_per_px)
    fields: dict[tuple[str, str], list[Path]] = defaultdict(list)
    masks: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    left_out = []
    for path in pictures.below(folder):
        is_mask = _MASK.fullmatch(path.stem)
        stem = is_mask[1] if is_mask else path.stem
        label = _label(stem, path.relative_to(folder))
        if label is None:
            left_out.append(path)
        elif is_mask is None:
            fields[label, stem.casefold()].append(path)
        else:
            column, owner = _COLUMNS[is_mask[2].lower()], masks[label, stem.casefold()]
            if column in owner:
                raise DataError(f"{path} and {owner[column]}", f"both are the {column} of {stem}", "Keep one of them")
            owner[column] = path
    left_out += [path for owner in masks.keys() - fields.keys() for path in masks[owner].values()]
    if not fields:
        raise DataError(
            f"folder {folder}",
            "no picture in it is named as those of SN-AM, such as 25_ALL_5.bmp or 15_MM.bmp",
            "Name the folder that the archive was unpacked into",
        )
    found = [
        LabelledField(path, label, _group(stem, label), LAB, um_per_px, roi=None, **_named(masks[label, stem]))
        for (label, stem), paths in fields.items()
        for path in paths
    ]
    return found, sorted(left_out)


def _named(masks: dict[str, Path]) -> dict[str, Path]:
    return {"mask": masks["nucleus_mask"], **masks} if "nucleus_mask" in masks else masks


def _words(stem: str) -> list[str]:
    return [word for word in re.split(r"[^0-9A-Za-z&]+", stem) if word]


def _label(stem: str, path: Path) -> str | None:
    """Name the class that the file's name has, or else the nearest folder's."""
    for words in (_words(stem), *([folder] for folder in reversed(path.parts[:-1]))):
        named = {word.upper() for word in words} & {*CLASSES}
        if len(named) == 1:
            return named.pop()
    return None


def _group(stem: str, label: str) -> str:
    words = [word for word in _words(stem) if word.upper() != label]
    number = next((str(int(word)) for word in words if word.isdecimal()), None)
    return "-".join([LAB, label, number or "-".join(words) or stem])
