"""Machines that the device's tests run on; `make test-device` makes them once and keeps them in $WBC_BEDS."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

BEDS = os.environ.get("WBC_BEDS", "")
MAKERS = Path(__file__).parent / "beds"

Figures = Callable[..., None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if BEDS and os.getuid() == 0:
        return
    skip = pytest.mark.skip(reason="takes machines of its own, root and an hour: make test-device")
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(skip)


def made(maker: str, *arguments: Path, needs: tuple[str, ...]) -> None:
    """Make a machine, unless it was made before."""
    missing = [program for program in needs if not shutil.which(program)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: see tests/device/README.md")
    subprocess.run([MAKERS / maker, *arguments], check=True)


@pytest.fixture(scope="session")
def beds() -> Path:
    """Give the folder in which machines and downloads are kept."""
    folder = Path(BEDS).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def tree(beds: Path) -> Path:
    """Give a Debian with systemd and Python."""
    folder = beds / "tree"
    made("tree.sh", folder, needs=("debootstrap", "systemd-nspawn"))
    return folder


@pytest.fixture(scope="session")
def guest(beds: Path, tree: Path) -> Path:
    """Give the folder of a virtual machine's disk, kernel and initrd."""
    folder = beds / "guest"
    made("guest.sh", tree, folder, needs=("qemu-system-x86_64", "mke2fs"))
    return folder


@pytest.fixture(scope="session")
def arm(beds: Path) -> Path:
    """Give a Debian of an Arm board."""
    folder = beds / "arm"
    made("arm.sh", folder, needs=("debootstrap", "qemu-aarch64-static"))
    return folder


@pytest.fixture(scope="session")
def vulkan(beds: Path) -> Path:
    """Give the folder of a Vulkan driver that runs on the processor."""
    folder = beds / "vulkan"
    made("vulkan.sh", folder, needs=("apt-get", "dpkg"))
    return folder


@pytest.fixture(scope="session")
def figures(beds: Path) -> Figures:
    """Keep a figure, for docs/reliability.md."""

    def keep(name: str, **values: object) -> None:
        fact = {"name": name, "when": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M}", "machine": platform.node()}
        with (beds / "figures.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**fact, **values}) + "\n")
        print(name, values)

    return keep
