"""The model that ships, on real fields that it was not trained on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge.model import bundle, shelf

DATA = Path(__file__).parents[2] / "shared" / "data"
GROUPS = {"segpc-19", "segpc-20"}


@pytest.mark.skipif(not DATA.is_dir(), reason="the real fields, ../shared/data, are not on this machine")
def test_myeloma_at_full_resolution_is_called_so(tmp_path):
    assert set(bundle.read(shelf.find(None)).description.training.held_out_groups) >= GROUPS
    program = [sys.executable, "-c", "from edge.cli import main; main()"]
    asked = ["classify", str(DATA / "segpc-fields"), "--um-per-px", "0.042", "--json"]
    journal = ["--journal", str(tmp_path / "journal.sqlite3")]
    done = subprocess.run([*program, *asked, *journal], capture_output=True, check=True, timeout=110)
    *frames, sample = map(json.loads, done.stdout.splitlines())
    usable = [frame for frame in frames if frame["quality"]["usable"]]
    assert len(usable) == 24
    assert sum(frame["verdict"] == "MM" for frame in usable) >= 22
    assert sample["verdict"] == "MM"
