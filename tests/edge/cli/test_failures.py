"""A bundle or journal that cannot be used is told in one line, with an exit code of its own, before any frame."""

import hashlib
import io
import sqlite3
import zipfile

import msgspec
import numpy as np
import pytest

from edge.errors import (
    BundleCorrupt,
    BundleNotFound,
    BundleTooNew,
    JournalCorrupt,
    JournalReadOnly,
    JournalTooNew,
    RuntimeUnavailable,
    SelfTestFailed,
)
from edge.journal import Journal
from edge.model import shelf


def rebuilt(change):
    """Give the bundled model with parts changed and its sums made right again."""
    with zipfile.ZipFile(shelf.find(None)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name != "SHA256SUMS"}
    change(parts)
    parts["SHA256SUMS"] = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in parts.items()
    ).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return packed.getvalue()


def truncated():
    return shelf.find(None).read_bytes()[:-1000]


def altered():
    data = bytearray(shelf.find(None).read_bytes())
    data[len(data) // 2] ^= 0x10
    return bytes(data)


def newer():
    def change(parts):
        description = msgspec.json.decode(parts["description.json"])
        parts["description.json"] = msgspec.json.encode({**description, "format": 999})

    return rebuilt(change)


def of_another_mind():
    def change(parts):
        logits = np.load(io.BytesIO(parts["selftest-logits-int8.npy"]))
        np.save(changed := io.BytesIO(), logits + np.float32(3))
        parts["selftest-logits-int8.npy"] = changed.getvalue()

    return rebuilt(change)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (truncated, BundleCorrupt),
        (altered, BundleCorrupt),
        (bytes, BundleCorrupt),
        (newer, BundleTooNew),
        (of_another_mind, SelfTestFailed),
    ],
)
def test_a_bundle_that_cannot_be_trusted_is_refused(make, error, simulate, wbc, tmp_path, journal):
    path = tmp_path / "other.wbc"
    path.write_bytes(make())
    ran = simulate("--classify", "--model", path, "--count", 1, "--json")
    assert (ran.code, ran.out) == (error.exit_code, "")
    assert "other.wbc" in ran.err
    assert len(ran.err.splitlines()) == 1
    if journal.exists():
        with Journal.open_read_only(journal) as log:
            assert log.samples() == []
    assert wbc("model", "verify", path).code == error.exit_code
    assert wbc("doctor", "--model", path).code == 1


def test_a_model_or_runtime_that_is_not_there_is_told(simulate):
    assert simulate("--classify", "--model", "nothing", "--count", 1).code == BundleNotFound.exit_code
    ran = simulate("--classify", "--runtime", "abacus", "--count", 1)
    assert ran.code == RuntimeUnavailable.exit_code
    assert "litert" in ran.err


def in_the_way(path):
    path.parent.write_text("a file where a folder should be")


def no_journal(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 500)


def from_the_future(path):
    Journal.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [(in_the_way, JournalReadOnly), (no_journal, JournalCorrupt), (from_the_future, JournalTooNew)],
)
def test_a_journal_that_cannot_be_used_stops_everything(spoil, error, simulate, wbc, journal):
    spoil(journal)
    ran = simulate("--count", 1, "--json")
    assert (ran.code, ran.out) == (error.exit_code, "")
    assert len(ran.err.splitlines()) == 1
    assert str(journal) in ran.err


def test_a_folder_for_pictures_that_cannot_be_written_stops_everything(simulate, journal):
    journal.parent.mkdir()
    (journal.parent / "pictures").write_text("in the way")
    ran = simulate("--count", 1, "--save", "frames", "--json")
    assert (ran.code, ran.out) == (50, "")


def test_debug_shows_where_an_error_came_from(wbc, tmp_path):
    assert "Traceback" not in wbc("classify", tmp_path, "--um-per-px", 0.1).err
    ran = wbc("--debug", "classify", tmp_path, "--um-per-px", 0.1)
    assert "Traceback" in ran.err
    assert ran.code == 21
