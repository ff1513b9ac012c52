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
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from numpy.typing import NDArray

from edge.errors import DataError, ScaleError
from edge.vision import scale

Picture = TypeVar("Picture", bound=NDArray[Any])

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
    def name(self) -> str:
        """The picture's path, with the region of interest where there is one: what tells fields apart."""
        return str(self.path) if self.roi is None else f"{self.path}, roi {self.roi}"

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
        All rows, by path: the order of the rows, and of the manifests, decides nothing.

    Raises
    ------
    DataError
        When a file cannot be read, a column is missing or unknown, a value is empty or wrong, no field has a label that
        is renamed, labels differ only in case, a picture has two labels or groups, or a group two laboratories.
        Pictures are not looked for.
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
    pictures: dict[str, tuple[str, str]] = {}
    for field in fields:
        if labs.setdefault(field.group, field.lab) != field.lab:
            raise DataError("the manifest", f"group {field.group!r} is in two laboratories", "Give each its own groups")
        origin = field.label, field.group
        # One picture has one name here, whatever folder its manifest is in; Path.resolve refuses loops of links.
        if pictures.setdefault(os.path.realpath(field.path), origin) != origin:
            raise DataError("the manifest", f"{field.path} is there with two labels or groups", "Keep one of them")
    # Of one picture there may be several regions.
    return sorted(fields, key=lambda field: (str(field.path), repr(field)))


def _read_one(path: Path) -> list[LabelledField]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            named = Counter(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"manifest {path}", str(error), "Give a CSV file in UTF-8") from error
    columns = set(named)
    missing, unknown = set(REQUIRED) - columns, columns - set(REQUIRED) - set(OPTIONAL)
    twice = {name for name, times in named.items() if times > 1}
    if missing or unknown or twice:
        said = [f"no column {name!r}" for name in sorted(missing)] + [f"unknown column {n!r}" for n in sorted(unknown)]
        said += [f"column {name!r} twice" for name in sorted(twice)]
        raise DataError(f"manifest {path}", ", ".join(said), f"Columns are {', '.join(REQUIRED + OPTIONAL)}")
    return [_field(path, line, row) for line, row in rows]


def _field(manifest: Path, line: int, row: Mapping[str, str | None]) -> LabelledField:
    values = {name: (row.get(name) or "").strip() for name in REQUIRED + OPTIONAL}
    empty = [name for name in REQUIRED if not values[name]]
    if empty:
        raise DataError(f"manifest {manifest}, line {line}", f"{', '.join(empty)} is empty")
    if any("\0" in value for value in values.values()):
        raise DataError(f"manifest {manifest}, line {line}", "has a NUL, which no text has", "Mend that line")
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
    return mask if picture.parent.name == "images" and is_there(mask) else None


def is_there(path: Path) -> bool:
    """Say whether there is a file of that name; none can be where the name is one that no file has."""
    try:
        return path.exists()
    except OSError:
        # Too long, say.
        return False


def require_there(paths: Iterable[Path]) -> None:
    """Refuse a manifest that names files that are not there: no damage, which is borne, but a mistake.

    Parameters
    ----------
    paths : iterable of Path
        Pictures, and masks where they are looked at.

    Raises
    ------
    DataError
        When one is missing, with the first ones' names.
    """
    named = dict.fromkeys(paths)
    missing = [path for path in named if not is_there(path)]
    if missing:
        first = ", ".join(map(str, missing[:3])) + (", …" if len(missing) > 3 else "")
        raise DataError(
            f"{len(missing)} of {len(named)} files of the manifest",
            f"not found: {first}",
            "Paths are relative to the manifest's folder",
        )


def deal(classes: Sequence[Collection[Hashable]], folds: int) -> list[int]:
    """Deal groups out to the folds of a cross-validation, in turn, so that no class is in one fold alone.

    Parameters
    ----------
    classes : sequence of collection of hashable
        The classes that each group holds, in the order in which groups are dealt.
    folds : int
        Number of folds.

    Returns
    -------
    list of int
        Fold of each group. A class of several groups may still be in one fold where its groups hold other classes too.
    """
    homes: dict[Hashable, set[int]] = defaultdict(set)
    dealt: list[int] = []
    turn = 0
    for held in classes:
        # Of a class in groups of several classes the first two are not dealt one after the other.
        alone = [homes[label] for label in held]
        turn = next((later for later in range(turn, turn + folds) if {later % folds} not in alone), turn)
        dealt.append(turn % folds)
        for home in alone:
            home.add(turn % folds)
        turn += 1
    return dealt


def crop(picture: Picture, roi: Roi | None, path: Path) -> Picture:
    """Cut out a region of interest.

    Parameters
    ----------
    picture : ndarray
        Shape (height, width) or (height, width, channels).
    roi : Roi or None
        The region; None is the whole.
    path : Path
        The picture's file, for the error.

    Returns
    -------
    ndarray
        A view of the picture.

    Raises
    ------
    DataError
        When the region reaches out of the picture.
    """
    if roi is None:
        return picture
    height, width = picture.shape[:2]
    if roi.x + roi.width > width or roi.y + roi.height > height:
        raise DataError(f"{path}, roi {roi}", f"reaches out of a picture of {width}x{height} pixels", "Correct it")
    return picture[roi.y : roi.y + roi.height, roi.x : roi.x + roi.width]  # type: ignore[return-value]
