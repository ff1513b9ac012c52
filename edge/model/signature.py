"""Who made a bundle: an Ed25519 signature (RFC 8032) over the checksums of its parts.

Keys are written as OpenSSH writes them, ``ssh-ed25519 AAAA... NAME``, and named by the fingerprint that
``ssh-keygen -lf`` shows. Only the device's own list gives a key a name: what a bundle says of its key proves nothing.
The library that checks is imported where a signature is checked and nowhere else, as it takes 30 ms to import.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge.errors import BundleCorrupt, BundleUntrusted
from edge.settings import PublicKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_CONTEXT = b"wbc-edge bundle\n"
"""Goes before what is signed, so that a signature of something else is never one of a bundle."""

_PREFIX = base64.b64decode("AAAAC3NzaC1lZDI1NTE5AAAAIA==")
"""What stands before the 32 bytes of a key (RFC 8709): two lengths and the name ``ssh-ed25519``."""


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signature of a bundle's checksums.

    Attributes
    ----------
    key : str
        The public key, as OpenSSH writes it.
    value : bytes
        The 64 bytes of the signature.
    """

    key: PublicKey
    value: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


def public_key(raw: bytes, name: str = "") -> str:
    """Write a public key as OpenSSH does.

    Parameters
    ----------
    raw : bytes
        Its 32 bytes.
    name : str
        Whose it is; for people.

    Returns
    -------
    str
        ``ssh-ed25519 AAAA... NAME``.
    """
    return f"ssh-ed25519 {base64.b64encode(_PREFIX + raw).decode()} {name}".rstrip()


def fingerprint(key: str) -> str:
    """Shorten a public key to what people compare: ``SHA256:`` and 43 letters, as ``ssh-keygen -lf`` does."""
    digest = hashlib.sha256(_blob(key)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def sign(sums: bytes, private_key: Ed25519PrivateKey) -> Signature:
    """Sign a bundle's checksums.

    Parameters
    ----------
    sums : bytes
        The part ``SHA256SUMS``.
    private_key : Ed25519PrivateKey
        The maker's.

    Returns
    -------
    Signature
        The signature, with the public key.
    """
    key = public_key(private_key.public_key().public_bytes_raw())
    return Signature(key=key, value=private_key.sign(_CONTEXT + sums))


def verify(signature: Signature, sums: bytes, source: str) -> None:
    """Check that a signature was made by the key that it names, whoever's that is.

    Parameters
    ----------
    signature : Signature
        The signature.
    sums : bytes
        The part ``SHA256SUMS``.
    source : str
        What the user calls the bundle.

    Raises
    ------
    BundleCorrupt
        When it was not.
    BundleUntrusted
        When it cannot be checked, as the library for it is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise BundleUntrusted(
            f"bundle {source}", f"its signature cannot be checked: {error}", "`pip install cryptography`"
        ) from error
    try:
        Ed25519PublicKey.from_public_bytes(_raw(signature.key)).verify(signature.value, _CONTEXT + sums)
    except (InvalidSignature, ValueError) as error:
        raise BundleCorrupt(
            f"bundle {source}", "its signature is not of these parts", "Copy it again from where it came from"
        ) from error


def require(signature: Signature | None, sums: bytes, trusted_keys: Sequence[str], source: str) -> None:
    """Refuse a bundle that none of the trusted keys signed.

    Parameters
    ----------
    signature : Signature or None
        The bundle's signature, if it has one.
    sums : bytes
        The part ``SHA256SUMS``.
    trusted_keys : sequence of str
        Public keys; without any, every bundle passes.
    source : str
        What the user calls the bundle.

    Raises
    ------
    BundleUntrusted
        When it is unsigned, or signed by another key.
    BundleCorrupt
        When its signature is not of its parts.
    """
    if not trusted_keys:
        return
    if signature is None or not _listed(signature.key, trusted_keys):
        why = described(signature, trusted_keys)
        raise BundleUntrusted(f"bundle {source}", why, "Use one signed by a key of the setting trusted_keys")
    verify(signature, sums, source)


def described(signature: Signature | None, trusted_keys: Sequence[str] = ()) -> str:
    """Say who signed a bundle, once :func:`verify` let its signature pass.

    Parameters
    ----------
    signature : Signature or None
        The bundle's signature, if it has one.
    trusted_keys : sequence of str
        The device's, which give keys their names.

    Returns
    -------
    str
        ``unsigned``, or ``signed by`` name and fingerprint.
    """
    if signature is None:
        return "unsigned" if trusted_keys else "unsigned, and this device trusts any"
    if listed := _listed(signature.key, trusted_keys):
        name = listed.partition(" ")[2].partition(" ")[2].strip()
        return f"signed by {name} ({fingerprint(signature.key)})" if name else f"signed by {fingerprint(signature.key)}"
    return f"signed by {fingerprint(signature.key)}, a key that this device does not list"


def _listed(key: str, trusted_keys: Sequence[str]) -> str | None:
    return next((trusted for trusted in trusted_keys if _blob(trusted) == _blob(key)), None)


def _blob(key: str) -> bytes:
    return base64.b64decode(key.split()[1])


def _raw(key: str) -> bytes:
    return _blob(key)[-32:]
