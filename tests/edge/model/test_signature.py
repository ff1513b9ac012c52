"""A device that lists keys takes what one of them signed, whole, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import BundleCorrupt, BundleUntrusted, NetworkNotFound
from edge.model import bundle as bundles
from edge.model import open_model, signature
from edge.model.bundle import Bundle

MAKER, OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))


def public(key: Ed25519PrivateKey, name: str = "") -> str:
    return signature.public_key(key.public_key().public_bytes_raw(), name)


@pytest.fixture
def signed(bundled: Bundle, path: Path) -> Path:
    bundles.write(bundled, path, lambda sums: signature.sign(sums, MAKER))
    return path


def with_signature(path: Path, content: bytes | None) -> None:
    """Put another signature into a bundle, or none."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name != "signature.json"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in {**parts, **({} if content is None else {"signature.json": content})}.items():
            archive.writestr(name, part)


def test_what_a_trusted_key_signed_opens(signed: Path) -> None:
    model = open_model(signed, trusted_keys=[public(OTHER), public(MAKER, "the laboratory")])
    assert model.bundle.signature is not None
    said = signature.described(model.bundle.signature, [public(MAKER, "the laboratory")])
    assert said == f"signed by the laboratory ({signature.fingerprint(public(MAKER))})"


def test_what_is_unsigned_or_of_another_key_does_not_open(signed: Path, bundled: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleUntrusted, match="a key that this device does not list") as refused:
        open_model(signed, trusted_keys=[public(OTHER)])
    assert refused.value.exit_code == 36
    bundles.write(bundled, tmp_path / "unsigned.wbc")
    with pytest.raises(BundleUntrusted, match="unsigned"):
        open_model(tmp_path / "unsigned.wbc", trusted_keys=[public(MAKER)])


def test_a_device_that_lists_none_opens_all_and_says_so(signed: Path) -> None:
    open_model(signed)
    with_signature(signed, None)
    assert signature.described(open_model(signed).bundle.signature) == "unsigned, and this device trusts any"


def test_a_removed_signature_is_no_way_around(signed: Path) -> None:
    with_signature(signed, None)
    with pytest.raises(BundleUntrusted, match="unsigned"):
        open_model(signed, trusted_keys=[public(MAKER)])


def test_altered_parts_with_right_sums_do_not_open(signed: Path, bundled: Bundle, tmp_path: Path) -> None:
    harmful = tmp_path / "harmful.wbc"
    bundles.write(bundled, harmful, lambda sums: signature.sign(sums, OTHER))
    with zipfile.ZipFile(signed) as archive:
        its_signature = archive.read("signature.json")
    written = bundles.read(harmful)
    assert written.sums == bundles.read(signed).sums  # the same parts: the signature is as good there
    with_signature(harmful, its_signature)
    open_model(harmful, trusted_keys=[public(MAKER)])
    bundles.write(replace(bundled, card="believe me"), harmful)
    with_signature(harmful, its_signature)
    with pytest.raises(BundleCorrupt, match="not of these parts"):
        open_model(harmful, trusted_keys=[public(MAKER)])


@pytest.mark.parametrize(
    "forged",
    [b"x", b"{}", b"[]", b'{"key": "ssh-ed25519 AAAA", "value": ""}', b'{"key": "", "value": "' + b"A" * 88 + b'"}'],
)
def test_what_is_no_signature_is_a_damaged_bundle(signed: Path, forged: bytes) -> None:
    with_signature(signed, forged)
    with pytest.raises(BundleCorrupt):
        bundles.read(signed)


@given(st.integers(0, 63), st.integers(0, 7))
def test_every_bit_of_a_signature_counts(place: int, bit: int) -> None:
    good = signature.sign(b"sums", MAKER)
    value = bytearray(good.value)
    value[place] ^= 1 << bit
    signature.verify(good, b"sums", "x")
    with pytest.raises(BundleCorrupt):
        signature.verify(signature.Signature(key=good.key, value=bytes(value)), b"sums", "x")


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    good = signature.sign(b"sums", MAKER)
    for raw in (bytes(32), b"\xff" * 32, b"\x02" + bytes(31)):
        with pytest.raises(BundleCorrupt):
            signature.verify(signature.Signature(key=signature.public_key(raw), value=good.value), b"sums", "x")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_keys_and_fingerprints_are_those_of_openssh(tmp_path: Path) -> None:
    key = public(MAKER, "the laboratory")
    (tmp_path / "key.pub").write_text(key + "\n")
    told = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], capture_output=True, text=True, check=True
    ).stdout
    assert told == f"256 {signature.fingerprint(key)} the laboratory (ED25519)\n"


def test_the_library_is_imported_only_where_a_signature_is_checked(signed: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from edge.model import open_model; "
        "open_model(Path(sys.argv[1])); sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, signed], check=False).returncode == 0


def test_a_type_is_opened_by_name(bundled: Bundle, path: Path) -> None:
    both = msgspec.structs.replace(
        bundled.description, networks={"int8": "network-int8.tflite", "dynamic": "network-dynamic.tflite"}
    )
    golden = bundled.selftest_logits["int8"]
    network = bundled.networks["int8"]
    logits = {"int8": golden, "dynamic": golden + np.float32(1)}
    bundles.write(
        replace(bundled, description=both, networks={"int8": network, "dynamic": network}, selftest_logits=logits), path
    )
    assert open_model(path).kind == "int8"
    assert open_model(path, kind="int8").kind == "int8"
    with pytest.raises(NetworkNotFound, match=r"has no float16 network\. It has int8, dynamic"):
        open_model(path, kind="float16")
