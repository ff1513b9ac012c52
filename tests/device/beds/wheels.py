"""Folders to install from: of this checkout, and of releases of it that are newer or broken."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]
_SOURCE = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "edge", "trainer", "convert")
_BESIDE = ("install.sh", "systemd/wbc-edge.service", "requirements/device.txt")
TARGETS = ("3.13-x86_64", "3.11-aarch64", "3.11-x86_64")


def libraries(beds: Path) -> Path:
    """Give the folder of everybody else's wheels, downloaded once for each lock."""
    lock = (ROOT / "requirements/device.txt").read_text()
    folder = beds / "wheelhouse"
    kept = folder / "device.txt"
    with (beds / "wheelhouse.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not kept.exists() or kept.read_text() != lock:
            subprocess.run([sys.executable, ROOT / "tools/wheelhouse", folder, *TARGETS], check=True)
    return folder


def release(beds: Path, folder: Path, version: str, change: Callable[[Path], None] | None = None) -> Path:
    """Fill a folder from which this checkout installs, as another version and with a change if asked.

    Parameters
    ----------
    beds : Path
        Where downloads are kept.
    folder : Path
        To fill.
    version : str
        What the release calls itself.
    change : callable, optional
        Is given the copy of the source tree before the wheel is built.
    """
    source = folder.with_name(f"{folder.name}-source")
    for name in _SOURCE:
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, place)
    about = source / "edge/__init__.py"
    import edge

    about.write_text(about.read_text().replace(f'"{edge.__version__}"', f'"{version}"'))
    if change is not None:
        change(source)
    folder.mkdir()
    for wheel in libraries(beds).glob("*.whl"):
        if not wheel.name.startswith("wbc_edge-"):
            (folder / wheel.name).hardlink_to(wheel)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(source)], check=True)
    for name in _BESIDE:
        shutil.copy2(ROOT / name, folder)
    return folder
