"""What every test of the project relies on."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import handmade
import msgspec
import numpy as np
import pytest
from hypothesis import settings

# The same examples on every run, so that a failure of one machine is a failure of all; no deadline, because the
# machines differ in speed and a slow one is not wrong.
settings.register_profile("project", derandomize=True, deadline=None)
settings.load_profile("project")


def pytest_configure() -> None:
    # A shell lets what it begins in the background ignore Ctrl-C, and so would all that the tests begin.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("tflite_runtime"):
        return
    skip = pytest.mark.skip(reason="needs tflite-runtime: make test-tflite")
    for item in items:
        if item.get_closest_marker("tflite_runtime"):
            item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the tests, and the commands they start, a home of their own: never the user's journal or bundles."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(folder))
        for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
            environment.setenv(f"XDG_{kind}_HOME", str(folder / kind.lower()))
        yield


@pytest.fixture(autouse=True)
def own_settings(home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a configuration of its own: what one sets would change what the next one finds."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk of a size such as ``512k``, in memory."""
    mounted = []

    def mount(size: str) -> Path:
        disk = tmp_path / f"disk-of-{size}"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "wbc-edge-test", disk]
        if (
            os.geteuid() != 0
            or not shutil.which("mount")
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            pytest.skip("needs the right to mount a small disk")
        mounted.append(disk)
        return disk

    yield mount
    for disk in mounted:
        # What still holds a file there keeps nothing but that file.
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture(scope="session")
def of_bright_tiles(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make bundles that pass their self-test, of bright tiles, and fail on every cell: they say what are no numbers."""
    from edge.model import bundle as bundles
    from edge.model import shelf

    def make(kind: str, network: Callable[[int], bytes] = handmade.that_says_no_numbers) -> Path:
        bundled = bundles.read(shelf.find(None))
        tiles = np.full_like(bundled.selftest_tiles, 255)
        made = replace(
            bundled,
            description=msgspec.structs.replace(
                bundled.description, name="fragile", networks={kind: f"network-{kind}.tflite"}
            ),
            networks={kind: network(tiles.shape[1])},
            novelty_mean=np.zeros(6, np.float32),
            novelty_whitening=np.zeros((6, 6), np.float32),
            selftest_tiles=tiles,
            selftest_logits={kind: np.full((len(tiles), 3), 20**0.5, np.float32)},
        )
        path = tmp_path_factory.mktemp("fragile") / f"{kind}.wbc"
        bundles.write(made, path)
        return path

    return make
