"""From which models the service's processes did not come back: a crash or a hang tells nothing else.

A model has a file, which is a byte longer while it is used. A process that ends in between, or is ended because it
hangs there, leaves its byte to the next one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class Uses:
    """Counts how often in a row a process did not come back from a model.

    Nothing is brought to the disk, and where nothing can be written nothing is counted: this costs no frame.

    Parameters
    ----------
    folder : Path
        Where the files are; made when it is first used. Best where a power cut, which is no model's fault, empties it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def unreturned(self, name: str) -> int:
        """Say how often in a row a process did not come back, without a frame judged in between.

        Parameters
        ----------
        name : str
            The model.
        """
        with suppress(OSError):
            return (self._folder / name).stat().st_size
        return 0

    def forget(self, name: str) -> None:
        """Count a model anew."""
        with suppress(OSError):
            (self._folder / name).unlink()

    @contextmanager
    def loading(self, name: str) -> Iterator[None]:
        """Load a model inside the block; that it loads takes nothing back of what it did to frames before."""
        before = self.unreturned(name)
        self._append(name)
        try:
            yield
        finally:
            self._cut(name, before)

    @contextmanager
    def judging(self, name: str) -> Iterator[None]:
        """Judge a frame by a model inside the block; coming back from it, whatever came of it, clears its count."""
        self._append(name)
        try:
            yield
        finally:
            self._cut(name, 0)

    def _append(self, name: str) -> None:
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / name).open("ab", buffering=0) as file:
                file.write(b".")

    def _cut(self, name: str, size: int) -> None:
        with suppress(OSError):
            os.truncate(self._folder / name, size)
