"""The one inner form of a data set: a CSV with a row a field.

Columns: ``path`` (relative to the CSV's folder), ``label``, ``group`` (what must never be split between training and
testing), ``lab``, ``um_per_px``, and optionally

- ``roi``, the region of interest, as ``x,y,width,height`` in pixels: nothing outside it is looked at;
- ``mask``, a picture of the field's size that is not black where cells of the field's own class are. A mask that is not
  named is looked for beside the pictures, as in ``masks/17.png`` for ``images/17.jpg``;
- ``nucleus_mask``, ``cytoplasm_mask``, ``background_mask``, not black where nuclei, cytoplasm and background are.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from edge.errors import OutputError, ScaleError
from edge.result import INDETERMINATE
from edge.vision import scale
from trainer.errors import DataError

REQUIRED = ("path", "label", "group", "lab", "um_per_px")
MASKS = ("mask", "nucleus_mask", "cytoplasm_mask", "background_mask")
OPTIONAL = ("roi", *MASKS)


class Roi(NamedTuple):
    """Region of interest of a picture.

    Attributes
    ----------
    x, y : int
        Its left and upper edge, pixels.
    width, height : int
        Its size, pixels, at least 1.
    """

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        """Write it as in a manifest."""
        return ",".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> Roi:
        """Read ``x,y,width,height``.

        Raises
        ------
        ValueError
            When the text is not that, or the region is empty.
        """
        numbers = [part.strip() for part in text.split(",")]
        if len(numbers) != 4 or not all(number.isdecimal() and number.isascii() for number in numbers):
            raise ValueError(f"{text!r} is not x,y,width,height in pixels")
        roi = cls(*map(int, numbers))
        if not roi.width or not roi.height:
            raise ValueError(f"{text!r} is empty")
        return roi


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
    roi : Roi or None
        Region of interest; None is the whole picture.
    nucleus_mask, cytoplasm_mask, background_mask : Path or None
        Pictures that are not black where nuclei, cytoplasm, background are.
    """

    path: Path
    label: str
    group: str
    lab: str
    um_per_px: float
    mask: Path | None = None
    roi: Roi | None = None
    nucleus_mask: Path | None = None
    cytoplasm_mask: Path | None = None
    background_mask: Path | None = None

    @property
    def masks(self) -> dict[str, Path]:
        """The masks that there are, by column."""
        named = {name: getattr(self, name) for name in MASKS}
        return {name: path for name, path in named.items() if path is not None}


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
        Pictures are not looked for, see :func:`require_files`.
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
    try:
        roi = Roi.parse(values["roi"]) if values["roi"] else None
    except ValueError as error:
        raise DataError(f"manifest {manifest}, line {line}", f"roi {error}", "As in 0,48,2560,1824") from error
    picture = manifest.parent / values["path"]
    masks = {name: manifest.parent / values[name] if values[name] else None for name in MASKS}
    masks["mask"] = masks["mask"] or mask_beside(picture)
    return LabelledField(picture, values["label"], values["group"], values["lab"], um_per_px, roi=roi, **masks)


def mask_beside(picture: Path) -> Path | None:
    """Look for a picture's mask where one usually is: ``masks/17.png`` for ``images/17.jpg``."""
    mask = picture.parent.parent / "masks" / f"{picture.stem}.png"
    return mask if picture.parent.name == "images" and mask.is_file() else None


def to_csv(fields: Iterable[LabelledField], folder: Path | None = None) -> str:
    """Write out a manifest; optional columns are there when a field has something in them.

    Parameters
    ----------
    fields : iterable of LabelledField
        The data set.
    folder : Path, optional
        The folder that paths are relative to; without one they are absolute.

    Returns
    -------
    str
        CSV that :func:`read` reads as the same fields.
    """

    def place(path: Path) -> str:
        absolute = path.absolute()
        return os.path.relpath(absolute, folder.absolute()) if folder else str(absolute)

    rows: list[dict[str, Any]] = []
    for field in fields:
        values = {name: getattr(field, name) for name in REQUIRED}
        masks = {name: place(path) for name, path in field.masks.items()}
        rows.append({**values, "path": place(field.path), **({"roi": field.roi} if field.roi else {}), **masks})
    present = [name for name in OPTIONAL if any(name in row for row in rows)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*REQUIRED, *present], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def save(fields: Iterable[LabelledField], path: Path) -> None:
    """Write a manifest with paths relative to its own folder.

    Parameters
    ----------
    fields : iterable of LabelledField
        The data set.
    path : Path
        The CSV file; its folder is made.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    half = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(to_csv(fields, path.parent), encoding="utf-8")
        half.replace(path)
    except OSError as error:
        raise OutputError(f"manifest {path}", error.strerror or str(error), "Choose another --out") from error
    except UnicodeEncodeError as error:
        raise DataError(f"manifest {path}", "a file's name is not UTF-8", "Rename that file") from error
    finally:
        with suppress(OSError):
            half.unlink()


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
            roi = f" {field.roi}" if field.roi else ""
            origin = f"{field.label} {field.group} {field.lab} {field.um_per_px}{roi}"
            digest.update(f"{content} {mask} {origin}\n".encode())
    except OSError as error:
        raise DataError(f"{error.filename}", error.strerror or str(error), "Is the disk still there?") from error
    return digest.hexdigest()


def require_files(fields: Iterable[LabelledField]) -> None:
    """Refuse a data set whose manifest names files that are not there: no damage, which is borne, but a mistake.

    Parameters
    ----------
    fields : iterable of LabelledField
        The data set.

    Raises
    ------
    DataError
        When a picture or a mask is missing, with the first ones' names.
    """
    named = dict.fromkeys(path for field in fields for path in (field.path, *field.masks.values()))
    missing = [path for path in named if not path.exists()]
    if missing:
        first = ", ".join(map(str, missing[:3])) + (", …" if len(missing) > 3 else "")
        raise DataError(
            f"{len(missing)} of {len(named)} files of the manifest",
            f"not found: {first}",
            "Paths are relative to the manifest's folder",
        )
