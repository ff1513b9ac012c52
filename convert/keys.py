"""Keys that sign bundles: made here, kept by their owner, trusted by devices that list the public half."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

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
        File of the private key, in OpenSSH's form; must not exist. The public one gets ``.pub`` behind its name.
    name : str
        Whose it is; goes behind the public key.

    Returns
    -------
    str
        The public key, as a device's ``trusted_keys`` lists it.

    Raises
    ------
    OutputError
        When a file exists, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = signature.public_key(key.public_key().public_bytes_raw(), name)
    try:
        # A key is never written over, and never readable by others, not even for a moment.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(secret)
        path.with_name(f"{path.name}.pub").write_text(public + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"key {path}", error.strerror or str(error), "Choose another file") from error
    return public


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
