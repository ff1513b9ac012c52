"""A judged frame to log, and a journal to log it in."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.frame import SensorReport
from edge.journal import Journal
from edge.result import FrameResult, TileResult
from edge.vision.morphology import Morphology
from edge.vision.quality import Quality

NOBODY = 65534
WithoutWriteAccess = Callable[..., contextlib.AbstractContextManager[None]]


@pytest.fixture
def result() -> FrameResult:
    return FrameResult(
        frame="sim:17",
        sequence=17,
        size_px=(2560, 1920),
        um_per_px=0.1,
        wall_time_s=1_800_000_000.25,
        monotonic_s=312.5,
        sensor=SensorReport(1000.0, 1.5, (1.75, 1.625)),
        quality=Quality(
            True,
            (),
            focus=1.25,
            brightness=0.8,
            saturation=0.01,
            foreground=0.2,
            field=1.0,
            contrast=0.75,
            crushed=0.03,
            stain=0.62,
        ),
        verdict="ALL",
        warnings=("not the microscope I was trained on",),
        probabilities={"ALL": 0.9, "MM": 0.06, "normal": 0.04},
        tiles_total=30,
        tiles=(
            TileResult(-20, 40, 224, 223, "ALL", (0.95, 0.03, 0.02)),
            TileResult(300, 80, 224, 224, "MM", (0.2, 0.7, 0.1)),
        ),
        morphology=Morphology(12, nuclear_area_um2=81.5, nucleus_to_cytoplasm=2.25, cytoplasm_fraction=0.5),
        novelty=0.3,
        model="wbc@0123456789ab",
        ms={"capture": 1.0, "quality": 2.0, "tile": 3.0, "infer": 4.0},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal.open(path, timeout_s=0.1) as journal:
        yield journal


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """Yield a folder that another user can reach, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def stranger() -> WithoutWriteAccess:
    """Return what makes a folder and its files unwritable for a while: to root too, by being nobody for that while."""

    @contextlib.contextmanager
    def without_write_access(folder: Path, *, folder_mode: int = 0o555) -> Iterator[None]:
        everything = [folder, *folder.rglob("*")]
        modes = [stat.S_IMODE(item.stat().st_mode) for item in everything]
        user = os.geteuid()
        for item in reversed(everything):
            item.chmod(folder_mode if item.is_dir() else 0o444)
        try:
            if user == 0:
                os.seteuid(NOBODY)
            yield
        finally:
            os.seteuid(user)
            for item, mode in zip(everything, modes, strict=True):
                if item.exists():
                    item.chmod(mode)

    return without_write_access


@pytest.fixture
def small_disk(disk_of: Callable[[str], Path]) -> Path:
    return disk_of("512k")
