"""Disks of their own: small, failing, and such as can be had at any instant, which is what a power cut leaves."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEBIANS_PYTHON = "/usr/bin/python3"


@contextmanager
def ext4(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount an ext4 disk."""
    image, place = folder / "disk.img", folder / "disk"
    _make_ext4(image, megabytes)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def memory(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a disk in memory."""
    place = folder / "memory"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}M", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@dataclass(frozen=True, slots=True)
class FailingDisk:
    """A disk of which some writes and syncs fail.

    Attributes
    ----------
    place : Path
        Where it is mounted.
    chance, log : Path
        What it is told, and what it tells: see :mod:`beds.failing_disk`.
    """

    place: Path
    chance: Path
    log: Path

    def fail(self, chance: float) -> None:
        """Have each write and each sync fail by this chance from now on."""
        part = self.chance.with_suffix(".part")
        part.write_text(str(chance))
        part.replace(self.chance)

    def failed(self, call: str) -> int:
        """Say how many calls it has failed: ``write`` or ``sync``."""
        return sum(line.startswith(call) for line in self.log.read_text().splitlines())


@contextmanager
def failing(folder: Path) -> Iterator[FailingDisk]:
    """Mount a disk that can be told to fail, and does not yet."""
    below, disk = folder / "below", FailingDisk(folder / "failing", folder / "chance", folder / "failed")
    for each in (below, disk.place):
        each.mkdir()
    disk.fail(0)
    program = Path(__file__).with_name("failing_disk.py")
    process = subprocess.Popen([DEBIANS_PYTHON, program, below, disk.place, disk.chance, disk.log])
    try:
        while not disk.place.is_mount():
            assert process.poll() is None, "the disk does not come up"
            time.sleep(0.05)
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk.place], check=False)
        process.terminate()
        process.wait(60)


class CuttableDisk:
    """An ext4 disk whose blocks lie, past the page cache, in a file that XFS clones in one step.

    What the kernel has not yet sent to the disk is not in the clone: it is what a power cut at that instant leaves of a
    disk without a cache of its own.

    Parameters
    ----------
    folder : Path
        Empty; where all of it is kept.
    megabytes : int
        Size of the disk.
    """

    def __init__(self, folder: Path, megabytes: int = 400) -> None:
        self.place = folder / "disk"
        self._below = folder / "below"
        self._image, self._clone = self._below / "disk.img", self._below / "clone.img"
        self._device = ""
        for each in (self.place, self._below):
            each.mkdir()
        carrier = folder / "below.img"
        with carrier.open("wb") as file:
            file.truncate((3 * megabytes + 400) << 20)
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", carrier], check=True)
        subprocess.run(["mount", "-o", "loop", carrier, self._below], check=True)
        _make_ext4(self._image, megabytes)
        self._mount()

    def take_clone(self) -> None:
        """Keep what is on the disk at this instant."""
        subprocess.run(["cp", "--reflink=always", self._image, self._clone], check=True)

    def cut(self) -> None:
        """Go on from the clone, as after a power cut at the instant when it was taken; nobody may use the disk."""
        self._unmount()
        self._clone.replace(self._image)
        self._mount()

    def close(self) -> None:
        """Throw it away."""
        self._unmount()
        subprocess.run(["umount", "--lazy", self._below], check=True)

    def _mount(self) -> None:
        attach = ["losetup", "--direct-io=on", "--find", "--show", str(self._image)]
        self._device = subprocess.run(attach, check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(["mount", self._device, self.place], check=True)

    def _unmount(self) -> None:
        subprocess.run(["umount", self.place], check=True)
        subprocess.run(["losetup", "--detach", self._device], check=True)


def _make_ext4(image: Path, megabytes: int) -> None:
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", image], check=True)
