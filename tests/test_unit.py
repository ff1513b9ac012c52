"""The unit is one that systemd understands to the last line, and that confines the service."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "systemd" / "wbc-edge.service"

needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


def setting(name):
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), flags=re.MULTILINE)
    return value


def test_it_works_in_a_folder_that_it_may_write():
    # lgpio, which reads a button, makes pipes there as it is imported, and cannot be had where it may not.
    assert setting("WorkingDirectory") == f"/run/{setting('RuntimeDirectory')}"


@needs_analyze
def test_systemd_finds_nothing_to_complain_of(tmp_path):
    # systemd-analyze ends with 0 on an unknown key, so what it says counts; and it wants the program to be there.
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    said = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")


@needs_analyze
def test_it_is_confined():
    offline = ["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", str(UNIT)]
    said = subprocess.run(offline, capture_output=True, text=True, check=False)
    if "unrecognized option" in said.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    (exposure,) = re.findall(r"exposure level for \S+: ([\d.]+)", said.stdout)
    assert (said.returncode, float(exposure) <= 2.0) == (0, True), exposure
