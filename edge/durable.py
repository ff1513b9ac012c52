"""Files that are there whole and on the disk, or not at all: what a power cut at any moment leaves behind.

Commands called with sudo write into folders of the service's account, which could put a link there at any moment: that
must not lead root anywhere else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import get_native_id
from typing import BinaryIO

_LOCK_EVERY_S = 0.05


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
    # Of a thread, not of a process: two threads of the service may write the same file.
    part = path.with_name(f".{path.name}.{get_native_id()}.part")
    try:
        with begin(part) as stream:
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


def begin(part: Path) -> BinaryIO:
    """Open a file to be written from its beginning; one left of that name is removed, and no link is followed.

    Parameters
    ----------
    part : Path
        The file; its folder must be there.

    Raises
    ------
    OSError
        When it cannot be written, or somebody else made it in the same moment.
    """
    part.unlink(missing_ok=True)
    return part.open("xb")


def make_file(path: Path) -> None:
    """Make an empty file, unless there is one; what root makes belongs to whom the folder around it belongs.

    Parameters
    ----------
    path : Path
        The file; its folder must be there.

    Raises
    ------
    OSError
        When it cannot be made, or root finds somebody else's link there.
    """
    try:
        with path.open("xb") as made:
            if os.geteuid() == 0:
                around = path.parent.stat()
                os.fchown(made.fileno(), around.st_uid, around.st_gid)
    except FileExistsError:
        if os.geteuid() == 0 and path.is_symlink() and path.lstat().st_uid != 0:
            raise PermissionError(errno.EPERM, "this is a link that is not root's") from None


def remove(folder: Path, path: Path) -> int:
    """Remove a file below a folder, for root through no link.

    Parameters
    ----------
    folder : Path
        The folder.
    path : Path
        The file, relative to it.

    Returns
    -------
    int
        How many bytes it took.

    Raises
    ------
    OSError
        When it is not there or cannot be removed.
    """
    through_no_link = os.O_NOFOLLOW if os.geteuid() == 0 else 0
    with ExitStack() as opened:
        around = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        opened.callback(os.close, around)
        for name in path.parts[:-1]:
            around = os.open(name, os.O_RDONLY | os.O_DIRECTORY | through_no_link, dir_fd=around)
            opened.callback(os.close, around)
        size_bytes = os.stat(path.name, dir_fd=around, follow_symlinks=False).st_size
        os.unlink(path.name, dir_fd=around)
    return size_bytes


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


@contextmanager
def locked(folder: Path, timeout_s: float) -> Iterator[None]:
    """Keep all others who ask for it too from changing what is in a folder, for the length of the block.

    Parameters
    ----------
    folder : Path
        The folder: its files are not changed but replaced, and so cannot hold the lock.
    timeout_s : float
        How long to wait for another to end.

    Raises
    ------
    TimeoutError
        When another changes it for so long.
    OSError
        When there is no such folder, or it may not be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        until_s = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until_s:
                    raise TimeoutError(f"{folder} is being changed by another") from error
                time.sleep(_LOCK_EVERY_S)
        yield
    finally:
        os.close(descriptor)


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
