"""A folder into which other programs drop images: each is taken once it is whole, and put aside when it is done.

One that cannot be put aside is left lying and not judged again; nor is one that was logged just before a power cut.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from stat import S_ISREG, S_ISVTX
from tempfile import mkstemp
from typing import Any

from edge.camera import Camera, CameraSettings, EndOfFrames
from edge.camera.decode import IMAGE_SUFFIXES, count_pages, display_name
from edge.camera.file import FileCamera
from edge.camera.guard import BackOff, GuardedCamera, Teller
from edge.daemon.triggers import Surroundings
from edge.errors import CameraError, ImageError, OutputError, WbcError
from edge.frame import Frame
from edge.journal import Journal
from edge.line import Shot
from edge.settings import Config

_SETTLING_S = 1.0
_EVERY_S = 1.0
_ASIDE = ("done", "failed")
_LONGEST_NAME = 255
"""Bytes, on every file system of Linux."""

_RECENT = 10_000
"""Among so many frames one is looked for that was logged and not put aside."""

_REMEDIES = {
    errno.EROFS: "Use /var/lib/wbc-edge/drop, or name it in ReadWritePaths= of the unit: sudo systemctl edit wbc-edge",
    errno.EXDEV: "Let its folders done and failed be on the same disk",
}


def make(surroundings: Surroundings) -> FolderTrigger | None:
    """Make the folder's trigger, if the configuration has a folder."""
    settings = surroundings.settings
    if not settings.watch_folder:
        return None
    folder = WatchedFolder(Path(settings.watch_folder))
    for path in folder.known(_logged_s(surroundings.journal)):
        surroundings.note("image", f"{path} is logged already, and not judged again")
        DroppedImage(folder, path, surroundings.note).done({})
    return FolderTrigger(folder, settings, surroundings.note)


def _logged_s(journal: Journal) -> dict[str, float]:
    """Say when each of the most recent frames was captured, by its name, as far as the clock can be believed."""
    with journal.maintenance() as connection:
        rows = connection.execute(
            "SELECT frame, wall_time_s FROM frames WHERE record > (SELECT max(record) FROM frames) - ? ORDER BY record",
            (_RECENT,),
        ).fetchall()
    # Of a name the last one logged. What lies ahead is of a clock that was set back since, as a Raspberry Pi's is by a
    # power cut: then an image could be new whatever its time, and judged twice is better than not at all.
    last_s = dict(rows)
    return {frame: at_s for frame, at_s in last_s.items() if at_s is not None and at_s <= time.time()}


