"""A command that is refused leaves no folder behind, and one that is there stays."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from edge.errors import ConfigurationError, OutputError
from trainer import fit, folder
from trainer.ablation.ablate import ablate
from trainer.errors import DataError
from trainer.paper.compare import compare
from trainer.paper.settings import Settings
from trainer.search import search


@pytest.mark.parametrize("command", [fit, ablate, search])
def test_what_is_refused_leaves_no_folder(command, manifest_file, tmp_path, quick_training):
    out = tmp_path / "runs" / "first"
    # Which is known only where the back end is asked.
    with pytest.raises(ConfigurationError, match="under jax only"):
        command([manifest_file], out, replace(quick_training, devices=2, batch=4), folds=2)
    assert not out.parent.exists()


def test_a_comparison_of_pictures_that_cannot_be_read_leaves_no_folder(tmp_path):
    rows = ["path,label,group,lab,um_per_px"]
    for label, slide in product(("ALL", "MM"), (1, 2)):
        name = f"{label}-{slide}"
        (tmp_path / f"{name}.png").write_bytes(b"no picture")
        rows.append(f"{name}.png,{label},{name},lab,0.1")
    (tmp_path / "fields.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match="unreadable"):
        compare([tmp_path / "fields.csv"], tmp_path / "out", Settings(systems=("bayes",), protocols=("field",)))
    assert not (tmp_path / "out").exists()


def refused(out, name=""):
    with folder.made(out):
        if name:
            (out / name).write_bytes(b"")
        raise DataError("data", "cannot be trained on")


def test_a_folder_that_was_there_or_holds_something_stays(tmp_path):
    with pytest.raises(DataError):
        refused(tmp_path / "new", "checkpoint")
    assert (tmp_path / "new" / "checkpoint").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        refused(tmp_path / "empty")
    assert (tmp_path / "empty").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file"), folder.made(tmp_path / "file" / "out"):
        pass
