"""A device that lists keys refuses a model that none of them signed, whatever the command."""

from __future__ import annotations

import signal

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.errors import BundleUntrusted
from edge.model import bundle as bundles
from edge.model import shelf, signature

MAKER = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = signature.public_key(MAKER.public_key().public_bytes_raw(), "the laboratory")
OTHER = signature.public_key(bytes([7] * 32), "another")


@pytest.fixture
def signed(tmp_path):
    path = tmp_path / "signed.wbc"
    bundles.write(bundles.read(shelf.find(None)), path, lambda sums: signature.sign(sums, MAKER))
    return path


@pytest.fixture
def configured(tmp_path, monkeypatch, journal):
    """Let the configuration file list the maker's key and another."""
    path = tmp_path / "config.toml"
    path.write_text(f'trusted_keys = ["{OTHER}", "{KEY}"]\n')
    monkeypatch.setenv("WBC_EDGE_CONFIG", str(path))
    return path


@pytest.mark.parametrize(
    "command",
    [
        ["capture", "--classify", "--camera", "sim", "--size", "640x480", "--count", "1"],
        ["classify", "field.png", "--um-per-px", "0.1"],
        ["bench", "--repeats", "1", "--size", "640x480"],
        ["model", "verify"],
    ],
)
def test_an_unsigned_model_is_refused_by_every_command_that_judges(command, wbc, configured, tmp_path):
    if command[0] == "classify":
        command = ["classify", tmp_path, "--um-per-px", "0.1"]
        (tmp_path / "field.png").write_bytes(b"")
    ran = wbc(*command)
    assert ran.code == BundleUntrusted.exit_code
    assert "unsigned" in ran.err
    assert "trusted_keys" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_the_doctor_names_what_is_wrong_and_who_signed(wbc, configured, signed):
    ran = wbc("doctor", "--json")
    assert ran.code == 1
    assert any("unsigned" in line["what"] for line in ran.lines if line["state"] == "problem")
    assert "signed by the laboratory" in wbc("doctor", "--model", signed).out


def test_the_service_is_degraded_and_says_why(start, configured, monkeypatch, tmp_path):
    monkeypatch.setenv("WBC_EDGE_CAMERA", "sim")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with start("run") as running:
        try:
            said = next(line for line in running.stderr if "unsigned" in line)
        finally:
            running.send_signal(signal.SIGTERM)
    assert "trusted_keys" in said


def test_a_model_signed_by_a_listed_key_works_as_ever(wbc, configured, signed, tmp_path):
    assert (
        wbc("model", "verify", signed).out.rstrip().endswith(f"signed by the laboratory ({signature.fingerprint(KEY)})")
    )
    camera = ["--camera", "sim", "--size", "640x480", "--count", 1]
    assert wbc("capture", "--classify", "--model", signed, *camera).code == 0


def test_the_environment_lists_keys_too(wbc, journal, signed, monkeypatch):
    monkeypatch.setenv("WBC_EDGE_TRUSTED_KEYS", f"{OTHER}, {KEY}")
    assert wbc("model", "verify", signed).code == 0
    monkeypatch.setenv("WBC_EDGE_TRUSTED_KEYS", OTHER)
    assert wbc("model", "verify", signed).code == BundleUntrusted.exit_code
    monkeypatch.setenv("WBC_EDGE_TRUSTED_KEYS", "AAAA")
    assert wbc("model", "verify", signed).code == 2


def test_who_signed_is_shown_beside_each_model(wbc, signed, monkeypatch, journal):
    monkeypatch.setenv("WBC_EDGE_MODELS", str(signed.parent))
    assert "unsigned, and this device trusts any" in wbc("model", "show").out
    assert f"signed by {signature.fingerprint(KEY)}" in wbc("model", "show", "signed").out
    assert [line["key"] for line in wbc("model", "list", "--json").lines] == [None, signature.fingerprint(KEY)]


def test_keys_are_set_and_shown_like_any_setting(wbc, tmp_path, monkeypatch, journal):
    monkeypatch.setenv("WBC_EDGE_CONFIG", str(tmp_path / "config.toml"))
    assert wbc("config", "set", f"trusted_keys={KEY}, {OTHER}").code == 0
    assert f"{KEY}, {OTHER}" in wbc("config", "show").out
    assert wbc("model", "verify").code == BundleUntrusted.exit_code
    assert wbc("config", "set", "trusted_keys=ssh-rsa AAAA").code == 2
    assert wbc("config", "set", "trusted_keys=").code == 0
    assert wbc("model", "verify").code == 0
