"""Models are found by name or path: the one that ships, then the user's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.errors import BundleNotFound
from edge.model import shelf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("zebra.wbc", "after midnight.wbc", "notes.txt", ".half.wbc.123.part"):
        (tmp_path / name).touch()
    return tmp_path


def test_without_a_name_it_is_the_one_that_ships() -> None:
    for name in (None, "", "marrow"):
        assert shelf.find(name) == shelf.BUNDLED / "marrow.wbc"
    assert shelf.find(None).is_file()


def test_the_one_that_ships_comes_first_then_the_user_s_by_name(folder: Path) -> None:
    names = [path.name for path in shelf.available(folder)]
    assert names == ["marrow.wbc", "after midnight.wbc", "zebra.wbc"]


def test_a_user_need_not_have_a_folder(tmp_path: Path) -> None:
    assert shelf.available(tmp_path / "missing") == shelf.available() == [shelf.BUNDLED / "marrow.wbc"]


def test_a_model_is_found_by_the_name_of_its_file(folder: Path) -> None:
    assert shelf.find("after midnight", folder) == folder / "after midnight.wbc"


def test_a_path_is_found_wherever_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert shelf.find("zebra.wbc") == Path("zebra.wbc")
    assert shelf.find(str(folder / "zebra.wbc")) == folder / "zebra.wbc"
    assert shelf.find("./notes.txt") == Path("notes.txt")


@pytest.mark.parametrize("name", ["zebra", "missing.wbc", "no/such/model.wbc", "..", "/", "marrow.wb"])
def test_what_there_is_not_is_refused_with_where_to_look(name: str) -> None:
    with pytest.raises(BundleNotFound, match="model list") as refused:
        shelf.find(name)
    assert name in str(refused.value)


@pytest.mark.parametrize("name", ["x" * 300 + ".wbc", "./" + "x" * 300])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(BundleNotFound, match="too long"):
        shelf.find(name)


def test_a_folder_that_cannot_be_looked_at_counts_as_empty(tmp_path: Path) -> None:
    assert shelf.available(tmp_path / ("x" * 300)) == shelf.available()


def test_a_pipe_is_no_bundle_and_never_waited_for(folder: Path) -> None:
    before = shelf.available(folder)
    os.mkfifo(folder / "pipe.wbc")
    assert shelf.available(folder) == before
