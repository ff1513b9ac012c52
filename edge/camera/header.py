"""Headers of image files: the size of a picture, and whether its file is whole, before anything is decoded.

Decoders allocate what a header claims and fill what a truncated file lacks with gray, so both are
settled here. Read are BMP, JPEG (ITU-T T.81), PNG (W3C, third edition) and TIFF (revision 6.0).
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Header:
    """What an image file says of itself.

    Attributes
    ----------
    format : str
        ``BMP``, ``JPEG``, ``PNG`` or ``TIFF``.
    width_px, height_px : int
        Size of the picture.
    bytes_per_px : int
        What a pixel takes when it is decoded.
    bytes_needed : int
        The least size of the whole file, as far as the header tells.
    pixels_at : int
        Position from which the end marker is looked for.
    end_marker : bytes
        What a whole file has after its pixels; empty when the format has no such mark.
    """

    format: str
    width_px: int
    height_px: int
    bytes_per_px: int = 3
    bytes_needed: int = 0
    pixels_at: int = 0
    end_marker: bytes = b""


def read_header(file: BinaryIO) -> Header:
    """Read an image file's header.

    Parameters
    ----------
    file : binary file
        Seekable, at any position.

    Raises
    ------
    ValueError
        When it is no image of a known format, or ends within its header; the message says why.
    """
    file.seek(0)
    signature = file.read(8)
    if not signature:
        raise ValueError("the file is empty")
    for start, read in _READERS.items():
        if signature.startswith(start):
            return read(file)
    raise ValueError("not a BMP, JPEG, PNG or TIFF image")


def _take(file: BinaryIO, form: str, position: int | None = None) -> tuple[int, ...]:
    if position is not None:
        file.seek(position)
    wanted = struct.calcsize(form)
    data = file.read(wanted)
    if len(data) < wanted:
        raise ValueError("the file is truncated, it ends within its header")
    return struct.unpack(form, data)


def _bmp(file: BinaryIO) -> Header:
    pixels_at, header_bytes = _take(file, "<II", 10)
    if header_bytes == 12:
        width_px, height_px, _, bits = _take(file, "<HHHH")
        compression = 0
    else:
        width_px, height_px, _, bits, compression = _take(file, "<iiHHI")
    # A negative height says that the rows run from top to bottom.
    height_px = abs(height_px)
    row_bytes = (width_px * bits + 31) // 32 * 4
    whole = pixels_at + row_bytes * height_px if compression in (0, 3) else pixels_at
    return Header("BMP", width_px, height_px, 4 if bits == 32 else 3, whole)


def _png(file: BinaryIO) -> Header:
    width_px, height_px, bits, colour = _take(file, ">IIBB", 16)
    # With a palette, a decoder gives colours; with transparency, or an entry in the palette for it, a fourth channel.
    channels = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}.get(colour, 4)
    bytes_per_px = channels * (2 if bits == 16 else 1)
    return Header("PNG", width_px, height_px, bytes_per_px, pixels_at=24, end_marker=b"IEND")


def _jpeg(file: BinaryIO) -> Header:
    file.seek(2)
    while True:
        (lead,) = _take(file, "B")
        marker = lead
        while marker == 0xFF:
            (marker,) = _take(file, "B")
        if lead != 0xFF or marker in (0xD9, 0xDA):
            raise ValueError("its header is damaged")
        (length,) = _take(file, ">H")
        # SOF0 to SOF15 give the size; three codes in their range mean tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            _, height_px, width_px = _take(file, ">BHH")
            return Header("JPEG", width_px, height_px, pixels_at=file.tell(), end_marker=b"\xff\xd9")
        if length < 2:
            raise ValueError("its header is damaged")
        file.seek(length - 2, os.SEEK_CUR)


_WIDTH, _HEIGHT, _BITS, _SAMPLES = 256, 257, 258, 277
_OFFSETS = (273, 324)
_BYTE_COUNTS = (279, 325)


def _tiff(file: BinaryIO) -> Header:
    file.seek(0)
    order = "<" if file.read(1) == b"I" else ">"
    (directory,) = _take(file, f"{order}I", 4)
    (entries,) = _take(file, f"{order}H", directory)
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(entries):
        tag, kind, count = _take(file, f"{order}HHI", directory + 2 + 12 * entry)
        form = {3: "H", 4: "I"}.get(kind)
        if form is None or tag not in (_WIDTH, _HEIGHT, _BITS, _SAMPLES, *_OFFSETS, *_BYTE_COUNTS):
            continue
        values = f"{order}{count}{form}"
        size = struct.calcsize(values)
        if size > _MOST_TIFF_STRIPS * 4:
            raise ValueError("its header is damaged")
        (position,) = _take(file, f"{order}I") if size > 4 else (file.tell(),)
        tags[tag] = _take(file, values, position)
    if not (tags.get(_WIDTH) and tags.get(_HEIGHT)):
        raise ValueError("its header is damaged")
    offsets = next((tags[tag] for tag in _OFFSETS if tag in tags), ())
    byte_counts = next((tags[tag] for tag in _BYTE_COUNTS if tag in tags), ())
    ends = (offset + length for offset, length in zip(offsets, byte_counts, strict=False))
    bytes_per_px = max(3, math.ceil(max(tags.get(_BITS, (1,))) / 8) * max(tags.get(_SAMPLES, (1,))))
    return Header("TIFF", tags[_WIDTH][0], tags[_HEIGHT][0], bytes_per_px, bytes_needed=max(ends, default=0))


_MOST_TIFF_STRIPS = 1 << 20

_READERS = {
    b"BM": _bmp,
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8\xff": _jpeg,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
}
