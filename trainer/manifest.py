"""Data sets as manifests (:mod:`edge.manifest`): written, checked for what training needs, and digested."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edge import durable
from edge.errors import OutputError
from edge.manifest import (
    MASKS,
    OPTIONAL,
    REQUIRED,
    LabelledField,
    Roi,
    deal,
    is_there,
    mask_beside,
    read,
    require_there,
)
from edge.result import INDETERMINATE
from trainer.errors import DataError

__all__ = [
    "MASKS",
    "OPTIONAL",
    "ORDER",
    "REQUIRED",
    "LabelledField",
    "Roi",
    "classes",
    "deal",
    "fingerprint",
    "is_there",
    "mask_beside",
    "read",
    "require_files",
    "save",
    "to_csv",
]

ORDER = "by path"
"""Order of the fields that :func:`read` gives, part of the key of whatever is kept by number of field.

It was once that of the rows: nothing that was kept then is taken up."""


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(path, to_csv(fields, path.parent).encode())
    except OSError as error:
        raise OutputError(f"manifest {path}", error.strerror or str(error), "Choose another --out") from error
    except UnicodeEncodeError as error:
        raise DataError(f"manifest {path}", "a file's name is not UTF-8", "Rename that file") from error


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
        The data set; another order is another data set, to whoever keeps something by number of field.

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
        for field in fields:
            content = hashlib.sha256(field.path.read_bytes()).hexdigest()
            mask = hashlib.sha256(field.mask.read_bytes()).hexdigest() if field.mask else ""
            roi = f" {field.roi}" if field.roi else ""
            origin = f"{field.label} {field.group} {field.lab} {field.um_per_px}{roi}"
            digest.update(f"{content} {mask} {origin}\n".encode())
            # Lines of their own, so that a data set without them has the digest that it always had.
            for name, path in field.masks.items():
                if name != "mask":
                    digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    except OSError as error:
        raise DataError(f"{error.filename}", error.strerror or str(error), "Is the disk still there?") from error
    return digest.hexdigest()


def require_files(fields: Iterable[LabelledField]) -> None:
    """Refuse a data set whose manifest names pictures or masks that are not there.

    Parameters
    ----------
    fields : iterable of LabelledField
        The data set.

    Raises
    ------
    DataError
        When a picture or a mask is missing, with the first ones' names.
    """
    require_there(path for field in fields for path in (field.path, *field.masks.values()))
