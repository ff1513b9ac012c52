"""Image files to pixels, the same for the device and for training: all of a picture, or an error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.camera.chatter import decoder_messages, tells_damage
from edge.camera.header import Header, pages_in, read_header
from edge.errors import ImageError
from edge.frame import MOST_PIXELS, Pixels

MOST_BYTES = 3 * MOST_PIXELS
"""What a picture may take decoded, before its samples are brought to 8 bits: as much again is needed for the result."""

LEAST_SIDE_PX = 32
"""A picture with a shorter side is an icon or a damaged header; a single white cell takes more pixels."""

_STRIP_PX = 256
_WHITE = 0xFFFF
_CAMERAS_WHITE = (0x3FF, 0xFFF, 0x3FFF)
_LEAST_STRETCHED_GAP = 4
_TRUNCATED = "the file is truncated"
_OPENED = Path("/proc/self/fd")

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})
"""What a folder is searched for, lower case; a file named outright is judged by its content."""


def count_pages(path: Path) -> int:
    """Count what an image file holds: the pages of a TIFF, one of any other, and one of what cannot be read."""
    try:
        with path.open("rb") as file:
            return pages_in(file)
    except (OSError, ValueError):
        return 1


def read_image(path: str | Path, page: int = 0) -> Pixels:
    """Read a BMP, JPEG, PNG or TIFF image, whole.

    16-bit samples are divided by their range over ours, so that black and white stay what they were; see
    :func:`white_level`. Gray becomes BGR; transparency is laid over white, a slide's background, unless all of the
    picture is transparent: then nobody meant it. EXIF orientation is ignored: a field has no upper side, and
    coordinates stay those of the stored pixels, as in data sets' annotations and in our overlays.

    Parameters
    ----------
    path : str or Path
        The file.
    page : int
        Which of the pages that :func:`count_pages` counts, from 0.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR.

    Raises
    ------
    ImageError
        When the file cannot be read, is no image, is damaged or truncated, or has a size that no field has:
        more than ``MOST_PIXELS`` or ``MOST_BYTES`` (refused by its header, before any memory is taken) or a side
        below ``LEAST_SIDE_PX``.
    """
    try:
        with Path(path).open("rb") as file:
            header = read_header(file, page)
            check_size(header.width_px, header.height_px, header.bytes_per_px)
            return _decode(file, header)
    except OSError as error:
        raise ImageError(page_name(path, page), error.strerror or str(error)) from error
    except (ValueError, cv2.error) as error:
        raise ImageError(page_name(path, page), str(error)) from error
    except MemoryError as error:
        raise ImageError(page_name(path, page), "there is not memory enough to read it") from error


def check_size(width_px: int, height_px: int, bytes_per_px: int = 3) -> None:
    """Refuse sizes that no field of a microscope has.

    Raises
    ------
    ValueError
        When the picture is larger than ``MOST_PIXELS`` or ``MOST_BYTES``, or a side is shorter than ``LEAST_SIDE_PX``.
    """
    if min(width_px, height_px) < LEAST_SIDE_PX:
        raise ValueError(f"{width_px}x{height_px} pixels are too few for a field, {LEAST_SIDE_PX} a side are the least")
    if width_px * height_px > MOST_PIXELS:
        raise ValueError(
            f"{width_px}x{height_px} pixels are {width_px * height_px / 1e6:.0f} megapixels, "
            f"{MOST_PIXELS / 1e6:.0f} are the most"
        )
    if width_px * height_px * bytes_per_px > MOST_BYTES:
        raise ValueError(
            f"{width_px}x{height_px} pixels of {bytes_per_px} bytes are {width_px * height_px * bytes_per_px / 1e6:.0f}"
            f" MB, {MOST_BYTES / 1e6:.0f} are the most"
        )


def white_level(image: NDArray[np.integer[Any] | np.floating[Any]]) -> int:
    """Say which level of 16-bit samples is white.

    Programs write the samples of cameras of 10, 12 or 14 bits into files of 16 as they are, and seldom say so. White is
    that of the least of these depths that holds all samples, if neighbouring levels are among them: what was stretched
    to 16 bits has gaps of four levels and more, and is dark where it looks so. A dark picture that uses all 16 bits
    loses no shade by being taken for one of fewer.

    Parameters
    ----------
    image : ndarray
        As :func:`to_bgr8` takes it; of samples of 8 bits it does not matter.

    Returns
    -------
    int
        1023, 4095, 16383 or 65535.
    """
    if image.dtype != np.uint16:
        return _WHITE
    colours = image[..., None] if image.ndim == 2 else image[..., :3]  # alpha has a range of its own
    most = int(colours.max())
    white = next((white for white in _CAMERAS_WHITE if most <= white), _WHITE)
    if white == _WHITE:
        return _WHITE
    counts = [
        cv2.calcHist([image], [channel], None, [white + 1], [0, white + 1]) for channel in range(colours.shape[2])
    ]
    gaps = np.diff(np.flatnonzero(np.sum(counts, axis=0)))
    return white if len(gaps) and gaps.min() < _LEAST_STRETCHED_GAP else _WHITE


def to_bgr8(image: NDArray[np.integer[Any] | np.floating[Any]], white: int = _WHITE) -> Pixels:
    """Bring decoded samples to BGR of 8 bits.

    Parameters
    ----------
    image : ndarray
        Shape (height, width), (height, width, 3) or (height, width, 4), uint8 or uint16; gray, BGR or BGRA with
        straight (not premultiplied) alpha, which is ignored where all of it is 0.
    white : int
        Level of 16-bit samples that becomes 255.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR; the same array when it already is that.

    Raises
    ------
    ValueError
        When samples are of another type, such as floating point, whose range is unknown.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"samples of type {image.dtype} are not supported, 8 and 16 bits are")
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return np.asarray(image, np.uint8)
    if image.ndim == 3 and image.shape[2] == 4 and not image[..., 3].any():
        image = image[..., :3]
    bgr = np.empty((*image.shape[:2], 3), np.uint8)
    # In strips, so that what lies between takes no memory to speak of.
    for top in range(0, len(image), _STRIP_PX):
        bgr[top : top + _STRIP_PX] = _strip(image[top : top + _STRIP_PX], white)
    return bgr


