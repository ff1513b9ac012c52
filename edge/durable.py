"""Files that are there whole and on the disk, or not at all: what a power cut at any moment leaves behind."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def write(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file in the place of the one before, if any; on return it survives a power cut.

    Parameters
    ----------
    path : Path
        The file; its folder must be there.
    content : bytes
        All of it.
    mode : int, optional
        Its permissions; by default those of the file before, or what the process makes files with.

    Raises
    ------
    OSError
        When it cannot be written; the file is then as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            if mode is None and path.exists():
                mode = stat.S_IMODE(path.stat().st_mode)
            if mode is not None:
                os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those missing above it; what root makes belongs to whom the folder around it belongs.

    The service's account must be able to write where a command called with sudo came first.

    Parameters
    ----------
    folder : Path
        The folder; nothing is changed where it is there already.

    Raises
    ------
    OSError
        When it cannot be made.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        around = folder.parent.stat()
        # Not through a link, which whoever owns the folder around might put there in this very moment.
        os.chown(folder, around.st_uid, around.st_gid, follow_symlinks=False)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder's files to the disk: without it a power cut may undo a rename.

    Raises
    ------
    OSError
        When it cannot be.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
