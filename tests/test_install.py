"""The installer is shell that a checker finds nothing wrong with; what it does is tried in tests/device."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL = ROOT / "install.sh"


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
def test_shellcheck_finds_nothing():
    scripts = [INSTALL, *(ROOT / "tests" / "device" / "beds").glob("*.sh")]
    said = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["reinstall"], 2)])
def test_it_says_how_it_is_used(arguments, code):
    said = subprocess.run([INSTALL, *arguments], capture_output=True, text=True, check=False)
    assert said.returncode == code
    assert "Usage: sudo ./install.sh [install|rollback|uninstall]" in said.stdout + said.stderr


@pytest.mark.skipif(os.getuid() == 0, reason="this is root")
def test_it_changes_nothing_without_the_right_to():
    said = subprocess.run([INSTALL], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert "needs root" in said.stderr
