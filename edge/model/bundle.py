"""A model as one file: ``NAME.wbc``, a ZIP archive of the network and all that a device must know to use it.

=========================  ======================================================================
part                       content
=========================  ======================================================================
description.json           :class:`edge.model.description.Description`
network-TYPE.tflite        a network of each type; tiles in (int8 = byte - 128), logits and embedding out
card.md                    model card for people
novelty.npy                mean (first row) and whitening (the rest) of training embeddings, float32
selftest-tiles.npy         tiles, uint8, shape (n, tile, tile, 3), BGR
selftest-logits-TYPE.npy   logits expected of the network of each type, float32, shape (n, classes)
parity.json                optional: how each type compares with the network that was trained
SHA256SUMS                 SHA-256 of each other part, as ``sha256sum --check`` reads it
signature.json             optional: :class:`edge.model.signature.Signature` of SHA256SUMS
=========================  ======================================================================

Reading runs no code from the file: arrays are read without pickle, names are a closed list and never a path
to write to, sizes are bounded before anything is unpacked. Format 1 had one ``selftest-logits.npy``, and is still read.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge import durable
from edge.errors import BundleCorrupt, BundleError, BundleNotFound, OutputError
from edge.model import description as _description
from edge.model.description import FORMAT, Description, Kind
from edge.model.signature import Signature

SUFFIX = ".wbc"
DIGITS = 12
"""Of a file's SHA-256, hexadecimal, in the identity of a model."""

_SUMS = "SHA256SUMS"
_SIGNATURE = "signature.json"
_PARITY = "parity.json"
_LARGEST_BYTES = 64 << 20
_FIXED_PARTS = ("description.json", "card.md", "novelty.npy", "selftest-tiles.npy")

_Scalar = TypeVar("_Scalar", bound=np.number)


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A model whose parts were all checked.

    Attributes
    ----------
    description : Description
        What it says of itself.
    networks : mapping of str to bytes
        The ``.tflite`` of each type.
    card : str
        Model card, Markdown.
    novelty_mean : ndarray
        Shape (d,), float32, mean embedding of the training tiles.
    novelty_whitening : ndarray
        Shape (d, d), float32; the length of ``(embedding - mean) @ whitening`` is the novelty: a Mahalanobis
        distance, scaled so that what is no smear lies beyond 1.
    selftest_tiles : ndarray
        Shape (n, tile, tile, 3), uint8, BGR.
    selftest_logits : mapping of str to ndarray
        What is expected of the network of each type: shape (n, classes), float32.
    parity : bytes
        How each type compares with the network that was trained, JSON; empty in a bundle that does not say.
    signature : Signature or None
        Who made it, if it says; not checked yet, see :mod:`edge.model.signature`.
    sums : bytes
        The part ``SHA256SUMS``, which a signature signs; empty before it is written.
    sha256 : str
        Of the whole file, hexadecimal; empty before it is written.
    path : Path or None
        Where it was read from.
    """

    description: Description
    networks: Mapping[Kind, bytes]
    card: str
    novelty_mean: NDArray[np.float32]
    novelty_whitening: NDArray[np.float32]
    selftest_tiles: NDArray[np.uint8]
    selftest_logits: Mapping[Kind, NDArray[np.float32]]
    parity: bytes = b""
    signature: Signature | None = None
    sums: bytes = b""
    sha256: str = ""
    path: Path | None = None

    @property
    def identity(self) -> str:
        """``name@`` and the first 12 hexadecimal digits of the file's SHA-256, as the journal keeps it."""
        return f"{self.description.name}@{self.sha256[:DIGITS]}"


