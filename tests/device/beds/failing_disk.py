"""A file system over a folder that fails now and then, by FUSE: `failing_disk.py FOLDER PLACE CHANCE LOG`.

A write or sync fails with EIO, and changes nothing, by the chance that the file CHANCE then says, 0 to 1; LOG gets a
line for each. Run by Debian's own Python, whose ``python3-fusepy`` it takes.

What processes share by mapping a file, as SQLite its ``-shm``, stays in memory when a disk fails to take it, and all
see it. FUSE would throw the memory of a file away whenever a process opens it: with what it then failed to write the
index of SQLite's log fell back to an earlier transaction, and the next ones were written over later ones. Hence
``kernel_cache``.
"""

from __future__ import annotations

import errno
import os
import random
import sys
from pathlib import Path
from typing import Any

from fusepy import FUSE, FuseOSError, Operations

ENTRY = ("st_atime", "st_ctime", "st_gid", "st_ino", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid")
DISK = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_flag", "f_frsize")


class FailingDisk(Operations):
    """Hands every call to the folder, and refuses some."""

    def __init__(self, folder: Path, chance: Path, log: Path) -> None:
        self._folder, self._chance = folder, chance
        self._log = log.open("a", buffering=1)
        self._random = random.Random(7)

    def _below(self, path: str) -> Path:
        return self._folder / path.removeprefix("/")

    def _may_fail(self, call: str, path: str) -> None:
        if self._random.random() < float(self._chance.read_text()):
            self._log.write(f"{call} {path}\n")
            raise FuseOSError(errno.EIO)

    def write(self, path: str, content: bytes, offset: int, file: int) -> int:
        self._may_fail("write", path)
        return os.pwrite(file, content, offset)

    def fsync(self, path: str, _: int, file: int) -> None:
        self._may_fail("sync", path)
        os.fsync(file)

    def fsyncdir(self, path: str, _: int, file: int) -> None:
        self._may_fail("sync", path)

    def create(self, path: str, mode: int, _: object = None) -> int:
        return os.open(self._below(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._below(path), flags)

    def read(self, path: str, size: int, offset: int, file: int) -> bytes:
        return os.pread(file, size, offset)

    def truncate(self, path: str, length: int, file: int | None = None) -> None:
        os.truncate(self._below(path) if file is None else file, length)

    def release(self, path: str, file: int) -> None:
        os.close(file)

    def getattr(self, path: str, file: int | None = None) -> dict[str, Any]:
        found = self._below(path).lstat() if file is None else os.fstat(file)
        return {name: getattr(found, name) for name in ENTRY}

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._below(path))
        return {name: getattr(found, name) for name in DISK}

    def chmod(self, path: str, mode: int) -> None:
        self._below(path).chmod(mode)

    def chown(self, path: str, user: int, group: int) -> None:
        os.chown(self._below(path), user, group)

    def utimens(self, path: str, times: tuple[float, float] | None = None) -> None:
        os.utime(self._below(path), times)

    def readdir(self, path: str, _: int) -> list[str]:
        return [".", "..", *(entry.name for entry in self._below(path).iterdir())]

    def mkdir(self, path: str, mode: int) -> None:
        self._below(path).mkdir(mode)

    def rename(self, path: str, new: str) -> None:
        self._below(path).rename(self._below(new))

    def unlink(self, path: str) -> None:
        self._below(path).unlink()

    def rmdir(self, path: str) -> None:
        self._below(path).rmdir()


if __name__ == "__main__":
    folder, place, chance, log = map(Path, sys.argv[1:])
    # One call at a time: its failures are drawn in a row. All of a picture in a few writes, as it is asked for.
    how = {"foreground": True, "nothreads": True, "big_writes": True, "kernel_cache": True}
    FUSE(FailingDisk(folder, chance, log), str(place), **how)
