"""A model that would end the process, or hang it, is refused with a reason; one that is known is opened at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import handmade
import pytest

from edge import apart
from edge.errors import BundleCorrupt, BundleUntrusted, SelfTestFailed
from edge.model import bundle, shelf, trial
from edge.model.description import Kind

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
MakesBundles = Callable[[Kind, Callable[[int], bytes]], Path]


@pytest.fixture
def never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("no process is needed for what is known")

    monkeypatch.setattr(apart, "run", refuse)


def test_a_network_that_ends_its_process_is_refused_by_what_it_died_of(
    of_bright_tiles: MakesBundles, tmp_path: Path
) -> None:
    path = of_bright_tiles("float32", handmade.that_crashes)
    with pytest.raises(SelfTestFailed, match=r"float32\.wbc.*died of SIGSEGV.*convert it again"):
        trial.open_known(path, tmp_path)


def test_a_process_that_does_not_come_to_an_end_is_ended_and_its_model_refused(
    of_bright_tiles: MakesBundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.1)
    with pytest.raises(SelfTestFailed, match=r"took longer than 0\.1 s"):
        trial.open_known(of_bright_tiles("float32", handmade.that_says_no_numbers), tmp_path)


def test_what_ships_and_what_was_installed_and_is_as_it_was_needs_no_process(never_run: None, tmp_path: Path) -> None:
    shipped = shelf.find(None)
    installed = tmp_path / f"{bundle.read(shipped).identity}.wbc"
    shutil.copy(shipped, installed)
    for path in (shipped, installed):
        assert trial.open_known(path, tmp_path).bundle.path == path


@pytest.mark.parametrize("name", ["mine.wbc", "mine@.wbc", "mine@0123456789ab.wbc"])
def test_a_file_that_somebody_laid_into_the_folder_is_not_known(tmp_path: Path, name: str) -> None:
    shutil.copy(shelf.find(None), tmp_path / name)
    assert not shelf.is_known(tmp_path / name, tmp_path)
    assert not shelf.is_known(tmp_path / "nowhere" / name, tmp_path / "nowhere")


def test_what_is_refused_there_is_refused_here_by_the_same_error(tmp_path: Path) -> None:
    torn = tmp_path / "torn.wbc"
    torn.write_bytes(b"torn")
    with pytest.raises(BundleCorrupt) as refused:
        bundle.read(torn)
    with pytest.raises(BundleCorrupt) as tried:
        trial.run(torn)
    assert str(tried.value) == str(refused.value)


def test_a_network_that_nobody_trusted_signed_is_not_run_even_there(of_bright_tiles: MakesBundles) -> None:
    with pytest.raises(BundleUntrusted):
        trial.run(of_bright_tiles("float32", handmade.that_crashes), trusted_keys=[KEY])


def test_a_network_that_only_decides_otherwise_is_left_to_whoever_opens_it(
    of_bright_tiles: MakesBundles, tmp_path: Path
) -> None:
    made = bundle.read(of_bright_tiles("float32", handmade.that_says_no_numbers))
    wrong = {"float32": made.selftest_logits["float32"] + 1}
    other = bundle.write(replace(made, selftest_logits=wrong), tmp_path / "other.wbc").path
    assert other is not None
    trial.run(other)
    with pytest.raises(SelfTestFailed, match="its self-test differs"):
        trial.open_known(other, tmp_path)
