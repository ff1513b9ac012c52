"""Pictures that are there twice: as they are, a little moved or recompressed, turned or mirrored.

Two such pictures on two sides of a split make a network's memory look like its judgement. They are found by
ImageHash's perceptual hash of 256 bits (Zauner 2010, "Implementation and benchmarking of perceptual image hash
functions"), in which unrelated fields differ by half of the bits, give or take 8.
"""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import WbcError
from edge.frame import Pixels
from trainer import pictures
from trainer.manifest import LabelledField

MOST_BITS = 48
"""Bits, of 256, by which near-duplicates differ at most. Of the 3,267 real fields and single cells at hand, all pairs
up to here that were looked at showed the same; at 62 begin single round cells that merely resemble each other."""

_SIDE = 16
_THUMBNAIL_PX = 4 * _SIDE
_ORIENTATIONS = 8
_WORDS = _SIDE * _SIDE // 64
_BLOCK = 256

Hashes = NDArray[np.uint64]
"""Perceptual hashes: shape (8, 4), uint64; a row an orientation, as it is first, then turned and mirrored."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two fields that show the same.

    Attributes
    ----------
    first, second : LabelledField
        The fields, in the data set's order.
    bits : int
        Bits of their hashes that differ, 0 to ``MOST_BITS``.
    identical : bool
        Whether the files are the same, byte by byte, and the regions of interest.
    """

    first: LabelledField
    second: LabelledField
    bits: int
    identical: bool

    @property
    def across_groups(self) -> bool:
        """Whether a split by group can part them."""
        return self.first.group != self.second.group

    @property
    def across_labels(self) -> bool:
        """Whether one of them must be labelled wrongly."""
        return self.first.label != self.second.label


def hashes(pixels: Pixels) -> Hashes:
    """Hash a picture in all eight orientations.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR.

    Returns
    -------
    ndarray
        Shape (8, 4), uint64.
    """
    import imagehash
    from PIL import Image

    gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    thumbnail = cv2.resize(gray, (_THUMBNAIL_PX, _THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    turned = [np.rot90(side, turns) for side in (thumbnail, thumbnail[:, ::-1]) for turns in range(4)]
    bits = [imagehash.phash(Image.fromarray(np.ascontiguousarray(view)), hash_size=_SIDE).hash for view in turned]
    return np.packbits(np.reshape(bits, (_ORIENTATIONS, -1)), axis=1).view(np.uint64)


def close(hashed: NDArray[np.uint64], most_bits: int = MOST_BITS) -> NDArray[np.int64]:
    """Compare every picture with every other one in every orientation.

    Parameters
    ----------
    hashed : ndarray
        Shape (n, 8, 4), uint64: the :func:`hashes` of n pictures.
    most_bits : int
        Bits by which two may differ.

    Returns
    -------
    ndarray
        Shape (pairs, 3), int64: indices of the two, the lower one first, and the bits.
    """
    found = [np.empty((0, 3), np.int64)]
    for start in range(0, len(hashed), _BLOCK):
        upright = hashed[start : start + _BLOCK, 0]
        others = hashed[start:]
        least = np.full((len(upright), len(others)), 64 * _WORDS, np.uint16)
        for orientation in range(_ORIENTATIONS):
            bits = np.zeros_like(least)
            for word in range(_WORDS):
                bits += np.bitwise_count(upright[:, None, word] ^ others[None, :, orientation, word])
            np.minimum(least, bits, out=least)
        one, other = np.nonzero(np.triu(least <= most_bits, k=1))
        found.append(np.stack([one + start, other + start, least[one, other]], axis=1))
    return np.concatenate(found)


def pairs(fields: Sequence[LabelledField], hashed: NDArray[np.uint64], most_bits: int = MOST_BITS) -> list[Pair]:
    """Pair the fields that show the same, the most alike first.

    Parameters
    ----------
    fields : sequence of LabelledField
        The fields.
    hashed : ndarray
        Shape (n, 8, 4), uint64: their :func:`hashes`.
    most_bits : int
        Bits by which two may differ.

    Returns
    -------
    list of Pair
        Near-duplicates.
    """
    found = []
    for one, other, bits in close(hashed, most_bits).tolist():
        first, second = fields[one], fields[other]
        identical = first.roi == second.roi and filecmp.cmp(first.path, second.path, shallow=False)
        found.append(Pair(first, second, bits, identical))
    return sorted(found, key=lambda pair: (not pair.identical, pair.bits))


def find(fields: Sequence[LabelledField], progress: Callable[[int], None] = lambda _: None) -> list[Pair]:
    """Read fields and pair those that show the same.

    Parameters
    ----------
    fields : sequence of LabelledField
        The data set; what cannot be read is passed over.
    progress : callable
        Called with the number of fields done.

    Returns
    -------
    list of Pair
        Near-duplicates, the most alike first.
    """
    read, hashed = [], []
    for done, field in enumerate(fields, start=1):
        progress(done)
        try:
            hashed.append(hashes(pictures.read(field)))
        except WbcError:
            continue
        read.append(field)
    return pairs(read, np.reshape(np.array(hashed, np.uint64), (-1, _ORIENTATIONS, _WORDS)))


def across(found: Iterable[Pair], groups_of_parts: Iterable[Collection[str]]) -> list[Pair]:
    """Choose the pairs that a split has parted: what is trained on is then also tested on.

    Parameters
    ----------
    found : iterable of Pair
        Near-duplicates.
    groups_of_parts : iterable of collections of str
        The groups of each part, such as ``[parts.test, *parts.folds]`` of :class:`trainer.split.Parts`.

    Returns
    -------
    list of Pair
        Those whose fields are in two parts; a field in no part is nowhere.
    """
    part_of = {group: number for number, groups in enumerate(groups_of_parts) for group in groups}
    return [
        pair
        for pair in found
        if len({part_of[field.group] for field in (pair.first, pair.second) if field.group in part_of}) == 2
    ]


def between(
    fields: Sequence[LabelledField],
    groups_of_parts: Iterable[Collection[str]],
    progress: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Say which fields of a data set a split has parted from one that shows the same, a line each.

    Parameters
    ----------
    fields : sequence of LabelledField
        The data set; what cannot be read is passed over.
    groups_of_parts : iterable of collections of str
        The groups of each part, such as ``[parts.test, *parts.folds]`` of :class:`trainer.split.Parts`.
    progress : callable
        Called with the number of fields done.

    Returns
    -------
    list of str
        The most alike first; empty when no picture is on both sides.
    """
    return [_told(pair) for pair in across(find(fields, progress), groups_of_parts)]


def _told(pair: Pair) -> str:
    alike = "are the same file" if pair.identical else f"show the same ({pair.bits} of {64 * _WORDS} bits differ)"
    labels = f", labelled {pair.first.label} and {pair.second.label}" if pair.across_labels else ""
    return (
        f"{pair.first.path.name} of group {pair.first.group} and {pair.second.path.name} of group "
        f"{pair.second.group} {alike}{labels}, in two parts of the split"
    )
