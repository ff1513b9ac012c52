"""A folder a class: the form in which most data sets come."""

from __future__ import annotations

import re
from pathlib import Path

from edge.camera.decode import IMAGE_SUFFIXES
from edge.vision import scale
from trainer import pictures
from trainer.errors import DataError
from trainer.manifest import LabelledField, mask_beside


def read(
    folder: Path, um_per_px: float, lab: str, group: re.Pattern[str] | None = None
) -> tuple[list[LabelledField], list[Path]]:
    """Find the fields of a folder whose sub-folders are classes.

    Parameters
    ----------
    folder : Path
        Holds a folder for each class, named as the class.
    um_per_px : float
        Size of a pixel, micrometres.
    lab : str
        Laboratory, microscope, or both; it leads the names of the groups.
    group : pattern, optional
        Searched in a picture's path below its class's folder, with ``/``: its first parenthesis, or else what matches,
        names the group. Without one it is the folder below the class's. A group of the same name in two classes is one
        group: nothing is lost by keeping two slides together, and much by parting one.

    Returns
    -------
    fields : list of LabelledField
        Class by class, in natural order of their paths.
    left_out : list of Path
        Pictures in folders called ``masks``, those whose names end in ``_mask``, and those that are in no class's
        folder.

    Raises
    ------
    DataError
        When there is no class, or a picture has no group.
    NoImages
        When a class has no picture.
    ScaleError
        When the pixel size is none of a microscope.
    """
    scale.check(um_per_px)
    homes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not homes:
        raise DataError(
            f"folder {folder}", "has no folder in it", "There must be one for each class, named as the class"
        )
    fields: list[LabelledField] = []
    left_out = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES)
    for home in homes:
        for path in pictures.below(home):
            below = path.relative_to(home)
            if "masks" in (home.name, *below.parts[:-1]) or path.stem.endswith("_mask"):
                left_out.append(path)
                continue
            name = f"{lab}-{_group(below, path, group)}"
            fields.append(LabelledField(path, home.name, name, lab, um_per_px, mask_beside(path)))
    return fields, left_out


def _group(below: Path, path: Path, pattern: re.Pattern[str] | None) -> str:
    if pattern is None:
        parents = [part for part in below.parts[:-1] if part != "images"]
        if parents:
            return parents[0]
        why = "is in no folder of a slide or patient below its class's"
    elif match := pattern.search(below.as_posix()):
        name = match[1] if pattern.groups else match[0]
        if name:
            return name
        why = f"gives no group: {pattern.pattern!r} matches nothing of it"
    else:
        why = f"gives no group: {pattern.pattern!r} does not match"
    raise DataError(str(path), why, "Say with --group what in its name is the slide or patient")
