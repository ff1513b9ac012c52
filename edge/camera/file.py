"""Frames from files: images, folders, patterns, videos."""

from __future__ import annotations

import glob
import os
import re
import stat
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from edge.camera.base import CameraSettings, EndOfFrames, stamp
from edge.camera.chatter import only_errors
from edge.camera.container import counts_frames, is_cut
from edge.camera.decode import IMAGE_SUFFIXES, check_size, count_pages, display_name, page_name, read_image
from edge.errors import ImageError, NoImages
from edge.frame import Frame, Pixels

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})
"""What is opened as a video, lower case."""

# FFmpeg otherwise paints over what a torn frame lacks, and writes its woes to standard error. It reads the level once,
# when the process opens its first video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "fflags;discardcorrupt")


def open_camera(argument: str, settings: CameraSettings) -> FileCamera:
    """Open ``file:PATH-OR-GLOB``."""
    return FileCamera(find_files(argument), settings, name=f"file:{argument}")


def find_files(pattern: str | Path) -> list[Path]:
    """Find the images and videos that a path or pattern names.

    Parameters
    ----------
    pattern : str or Path
        A file, taken as it is, be it a link that leads nowhere; a folder, searched with all folders below it for known
        suffixes, hidden files left out; or a pattern with ``*``, ``?``, ``[]`` or ``**``. ``~`` is the home folder.
        Pipes, sockets and devices, whose reading may never end, are passed over.

    Returns
    -------
    list of Path
        Each once, in natural order, ``field2`` before ``field10``. A folder below that cannot be read stands among
        them, so that reading it tells.

    Raises
    ------
    NoImages
        When there is none, or the path is empty or names a pipe, a socket or a device.
    """
    # Not the folder that happens to be the current one: a script's variable was not set.
    if not os.fspath(pattern):
        raise NoImages("the path", "it is empty", "Name files or folders")
    # Not expanduser, which raises where there is no such user.
    path = Path(os.path.expanduser(pattern))  # noqa: PTH111
    # What exists goes before what matches: "slide [1].png" is a fine name.
    try:
        path.lstat()
        named = [path]
    except OSError as error:
        named = [Path(match) for match in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        if not named:
            why = "no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
            raise NoImages(display_name(path), why, "Check the path; quote patterns") from error
    found = []
    for entry in named:
        mode = _mode(entry)
        if stat.S_ISDIR(mode):
            found += _below(entry)
        elif not _is_special(mode):
            found.append(entry)
        elif entry == path:
            raise NoImages(display_name(path), "a pipe, socket or device, not a file", "Name files or folders")
    if not found:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
        raise NoImages(display_name(path), "no image or video in it", f"Looked for {suffixes}")
    # What ``**`` matches lies in folders that it matches too.
    return sorted(dict.fromkeys(found), key=_natural)


class FileCamera:
    """Plays files as if they were frames of a camera; an unreadable one costs one ``ImageError`` and a number.

    Parameters
    ----------
    files : sequence of Path
        Images and videos, in the order in which they are played; one that is not there any more is unreadable.
    settings : CameraSettings
        ``um_per_px`` is required; files keep their own size.
    name : str
        What the source is called.

    Raises
    ------
    ScaleError
        When no pixel size is given.
    """

    finite = True

    def __init__(self, files: Sequence[Path], settings: CameraSettings, name: str) -> None:
        self.name = display_name(name)
        self._um_per_px = settings.required_um_per_px(self.name)
        self._left = deque((file, 0) for file in files)
        self._video: Iterator[tuple[str, Pixels]] | None = None
        self._sequence = settings.first_sequence

    def read(self) -> Frame:
        """Read the next image, the next page of one, or the next frame of a video.

        Raises
        ------
        EndOfFrames
            After the last one.
        ImageError
            When this one is unreadable.
        """
        asked_s = time.monotonic()
        name, pixels = self._next()
        self._sequence += 1
        return stamp(pixels, name, self._sequence - 1, self._um_per_px, asked_s=asked_s)

    def close(self) -> None:
        """Forget the files that are left."""
        self._left.clear()
        self._video = None

    def _next(self) -> tuple[str, Pixels]:
        try:
            while True:
                if self._video is not None:
                    for named_pixels in self._video:
                        return named_pixels
                    self._video = None
                if not self._left:
                    raise EndOfFrames(self.name)
                file, page = self._left.popleft()
                if file.suffix.lower() not in VIDEO_SUFFIXES:
                    if page == 0:
                        self._left.extendleft((file, further) for further in range(count_pages(file) - 1, 0, -1))
                    return page_name(file, page), read_image(file, page)
                self._video = read_video(file)
        except ImageError:
            self._sequence += 1
            raise


def read_video(path: Path) -> Iterator[tuple[str, Pixels]]:
    """Yield a video's frames, each with its name, ``path#number``.

    Yields
    ------
    tuple
        Name, and pixels of shape (height, width, 3), uint8, BGR; the rotation that a telephone noted is ignored.

    Raises
    ------
    ImageError
        When it cannot be opened; or after its last whole frame, when its file is cut off, or has fewer than it counts.
        Damage within the stream that the codec conceals goes unnoticed, as in the frame in which a WMV is cut off.
    """
    name = display_name(path)
    only_errors()
    try:
        with path.open("rb") as file:
            yield from _play(file, path, name)
    except OSError as error:
        raise ImageError(name, error.strerror or str(error)) from error


def _play(file: BinaryIO, path: Path, name: str) -> Iterator[tuple[str, Pixels]]:
    video = cv2.VideoCapture(os.fsdecode(path), cv2.CAP_FFMPEG)
    try:
        if not video.isOpened():
            raise ImageError(name, "cannot be opened as a video", "It may be truncated, or not a video")
        video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        try:
            check_size(int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        except ValueError as error:
            raise ImageError(name, str(error)) from error
        announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        number = 0
        while True:
            delivered, pixels = video.read()
            if not delivered:
                break
            yield f"{name}#{number:06d}", np.asarray(pixels, np.uint8)
            number += 1
        if counts_frames(file) and number < announced:
            raise ImageError(name, f"the video is truncated, {number} of {announced} frames are whole")
        if is_cut(file):
            raise ImageError(name, f"the video is truncated, {number} frames are whole")
    finally:
        video.release()


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []

    def keep(error: OSError) -> None:
        found.append(Path(error.filename))

    for parent, folders, names in os.walk(folder, onerror=keep):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = (Path(parent, name) for name in names if not name.startswith("."))
        suitable = (file for file in files if file.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES)
        found += [file for file in suitable if not _is_special(_mode(file))]
    return found


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:  # reading it tells why
        return stat.S_IFREG


def _is_special(mode: int) -> bool:
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _natural(path: Path) -> list[tuple[int, str]]:
    # Digits compare as numbers and before letters, so a mixed list never compares unlike things.
    return [
        (int(part), "") if part.isdecimal() and part.isascii() else (-1, part.casefold())
        for part in re.split(r"([0-9]+)", str(path))
    ]
