"""A folder into which other programs drop images: each is taken once it is whole, and put aside when it is done."""

from __future__ import annotations

import os
import time
from pathlib import Path

from edge.camera.decode import IMAGE_SUFFIXES
from edge.errors import OutputError

_SETTLING_S = 1.0


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
        try:
            for folder in (path, path / "done", path / "failed"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror or str(error)
            raise OutputError(f"folder {path}", why, "Give the service the right to write it") from error

    def whole(self) -> list[Path]:
        """List the images that have not changed since the last look and for a second, the oldest first."""
        seen, found = {}, []
        now_s = time.time()
        for entry in os.scandir(self.path):
            path = Path(entry.path)
            if path.suffix.lower() not in IMAGE_SUFFIXES or entry.name.startswith(".") or not entry.is_file():
                continue
            stat = entry.stat()
            seen[path] = (stat.st_size, stat.st_mtime)
            # A clock that was set back must not leave an image lying there for ever.
            is_settled = abs(now_s - stat.st_mtime) > _SETTLING_S
            if self._seen.get(path) == seen[path] and is_settled:
                found.append((stat.st_mtime, path))
        self._seen = seen
        return [path for _, path in sorted(found)]

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
        except OSError as error:
            why = f"cannot be put aside: {error.strerror}"
            raise OutputError(f"image {path}", why, "Give the service the right to") from error
        self._seen.pop(path, None)
