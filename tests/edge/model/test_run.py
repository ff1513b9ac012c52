"""A training run's folder is read whole or refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edge.errors import BundleCorrupt, BundleNotFound
from edge.model import run
from edge.model.bundle import Bundle


@pytest.fixture
def trained(small: Bundle) -> run.Run:
    fields = {name: getattr(small.description, name) for name in run.Run.__struct_fields__}
    return run.Run(**fields)


def test_a_run_is_read_as_it_was_written(trained: run.Run, tmp_path: Path) -> None:
    run.write(trained, tmp_path)
    assert run.read(tmp_path) == trained


def test_a_folder_that_is_no_finished_run_is_not_found(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BundleNotFound, match="trainer fit"):
            run.read(folder)


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b'{"name": "\xff"}', b'{"name": 1}'])
def test_a_damaged_description_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / run.DESCRIPTION).write_bytes(text)
    with pytest.raises(BundleCorrupt, match="not valid"):
        run.read(tmp_path)


def test_arrays_are_read_without_pickle(tmp_path: Path) -> None:
    np.save(tmp_path / run.NOVELTY, np.arange(6, dtype=np.float32).reshape(3, 2))
    assert run.array(tmp_path, run.NOVELTY).tolist() == [[0, 1], [2, 3], [4, 5]]
    np.save(tmp_path / run.NOVELTY, np.array([{}], object), allow_pickle=True)
    with pytest.raises(BundleCorrupt, match="Train it again"):
        run.array(tmp_path, run.NOVELTY)


@pytest.mark.parametrize("kept", [None, 0, 20, -1])
def test_a_missing_or_truncated_array_is_refused(tmp_path: Path, kept: int | None) -> None:
    path = tmp_path / run.CALIBRATION
    if kept is not None:
        np.save(path, np.zeros(100, np.uint8))
        os.truncate(path, kept % path.stat().st_size)
    with pytest.raises(BundleCorrupt, match=run.CALIBRATION):
        run.array(tmp_path, run.CALIBRATION)
