"""A folder into which other programs drop images: each is taken once it is whole, and put aside when it is done."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import Any

from edge.camera import Camera, CameraSettings, EndOfFrames
from edge.camera.decode import IMAGE_SUFFIXES
from edge.camera.file import FileCamera
from edge.camera.guard import BackOff, GuardedCamera, Teller
from edge.daemon.triggers import Surroundings
from edge.errors import CameraError, ImageError, NoImages, OutputError, WbcError
from edge.frame import Frame
from edge.line import Shot
from edge.settings import Config

_SETTLING_S = 1.0
_EVERY_S = 1.0


def make(surroundings: Surroundings) -> FolderTrigger | None:
    """Make the folder's trigger, if the configuration has a folder."""
    settings = surroundings.settings
    return FolderTrigger(WatchedFolder(Path(settings.watch_folder)), settings) if settings.watch_folder else None


class FolderTrigger:
    """Asks for the images of a folder once a second.

    Parameters
    ----------
    folder : WatchedFolder
        The folder.
    settings : Config
        Says the images' pixel size, and how long reading one may take.
    """

    def __init__(self, folder: WatchedFolder, settings: Config) -> None:
        self.due_s = time.monotonic()
        self._folder = folder
        self._settings = CameraSettings(um_per_px=settings.um_per_px, timeout_s=settings.timeout)

    def shots(self) -> Iterator[Shot]:
        """Give the images that are whole, the oldest first."""
        for path in self._folder.whole():
            yield Shot(partial(self._read, path), errand=DroppedImage(self._folder, path))
        self.due_s = time.monotonic() + _EVERY_S

    def close(self) -> None:
        """There is nothing to release."""

    def _read(self, path: Path, told: Teller) -> Frame:
        def opened(_: str, settings: CameraSettings) -> Camera:
            return FileCamera([str(path)], settings)

        try:
            # A folder may be on a network that hangs.
            with closing(GuardedCamera(f"file:{path}", self._settings, BackOff(attempts=0), opened)) as file:
                return file.read(told)
        except (EndOfFrames, NoImages, CameraError) as error:
            raise ImageError(path.name, getattr(error, "why", "") or "holds no frame") from error


@dataclass(frozen=True, slots=True, eq=False)
class DroppedImage:
    """What is done with an image when it was judged.

    Attributes
    ----------
    folder : WatchedFolder
        Where it lies.
    path : Path
        The image.
    """

    folder: WatchedFolder
    path: Path

    @property
    def sample(self) -> str | None:
        """The sample that is open."""
        return None

    def done(self, reply: dict[str, Any]) -> None:  # noqa: ARG002 - nobody reads it
        """Put it aside."""
        self.folder.put_aside(self.path, "done")

    def failed(self, error: WbcError) -> None:
        """Put it aside, unless it was not its fault: then it is taken again."""
        if isinstance(error, ImageError):
            self.folder.put_aside(self.path, "failed")


class WatchedFolder:
    """Looked at from time to time rather than watched by the kernel, which says nothing of network folders.

    Parameters
    ----------
    path : Path
        The folder; made if missing. ``done`` and ``failed`` below it take the images that were dealt with.

    Raises
    ------
    OutputError
        When it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: dict[Path, tuple[int, float]] = {}
        self._given: set[Path] = set()
        try:
            for folder in (path, path / "done", path / "failed"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror or str(error)
            raise OutputError(f"folder {path}", why, "Give the service the right to write it") from error

    def whole(self) -> list[Path]:
        """List the images that have not changed since the last look and for a second, the oldest first, each once.

        Raises
        ------
        OutputError
            When the folder is not there any more.
        """
        seen, found = {}, []
        now_s = time.time()
        for entry in self._entries():
            path = Path(entry.path)
            if path.suffix.lower() not in IMAGE_SUFFIXES or entry.name.startswith("."):
                continue
            try:
                stat = entry.stat()
            except OSError:  # gone since
                continue
            if not S_ISREG(stat.st_mode):
                continue
            seen[path] = (stat.st_size, stat.st_mtime)
            # A clock that was set back must not leave an image lying there for ever.
            is_settled = abs(now_s - stat.st_mtime) > _SETTLING_S
            if path not in self._given and self._seen.get(path) == seen[path] and is_settled:
                found.append((stat.st_mtime, path))
        self._seen = seen
        images = [path for _, path in sorted(found)]
        self._given.update(images)
        return images

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.path) as entries:
                return list(entries)
        except OSError as error:
            raise OutputError(f"folder {self.path}", error.strerror or str(error), "Is it still there?") from error

    def put_aside(self, path: Path, folder: str) -> None:
        """Move an image to ``done`` or ``failed``; one of the same name there keeps its own.

        Raises
        ------
        OutputError
            When it cannot be moved: it would be taken again and again.
        """
        target = self.path / folder / path.name
        number = 1
        while target.exists():
            number += 1
            target = target.with_name(f"{path.stem}-{number}{path.suffix}")
        try:
            path.rename(target)
        except FileNotFoundError:
            pass  # whoever dropped it took it back
        except OSError as error:
            why = f"cannot be put aside: {error.strerror}"
            raise OutputError(f"image {path}", why, "Give the service the right to") from error
        self._given.discard(path)
