"""Keys that sign bundles: made here, kept by their owner, trusted by devices that list the public half."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from convert.errors import KeyUnreadable
from edge.errors import OutputError
from edge.model import signature
from edge.model.signature import Signature

_REMEDY = "Make one with `convert keygen NAME.key`, or with `ssh-keygen -t ed25519 -N ''`"


def make(path: Path, name: str) -> str:
    """Make a key pair: the private half in a file that only its owner reads, the public one beside it.

    Parameters
    ----------
    path : Path
        File of the private key, in OpenSSH's form; must not exist. The public one gets ``.pub`` behind its name,
        and must not exist either.
    name : str
        Whose it is; goes behind the public key.

    Returns
    -------
    str
        The public key, as a device's ``trusted_keys`` lists it.

    Raises
    ------
    OutputError
        When a file exists, or cannot be written; none is then left that was not there.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = signature.public_key(key.public_key().public_bytes_raw(), name)
    try:
        with _both_or_none({path.with_name(f"{path.name}.pub"): 0o644, path: 0o600}) as (shown, kept):
            shown.write(f"{public}\n".encode())
            kept.write(secret)
    except OSError as error:
        raise OutputError(
            f"key {error.filename or path}", error.strerror or str(error), "Choose another file"
        ) from error
    return public


@contextmanager
def _both_or_none(modes: Mapping[Path, int]) -> Iterator[list[BinaryIO]]:
    """Make files that must not exist, with their modes from the first moment; where one fails, all are taken away.

    A key is never written over: not the private half, and not a public one whose private half is kept elsewhere.
    """
    made: list[Path] = []
    try:
        with ExitStack() as opened:
            streams: list[BinaryIO] = []
            for path, mode in modes.items():
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
                made.append(path)
                streams.append(opened.enter_context(os.fdopen(descriptor, "wb")))
            yield streams
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def signer(path: Path) -> Callable[[bytes], Signature]:
    """Read a private key, and give what signs with it.

    Parameters
    ----------
    path : Path
        Ed25519, in OpenSSH's form or PEM (PKCS #8), without a passphrase.

    Returns
    -------
    callable
        Signs a bundle's checksums.

    Raises
    ------
    KeyUnreadable
        When the file holds no such key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        content = path.read_bytes()
        load = (
            serialization.load_ssh_private_key
            if b"OPENSSH PRIVATE KEY" in content
            else serialization.load_pem_private_key
        )
        key = load(content, password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        # A key with a passphrase is a TypeError to cryptography.
        raise KeyUnreadable(f"key {path}", str(error), _REMEDY) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnreadable(f"key {path}", "is no Ed25519 key", _REMEDY)
    return lambda sums: signature.sign(sums, key)