class FolderTrigger:
    """Asks for the images of a folder, at which it looks once a second.

    Parameters
    ----------
    folder : WatchedFolder
        The folder.
    settings : Config
        Says the images' pixel size, and how long reading one may take.
    note : callable
        Logs what happened to an image: in a word or two, and a sentence on it.
    """

    def __init__(self, folder: WatchedFolder, settings: Config, note: Callable[[str, str], None]) -> None:
        self.due_s = time.monotonic()
        self._folder, self._note = folder, note
        self._settings = CameraSettings(um_per_px=settings.um_per_px, timeout_s=settings.timeout)
        self._found: deque[Path] = deque()

    def shot(self) -> Shot | None:
        """Give the oldest of the images that were whole at the last look; when none is left, look again."""
        if not self._found:
            self._found.extend(self._folder.whole())
        path = self._found.popleft() if self._found else None
        if not self._found:
            self.due_s = time.monotonic() + _EVERY_S
        if path is None:
            return None
        return Shot(partial(self._read, path), errand=DroppedImage(self._folder, path, self._note))

    def close(self) -> None:
        """There is nothing to release."""

    def _read(self, path: Path, told: Teller) -> Frame:
        pages = 1

        def opened(name: str, settings: CameraSettings) -> Camera:
            nonlocal pages
            pages = count_pages(path)
            return FileCamera([path], settings, name)

        try:
            # A folder may be on a network that hangs.
            with closing(GuardedCamera(f"file:{path}", self._settings, BackOff(attempts=0), opened)) as file:
                frame = file.read(told)
            if pages > 1:
                told("image", f"{path} has {pages} pages, of which the first is judged")
            return frame
        except (EndOfFrames, CameraError) as error:
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
    note : callable
        Logs that it could not be put aside.
    """

    folder: WatchedFolder
    path: Path
    note: Callable[[str, str], None]

    @property
    def sample(self) -> str | None:
        """The sample that is open."""
        return None

    def done(self, reply: dict[str, Any]) -> None:  # noqa: ARG002 - nobody reads it
        """Put it aside."""
        self._put_aside("done")

    def failed(self, error: WbcError) -> None:
        """Put it aside, unless it was not its fault: then it is taken again."""
        if isinstance(error, ImageError):
            self._put_aside("failed")

    def _put_aside(self, folder: str) -> None:
        try:
            self.folder.put_aside(self.path, folder)
        except OutputError as error:
            # It is logged: the others need not wait until somebody takes it away.
            self.note("image", str(error))


class WatchedFolder:
    """Looked at from time to time rather than watched by the kernel, which says nothing of network folders.

    Parameters
    ----------
    path : Path
        The folder; made if missing. ``done`` and ``failed`` below it take the images that were dealt with.

    Raises
    ------
    OutputError
        When it cannot be made or written, or nothing can be moved from it to the two below.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: dict[Path, tuple[int, float]] = {}
        self._given: dict[Path, tuple[int, float]] = {}
        try:
            for folder in (path, *(path / aside for aside in _ASIDE)):
                folder.mkdir(parents=True, exist_ok=True)
            self._prove()
        except OSError as error:
            raise OutputError(f"folder {path}", error.strerror or str(error), _remedy(error)) from error

    def known(self, logged_s: Mapping[str, float]) -> list[Path]:
        """List the images that have not changed since they were logged; they are not given any more.

        Parameters
        ----------
        logged_s : mapping of str to float
            By the name of a frame when it was captured last, seconds since the Unix epoch.
        """
        images = [
            (path, status)
            for path, status in self._images()
            # The inode's time, which no program sets: an image of the same name may bring an old one of its own.
            if status.st_ctime <= logged_s.get(display_name(path), -1.0)
        ]
        self._given.update((path, _state(status)) for path, status in images)
        return [path for path, _ in images]

    def whole(self) -> list[Path]:
        """List the images that have not changed since the last look and for a second, the oldest first, each once.

        Raises
        ------
        OutputError
            When the folder is not there any more.
        """
        seen, found = {}, []
        now_s = time.time()
        for path, status in self._images():
            seen[path] = _state(status)
            # A clock that was set back must not leave an image lying there for ever.
            is_settled = abs(now_s - status.st_mtime) > _SETTLING_S
            is_new = seen[path] == self._seen.get(path) != self._given.get(path)
            # Another thread may have put it aside since it was listed, and forgotten that it was given.
            if is_new and is_settled and _is_still(path, seen[path]):
                found.append((status.st_mtime, path))
        self._seen = seen
        for path in list(self._given):
            if path not in seen:
                self._given.pop(path, None)
        images = [path for _, path in sorted(found)]
        self._given.update((path, seen[path]) for path in images)
        return images

    def put_aside(self, path: Path, folder: str) -> None:
        """Move an image to ``done`` or ``failed``; one of the same name there keeps its own.

        One that changed since it was given, as when a microscope's program saves each field under one name, stays: it
        is another image, and given in its turn.

        Raises
        ------
        OutputError
            When it cannot be moved; until it changes it is not given again.
        """
        target = self.path / folder / path.name
        try:
            if _state(path.stat()) != self._given.get(path):
                return
            target.parent.mkdir(exist_ok=True)
            path.rename(_free(target))
        except FileNotFoundError:
            pass  # whoever dropped it took it back
        except OSError as error:
            why = f"cannot be put aside: {error.strerror}"
            raise OutputError(f"image {path}", why, _remedy(error)) from error
        self._given.pop(path, None)

    def _prove(self) -> None:
        """Move a file as images will be: what keeps them from it must show before any is judged."""
        status = self.path.stat()
        if status.st_mode & S_ISVTX and os.geteuid() not in (0, status.st_uid):
            raise PermissionError(errno.EPERM, "only its owner may move what others drop there (sticky bit)")
        descriptor, name = mkstemp(prefix=".wbc-edge-", dir=self.path)
        os.close(descriptor)
        place = Path(name)
        try:
            for folder in _ASIDE:
                place = place.rename(self.path / folder / place.name)
        finally:
            place.unlink()

    def _images(self) -> Iterator[tuple[Path, os.stat_result]]:
        try:
            with os.scandir(self.path) as entries:
                listed = list(entries)
        except OSError as error:
            raise OutputError(f"folder {self.path}", error.strerror or str(error), "Is it still there?") from error
        for entry in listed:
            path = Path(entry.path)
            if path.suffix.lower() not in IMAGE_SUFFIXES or entry.name.startswith("."):
                continue
            try:
                status = entry.stat()
            except OSError:  # gone since
                continue
            if S_ISREG(status.st_mode):
                yield path, status


def _state(status: os.stat_result) -> tuple[int, float]:
    return status.st_size, status.st_mtime


def _is_still(path: Path, state: tuple[int, float]) -> bool:
    try:
        return _state(path.stat()) == state
    except OSError:  # gone since
        return False


def _free(target: Path) -> Path:
    """Give this name, or one like it that no file has."""
    stem = os.fsencode(target.stem)
    for number in count(2):
        if not os.path.lexists(target):
            break
        ending = f"-{number}{target.suffix}"
        kept = stem[: _LONGEST_NAME - len(ending)].decode("utf-8", "ignore")
        target = target.with_name(f"{kept}{ending}")
    return target


def _remedy(error: OSError) -> str:
    return _REMEDIES.get(error.errno or 0, "Give the service the right to write it")