def _strip(image: NDArray[np.integer[Any] | np.floating[Any]], white: int) -> Pixels:
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / white)
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    if channels == 4:
        # On white, what is seen is white minus the shadow that the opaque part casts.
        alpha = cv2.cvtColor(cv2.extractChannel(image, 3), cv2.COLOR_GRAY2BGR)
        shadow = cv2.multiply(cv2.bitwise_not(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)), alpha, scale=1 / 255)
        return np.asarray(cv2.bitwise_not(shadow), np.uint8)
    return np.asarray(image, np.uint8)


def display_name(path: str | Path) -> str:
    """Name a file so that it can always be printed and logged, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "replace")


def page_name(path: str | Path, page: int) -> str:
    """Name a page of a file: the first as the file, the next ``field.tif[2]``."""
    return f"{display_name(path)}[{page + 1}]" if page else display_name(path)


def _decode(file: BinaryIO, header: Header) -> Pixels:
    if os.fstat(file.fileno()).st_size < header.bytes_needed:
        raise ValueError(_TRUNCATED)
    with decoder_messages() as messages:
        image = _whole(file, header)
    if image is None or tells_damage(messages):
        raise ValueError(f"the {header.format} data is damaged")
    return to_bgr8(image, white_level(image))


def _whole(file: BinaryIO, header: Header) -> Any:
    opened = _OPENED / str(file.fileno())
    if header.format == "BMP" and opened.exists():
        # The file that is open, whatever its name is of by now; a field of 15 MB need not be in memory twice.
        return cv2.imread(str(opened), cv2.IMREAD_UNCHANGED)
    file.seek(0)
    data = file.read()
    if len(data) < header.bytes_needed or (header.end_marker and data.find(header.end_marker, header.pixels_at) < 0):
        raise ValueError(_TRUNCATED)
    if header.start:
        data = header.start + memoryview(data)[len(header.start) :]
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
