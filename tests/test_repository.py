"""What is committed: no pictures, nothing heavy, nothing of the machine it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

HEAVIEST_BYTES = 300_000

PICTURES = {".avi", ".bmp", ".gif", ".heic", ".jpeg", ".jpg", ".mkv", ".mp4", ".png", ".tif", ".tiff", ".webp"}

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|piwheels\.org|anaconda\.org|npmjs\.org|deb\.debian\.org|crates\.io|proxy\.golang\.org"
)

MACHINE = re.compile(r"(?<![\w.~-])/(?:farm|root|work|Users/\w+|home/(?!pi\b)\w+|opt/(?:pypi|wheels)|tmp/\w+)\b")
"""Paths of somebody's machine; a Raspberry Pi's user is `pi` in every manual."""


def committed():
    """List the files that are committed or would be."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: nothing is committed here")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [ROOT / name for name in names if name and (ROOT / name).is_file()]
    assert ROOT / "pyproject.toml" in files
    return files


def is_bundle(file):
    return file.parent == ROOT / "edge" / "model" / "bundled" and file.suffix == ".wbc"


def lines_with(pattern):
    return [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in committed()
        if not is_bundle(file)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_picture_is_committed():
    assert not [file.name for file in committed() if file.suffix.lower() in PICTURES]


def test_nothing_heavy_is_committed():
    assert not [file.name for file in committed() if file.stat().st_size > HEAVIEST_BYTES]


def test_the_bundled_model_is_the_only_binary():
    assert not [file.name for file in committed() if b"\0" in file.read_bytes() and not is_bundle(file)]


def test_no_registry_is_named():
    assert not lines_with(REGISTRIES)


def test_no_path_of_a_machine_is_named():
    assert not lines_with(MACHINE)


@pytest.mark.parametrize("folder", ["root", "work", "home/ann", "Users/ann", "tmp/build"])
def test_a_path_of_a_machine_is_recognised(folder):
    assert MACHINE.search(f"see '/{folder}/x'")


@pytest.mark.parametrize("before", ["..", "~", "frames", "https://example.org"])
def test_another_path_is_not(before):
    folder = "work"
    assert not MACHINE.search(f"see '{before}/{folder}/x'")