def read(path: Path) -> Bundle:
    """Read a bundle and check every part of it.

    Parameters
    ----------
    path : Path
        The ``.wbc`` file.

    Returns
    -------
    Bundle
        The checked bundle.

    Raises
    ------
    BundleNotFound
        When there is no such file, or it cannot be opened.
    BundleCorrupt
        When it is truncated, altered, or does not hold what it says.
    BundleTooNew
        When a later version of wbc-edge wrote it.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(_LARGEST_BYTES)
    except OSError as error:
        raise BundleNotFound(
            f"bundle {path}", error.strerror or str(error), "`wbc-edge model list` shows the models there are"
        ) from error
    return _checked(raw, path)


def _checked(raw: bytes, path: Path) -> Bundle:
    try:
        parts, sums = _checked_parts(raw, str(path))
        signature = parts.pop(_SIGNATURE, None)
        description = _description.decode(parts["description.json"], str(path))
        # After the format, because a later one may have parts that this one does not know.
        expected = {kind: _expected_part(kind, description.format) for kind in description.networks}
        known = {*_FIXED_PARTS, _PARITY, *description.networks.values(), *expected.values()}
        if unknown := parts.keys() - known:
            raise BundleCorrupt(f"bundle {path}", f"holds an unknown part {min(unknown)!r}")
        novelty = _array(parts["novelty.npy"], np.float32, 2)
        bundle = Bundle(
            description=description,
            networks={kind: parts[name] for kind, name in description.networks.items()},
            card=parts["card.md"].decode(),
            novelty_mean=novelty[0],
            novelty_whitening=novelty[1:],
            selftest_tiles=_array(parts["selftest-tiles.npy"], np.uint8, 4),
            selftest_logits={kind: _array(parts[name], np.float32, 2) for kind, name in expected.items()},
            parity=parts.get(_PARITY, b""),
            signature=msgspec.json.decode(signature, type=Signature) if signature is not None else None,
            sums=sums,
            sha256=hashlib.sha256(raw).hexdigest(),
            path=path,
        )
    except BundleError:
        raise
    except Exception as error:
        # On altered bytes the parsers of archives, codecs and arrays fail in more ways than they name.
        raise BundleCorrupt(
            f"bundle {path}", f"not a whole bundle ({error})", "Copy it again from where it came from"
        ) from error
    _check_shapes(bundle)
    return bundle


def _expected_part(kind: Kind, format_: int) -> str:
    return "selftest-logits.npy" if format_ == 1 else f"selftest-logits-{kind}.npy"


def _checked_parts(raw: bytes, source: str) -> tuple[dict[str, bytes], bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        unpacked_bytes = sum(info.file_size for info in archive.infolist())
        if unpacked_bytes > _LARGEST_BYTES:
            raise BundleCorrupt(f"bundle {source}", f"claims to unpack to {unpacked_bytes} bytes")
        parts = {name: archive.read(name) for name in archive.namelist()}
    listed = parts.pop(_SUMS)
    sums = {name: digest for digest, name in (line.split("  ", 1) for line in listed.decode().splitlines())}
    for name in (sums.keys() | parts.keys()) - {_SIGNATURE}:
        if name not in parts or hashlib.sha256(parts[name]).hexdigest() != sums.get(name):
            raise BundleCorrupt(
                f"bundle {source}", f"part {name} is missing or altered", "Copy it again from where it came from"
            )
    return parts, listed


def _array(raw: bytes, dtype: type[_Scalar], dimensions: int) -> NDArray[_Scalar]:
    array: NDArray[_Scalar] = np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    if array.dtype != dtype or array.ndim != dimensions:
        raise ValueError(f"an array of {array.dtype} with {array.ndim} dimensions where another was expected")
    if not np.isfinite(array).all():
        raise ValueError("an array with values that are no numbers")
    return array


def _check_shapes(bundle: Bundle) -> None:
    tile = bundle.description.tiling.tile_px
    tests = len(bundle.selftest_tiles)
    depth = len(bundle.novelty_mean)
    if (
        tests < 1
        or bundle.selftest_tiles.shape != (tests, tile, tile, 3)
        or any(logits.shape != (tests, len(bundle.description.classes)) for logits in bundle.selftest_logits.values())
        or bundle.novelty_whitening.shape != (depth, depth)
    ):
        raise BundleCorrupt(f"bundle {bundle.path}", "its parts do not fit each other")


def write(bundle: Bundle, path: Path, sign: Callable[[bytes], Signature] | None = None) -> Bundle:
    """Write a bundle whole or not at all, and read it back.

    Parameters
    ----------
    bundle : Bundle
        What to write, in the latest format; its ``signature``, ``sums``, ``sha256`` and ``path`` are ignored.
    path : Path
        Where; an existing file is replaced at once.
    sign : callable, optional
        Signs the part ``SHA256SUMS``; without it the bundle is unsigned.

    Returns
    -------
    Bundle
        The bundle as read back.

    Raises
    ------
    BundleCorrupt
        When a device would not read it; what was there is left as it was.
    OutputError
        When the file cannot be written; no half bundle is left.
    """
    description = msgspec.structs.replace(bundle.description, format=FORMAT)
    parts = {
        "description.json": _description.encode(description),
        "card.md": bundle.card.encode(),
        "novelty.npy": _npy(np.vstack([bundle.novelty_mean[None], bundle.novelty_whitening]).astype(np.float32)),
        "selftest-tiles.npy": _npy(bundle.selftest_tiles),
        **{
            _expected_part(kind, FORMAT): _npy(logits.astype(np.float32))
            for kind, logits in bundle.selftest_logits.items()
        },
        **{description.networks[kind]: network for kind, network in bundle.networks.items()},
        **({_PARITY: bundle.parity} if bundle.parity else {}),
    }
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in parts.items()).encode()
    parts[_SUMS] = sums
    if sign is not None:
        parts[_SIGNATURE] = msgspec.json.encode(sign(sums))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in parts.items():
            # The default date, 1980, makes the same parts the same file, so that a rebuilt bundle can be recognised.
            part = zipfile.ZipInfo(name)
            part.external_attr = 0o644 << 16
            archive.writestr(part, content, zipfile.ZIP_DEFLATED)
    content = packed.getvalue()
    # Before anything is replaced: by as much of it as is read.
    _checked(content[:_LARGEST_BYTES], path)
    try:
        durable.write(path, content)
    except OSError as error:
        raise OutputError(
            f"bundle {path}", error.strerror or str(error), "Choose a folder that can be written"
        ) from error
    return read(path)


def _npy(array: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()
