"""Containers of videos: whether one counts its frames, and whether its file is as long as it says.

Matroska, WebM and ASF (WMV) hold a duration and no number of frames. What a decoder announces in its place is the
duration times the rate, which is wrong where the rate varies or the first frame is not at zero; whether such a video
ends early, its structure tells. Read are Matroska (RFC 9559, of EBML, RFC 8794) and ASF (revision 01.20).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

_RIFF = b"RIFF"
_ISO_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
"""What an MP4 or MOV may begin with."""

_EBML = bytes.fromhex("1a45dfa3")
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_LONGEST_ID = 4

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_OBJECT = "<16xQ"


def counts_frames(file: BinaryIO) -> bool:
    """Say whether the number of frames that a decoder announces was read from the file: from an AVI, MP4 or MOV.

    Parameters
    ----------
    file : binary file
        Seekable, at any position.
    """
    start = _at(file, 0, 8)
    return start.startswith(_RIFF) or start[4:] in _ISO_BOXES


def is_cut(file: BinaryIO) -> bool:
    """Say whether a file ends before the Matroska or ASF structure in it does.

    Parameters
    ----------
    file : binary file
        Seekable, at any position.

    Returns
    -------
    bool
        False for all other containers; and of a recording whose length was never noted, as of a live stream, where it
        ends between two frames.
    """
    start = _at(file, 0, 16)
    ends = _matroska(file) if start.startswith(_EBML) else _asf(file) if start == _ASF else ()
    size = os.fstat(file.fileno()).st_size
    return any(end > size for end in ends)


def _matroska(file: BinaryIO) -> Iterator[int]:
    """Yield where the segment should end, or each part of one that is without a length."""
    position = 0
    while head := _at(file, position, _LONGEST_ID + 8):
        # The first byte of a number tells, by the zeros that it begins with, of how many bytes it is.
        id_bytes = 9 - head[0].bit_length()
        if id_bytes > _LONGEST_ID:
            return  # none of Matroska's, such as zeros up to the end of a block of the disk
        size_bytes = 9 - head[id_bytes].bit_length() if id_bytes < len(head) else 8
        element = int.from_bytes(head[:id_bytes], "big")
        unknown = (1 << 7 * size_bytes) - 1
        length = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & unknown
        position += id_bytes + size_bytes
        if length != unknown:
            position += length
            yield position
            if element == _SEGMENT:
                return
        elif element not in (_SEGMENT, _CLUSTER):
            return  # no other may be without one


def _asf(file: BinaryIO) -> Iterator[int]:
    """Yield where the header should end, and where the frames should; an index behind them matters to no frame."""
    (header,) = struct.unpack(_ASF_OBJECT, _at(file, 0, 24).ljust(24, b"\0"))
    yield header
    (frames,) = struct.unpack(_ASF_OBJECT, _at(file, header, 24).ljust(24, b"\0"))
    yield header + frames


def _at(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)
