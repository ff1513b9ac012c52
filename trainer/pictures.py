"""From a row of a manifest to arrays: the pixels of a field's region of interest, and its masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.camera.decode import IMAGE_SUFFIXES, read_image
from edge.camera.file import find_files
from edge.camera.header import read_header
from edge.frame import Pixels
from edge.manifest import crop
from trainer.errors import DataError
from trainer.manifest import LabelledField


def below(folder: Path) -> list[Path]:
    """Find the pictures in a folder and all folders below it.

    Parameters
    ----------
    folder : Path
        Hidden files and folders in it are left out.

    Returns
    -------
    list of Path
        In natural order, ``field2`` before ``field10``.

    Raises
    ------
    NoImages
        When there is none.
    DataError
        When a folder below cannot be read.
    """
    found = find_files(folder)
    closed = [path for path in found if path.is_dir()]
    if closed:
        raise DataError(f"folder {closed[0]}", "cannot be read", "Change its permissions, or move it away")
    return [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]


def read(source: LabelledField) -> Pixels:
    """Read a field, within its region of interest.

    Parameters
    ----------
    source : LabelledField
        The field.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR.

    Raises
    ------
    ImageError
        When the picture cannot be read whole.
    DataError
        When the region of interest reaches out of it.
    """
    return crop(read_image(source.path), source.roi, source.path)


def read_mask(source: LabelledField, path: Path) -> NDArray[np.uint8]:
    """Read one of a field's masks, within the field's region of interest.

    Parameters
    ----------
    source : LabelledField
        The field.
    path : Path
        The mask; one of another size than the picture is stretched over it.

    Returns
    -------
    ndarray
        Shape (height, width) of the field, uint8, 1 where the mask is not black, else 0.

    Raises
    ------
    DataError
        When the mask cannot be read.
    """
    # In its own depth: of a mask that numbers its cells in 16 bits, 8 would be black.
    mask = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH)
    if mask is None:
        raise DataError(f"mask {path}", "cannot be read", "Remove it from the manifest, or mend it")
    with source.path.open("rb") as file:
        header = read_header(file)
    stained = (mask > 0).astype(np.uint8)
    whole = cv2.resize(stained, (header.width_px, header.height_px), interpolation=cv2.INTER_NEAREST)
    return np.asarray(crop(whole, source.roi, source.path), np.uint8)
