"""Keys are made once, kept to their owner, and sign what devices that list them then trust."""

from __future__ import annotations

import shutil
import stat
import subprocess

import pytest

from convert import keys
from convert.errors import KeyUnreadable
from edge.errors import OutputError
from edge.model import signature


def test_a_key_is_readable_by_its_owner_only_and_is_never_written_over(tmp_path):
    path = tmp_path / "maker.key"
    public = keys.make(path, "the laboratory")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (tmp_path / "maker.key.pub").read_text() == f"{public}\n"
    before = path.read_bytes()
    with pytest.raises(OutputError):
        keys.make(path, "another")
    assert path.read_bytes() == before


def test_a_public_half_whose_private_one_is_kept_elsewhere_is_never_written_over(tmp_path):
    public = keys.make(tmp_path / "maker.key", "the laboratory")
    (tmp_path / "maker.key").unlink()
    with pytest.raises(OutputError, match=r"maker\.key\.pub"):
        keys.make(tmp_path / "maker.key", "another")
    assert list(tmp_path.iterdir()) == [tmp_path / "maker.key.pub"]
    assert (tmp_path / "maker.key.pub").read_text() == f"{public}\n"


def test_where_the_private_half_cannot_be_made_no_public_one_is_left(tmp_path):
    (tmp_path / "maker.key").write_text("another's")
    with pytest.raises(OutputError):
        keys.make(tmp_path / "maker.key", "the laboratory")
    assert list(tmp_path.iterdir()) == [tmp_path / "maker.key"]
    assert (tmp_path / "maker.key").read_text() == "another's"


def test_what_a_key_signs_is_trusted_by_its_public_half(tmp_path):
    public = keys.make(tmp_path / "maker.key", "the laboratory")
    signed = keys.signer(tmp_path / "maker.key")(b"sums")
    signature.require(signed, b"sums", [public], "x.wbc")
    assert "the laboratory" in signature.described(signed, [public])


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_keys_of_openssh_sign_as_well_but_not_with_a_passphrase_nor_of_another_kind(tmp_path):
    def made(name, *options):
        command = ["ssh-keygen", "-q", "-f", tmp_path / name, "-C", "the laboratory", *options]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return tmp_path / name

    good = made("good", "-t", "ed25519", "-N", "")
    public = good.with_suffix(".pub").read_text().strip()
    signature.require(keys.signer(good)(b"sums"), b"sums", [public], "x.wbc")
    for bad in (made("locked", "-t", "ed25519", "-N", "secret"), made("rsa", "-t", "rsa", "-N", "")):
        with pytest.raises(KeyUnreadable) as refused:
            keys.signer(bad)
        assert refused.value.exit_code == 74


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN OPENSSH PRIVATE KEY-----\nxx\n", None])
def test_what_is_no_key_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "maker.key").write_bytes(content)
    with pytest.raises(KeyUnreadable, match="convert keygen"):
        keys.signer(tmp_path / "maker.key")
