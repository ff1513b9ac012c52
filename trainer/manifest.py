"""The one inner form of a data set: a CSV with a row a field.

Columns: ``path`` (relative to the CSV's folder), ``label``, ``group`` (what must never be split between training and
testing), ``lab``, ``um_per_px``, and optionally ``mask``: a picture of the field's size that is not black where cells
of the field's own class are. A mask that is not named is looked for beside the pictures, as in ``masks/17.png`` for
``images/17.jpg``.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge.errors import ScaleError
from edge.result import INDETERMINATE
from edge.vision import scale
from trainer.errors import DataError

REQUIRED = ("path", "label", "group", "lab", "um_per_px")
OPTIONAL = ("mask",)


@dataclass(frozen=True, slots=True)
class LabelledField:
    """A row of a manifest.

    Attributes
    ----------
    path : Path
        The picture.
    label : str
        Its class.
    group : str
        Smallest unit that must stay on one side of a split.
    lab : str
        Laboratory, microscope, or both.
    um_per_px : float
        Pixel size, micrometres.
    mask : Path or None
        Picture that is not black where cells of the field's class are.
    """

    path: Path
    label: str
    group: str
    lab: str
    um_per_px: float
    mask: Path | None = None


def read(paths: Iterable[Path], relabel: Mapping[str, str] | None = None) -> list[LabelledField]:
    """Read one or several manifests as one data set.

    Parameters
    ----------
    paths : iterable of Path
        The CSV files.
    relabel : mapping of str to str, optional
        New names of labels, such as ``{"unlabelled": "normal"}``.

    Returns
    -------
    list of LabelledField
        All rows, in order.

    Raises
    ------
    DataError
        When a file cannot be read, a column is missing or unknown, a value is empty or wrong, no field has a label that
        is renamed, labels differ only in case, a picture has two labels or groups, or a group two laboratories.
    """
    fields = [field for path in paths for field in _read_one(path)]
    labels = {field.label for field in fields}
    for old in (relabel or {}).keys() - labels:
        raise DataError(f"--relabel {old}", "no field has this label", f"Labels are {', '.join(sorted(labels))}")
    fields = [replace(field, label=(relabel or {}).get(field.label, field.label)) for field in fields]
    labels = {field.label for field in fields}
    spellings = Counter(label.casefold() for label in labels)
    twice = [label for label in labels if spellings[label.casefold()] > 1]
    if twice:
        raise DataError("the manifest", f"labels differ only in case: {', '.join(sorted(twice))}", "Spell them alike")
    labs: dict[str, str] = {}
    pictures: dict[Path, tuple[str, str]] = {}
    for field in fields:
        if labs.setdefault(field.group, field.lab) != field.lab:
            raise DataError("the manifest", f"group {field.group!r} is in two laboratories", "Give each its own groups")
        origin = field.label, field.group
        if pictures.setdefault(field.path, origin) != origin:
            raise DataError("the manifest", f"{field.path} is there with two labels or groups", "Keep one of them")
    return fields


def _read_one(path: Path) -> list[LabelledField]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = set(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"manifest {path}", str(error), "Give a CSV file in UTF-8") from error
    missing, unknown = set(REQUIRED) - columns, columns - set(REQUIRED) - set(OPTIONAL)
    if missing or unknown:
        said = [f"no column {name!r}" for name in sorted(missing)] + [f"unknown column {n!r}" for n in sorted(unknown)]
        raise DataError(f"manifest {path}", ", ".join(said), f"Columns are {', '.join(REQUIRED + OPTIONAL)}")
    return [_field(path, line, row) for line, row in rows]


def _field(manifest: Path, line: int, row: Mapping[str, str | None]) -> LabelledField:
    values = {name: (row.get(name) or "").strip() for name in REQUIRED + OPTIONAL}
    empty = [name for name in REQUIRED if not values[name]]
    if empty:
        raise DataError(f"manifest {manifest}, line {line}", f"{', '.join(empty)} is empty")
    # Where csv puts the values that no column is there for.
    if None in row:
        raise DataError(f"manifest {manifest}, line {line}", "has more values than columns", "Quote values with commas")
    try:
        um_per_px = float(values["um_per_px"])
        scale.check(um_per_px)
    except (ValueError, ScaleError) as error:
        why = error.why if isinstance(error, ScaleError) else f"{values['um_per_px']!r} is no number"
        raise DataError(f"manifest {manifest}, line {line}", f"um_per_px is not a pixel size: {why}") from error
    picture = manifest.parent / values["path"]
    mask = manifest.parent / values["mask"] if values["mask"] else _beside(picture)
    return LabelledField(picture, values["label"], values["group"], values["lab"], um_per_px, mask)


def _beside(picture: Path) -> Path | None:
    mask = picture.parent.parent / "masks" / f"{picture.stem}.png"
    return mask if picture.parent.name == "images" and mask.is_file() else None


def classes(fields: Sequence[LabelledField]) -> tuple[str, ...]:
    """List the classes of a data set, sorted, and refuse one that cannot be learned from.

    Parameters
    ----------
    fields : sequence of LabelledField
        The data set.

    Returns
    -------
    tuple of str
        Class names.

    Raises
    ------
    DataError
        When there is only one class, a class has only one group, or one is called as the verdict that is none.
    """
    names = tuple(sorted({field.label for field in fields}))
    if len(names) < 2:
        found = f"only one class, {names[0]}" if names else "no field"
        raise DataError("the manifest", f"has {found}", "Fields of two classes at least are needed")
    if INDETERMINATE in names:
        raise DataError("the manifest", f"{INDETERMINATE!r} is no class but the verdict that is none", "Rename it")
    for name in names:
        groups = {field.group for field in fields if field.label == name}
        if len(groups) < 2:
            raise DataError(
                "the manifest",
                f"class {name!r} has only one group, so nothing of it could be held out",
                "Add fields of another slide, patient or laboratory",
            )
    return names


def fingerprint(fields: Sequence[LabelledField]) -> str:
    """Digest the pictures, masks and labels of a data set, so that a report says what it was made from.

    Parameters
    ----------
    fields : sequence of LabelledField
        The data set.

    Returns
    -------
    str
        SHA-256, hexadecimal.

    Raises
    ------
    DataError
        When a file cannot be read any more.
    """
    digest = hashlib.sha256()
    try:
        for field in sorted(fields, key=lambda field: str(field.path)):
            content = hashlib.sha256(field.path.read_bytes()).hexdigest()
            mask = hashlib.sha256(field.mask.read_bytes()).hexdigest() if field.mask else ""
            digest.update(f"{content} {mask} {field.label} {field.group} {field.lab} {field.um_per_px}\n".encode())
    except OSError as error:
        raise DataError(f"{error.filename}", error.strerror or str(error), "Is the disk still there?") from error
    return digest.hexdigest()
