"""Headers of image files: the size of a picture, and whether its file is whole, before anything is decoded.

Decoders allocate what a header claims and fill what a truncated file lacks with gray, so both are
settled here. Read are BMP, JPEG (ITU-T T.81), PNG (W3C, third edition), TIFF (revision 6.0) and BigTIFF (libtiff's).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
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
    start : bytes
        What the file has to begin with for this page to be its first; empty where it is.
    """

    format: str
    width_px: int
    height_px: int
    bytes_per_px: int = 3
    bytes_needed: int = 0
    pixels_at: int = 0
    end_marker: bytes = b""
    start: bytes = b""


def read_header(file: BinaryIO, page: int = 0) -> Header:
    """Read an image file's header.

    Parameters
    ----------
    file : binary file
        Seekable, at any position.
    page : int
        Which of the pages that :func:`pages_in` counts, from 0.

    Raises
    ------
    ValueError
        When it is no image of a known format, has no such page, or ends within its header; the message says why.
    """
    file.seek(0)
    signature = file.read(8)
    if not signature:
        raise ValueError("the file is empty")
    for start, form in _TIFFS.items():
        if signature.startswith(start):
            return _tiff(file, form, page)
    for start, read in _READERS.items():
        if signature.startswith(start):
            return read(file)
    raise ValueError("not a BMP, JPEG, PNG or TIFF image")


def pages_in(file: BinaryIO) -> int:
    """Count the pages of a TIFF, but for what says that it is a preview or a mask. Any other file has one.

    Parameters
    ----------
    file : binary file
        Seekable, at any position.

    Returns
    -------
    int
        One at least; one that is damaged counts, so that reading it tells.
    """
    file.seek(0)
    form = _TIFFS.get(file.read(4))
    return 1 if form is None else sum(1 for _ in _pages(file, form))


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


@dataclass(frozen=True, slots=True)
class _Form:
    """How numbers are written: in TIFF places have four bytes, in BigTIFF eight."""

    order: str
    is_big: bool

    @property
    def place(self) -> str:
        return f"{self.order}{'Q' if self.is_big else 'I'}"

    @property
    def first_place(self) -> int:
        """Where the place of the first directory is written."""
        return 8 if self.is_big else 4


_KIND, _WIDTH, _HEIGHT, _BITS, _SAMPLES = 254, 256, 257, 258, 277
_OFFSETS = (273, 324)
_BYTE_COUNTS = (279, 325)
_READ = frozenset({_KIND, _WIDTH, _HEIGHT, _BITS, _SAMPLES, *_OFFSETS, *_BYTE_COUNTS})
_PREVIEW_OR_MASK = 0b101

_MOST_TIFF_STRIPS = 1 << 20
_MOST_TIFF_TAGS = 1 << 16
_MOST_TIFF_PAGES = 1 << 12

_Tags = dict[int, tuple[int, ...]]


def _tiff(file: BinaryIO, form: _Form, page: int) -> Header:
    pages = list(islice(_pages(file, form), page + 1))
    if page >= len(pages):
        raise ValueError(f"it has {len(pages)} pages")
    tags, _ = _directory(file, form, pages[page])
    if not (tags.get(_WIDTH) and tags.get(_HEIGHT)):
        raise ValueError("its header is damaged")
    offsets = next((tags[tag] for tag in _OFFSETS if tag in tags), ())
    byte_counts = next((tags[tag] for tag in _BYTE_COUNTS if tag in tags), ())
    ends = (offset + length for offset, length in zip(offsets, byte_counts, strict=False))
    bytes_per_px = max(3, math.ceil(max(tags.get(_BITS, (1,))) / 8) * max(tags.get(_SAMPLES, (1,))))
    start = b""
    if page:
        _check_like_first(tags, _directory(file, form, pages[0])[0])
        file.seek(0)
        start = file.read(form.first_place) + struct.pack(form.place, pages[page])
    needed = max(ends, default=0)
    return Header("TIFF", tags[_WIDTH][0], tags[_HEIGHT][0], bytes_per_px, bytes_needed=needed, start=start)


def _check_like_first(tags: _Tags, first: _Tags) -> None:
    """Refuse a page of another size: not all previews say that they are one, and its pixels are of an unknown size."""
    if any(tags[side] != first.get(side) for side in (_WIDTH, _HEIGHT)):
        size = f"{tags[_WIDTH][0]}x{tags[_HEIGHT][0]} pixels"
        raise ValueError(f"its {size} are not as many as the first page's: it is a preview, or of another scale")


def _pages(file: BinaryIO, form: _Form) -> Iterator[int]:
    """Yield where the directory of each page is; the last may be a damaged one."""
    (place,) = _take(file, form.place, form.first_place)
    seen: set[int] = set()
    # A chain that comes back to itself would keep its reader for ever.
    while place and place not in seen and len(seen) < _MOST_TIFF_PAGES:
        try:
            tags, following = _directory(file, form, place)
        except ValueError:
            tags, following = {}, 0
        if not seen or not tags.get(_KIND, (0,))[0] & _PREVIEW_OR_MASK:
            yield place
        seen.add(place)
        place = following


def _directory(file: BinaryIO, form: _Form, place: int) -> tuple[_Tags, int]:
    """Read of a directory what a header is made of, and where the next one is; 0 when there is none."""
    count_form, inline_bytes = (f"{form.order}Q", 8) if form.is_big else (f"{form.order}H", 4)
    (entries,) = _take(file, count_form, place)
    if entries > _MOST_TIFF_TAGS:
        raise ValueError("its header is damaged")
    first, entry_bytes = file.tell(), 4 + 2 * inline_bytes
    tags: _Tags = {}
    for entry in range(entries):
        tag, kind, count = _take(file, f"{form.order}HH{form.place[1]}", first + entry_bytes * entry)
        letter = {3: "H", 4: "I", 16: "Q"}.get(kind)
        if letter is None or tag not in _READ:
            continue
        values = f"{form.order}{count}{letter}"
        size = struct.calcsize(values)
        if size > _MOST_TIFF_STRIPS * inline_bytes:
            raise ValueError("its header is damaged")
        (position,) = _take(file, form.place) if size > inline_bytes else (file.tell(),)
        tags[tag] = _take(file, values, position)
    file.seek(first + entry_bytes * entries)
    # There are files that end here.
    (following,) = struct.unpack(form.place, file.read(inline_bytes).ljust(inline_bytes, b"\0"))
    return tags, following


_READERS = {b"BM": _bmp, b"\x89PNG\r\n\x1a\n": _png, b"\xff\xd8\xff": _jpeg}

_TIFFS = {
    b"II*\0": _Form("<", is_big=False),
    b"MM\0*": _Form(">", is_big=False),
    b"II+\0": _Form("<", is_big=True),
    b"MM\0+": _Form(">", is_big=True),
}
