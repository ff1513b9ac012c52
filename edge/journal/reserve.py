"""Space put by beside the journal, so that a full disk can still be told in it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SIZE_BYTES = 8 << 20
"""Some hundred events: each is several pages of a log that a full disk does not let be folded in."""


class Reserve:
    """A file that takes space until it is needed.

    Parameters
    ----------
    journal : Path
        The journal's file, beside which it is.
    size_bytes : int
        How much is put by.
    """

    def __init__(self, journal: Path, size_bytes: int = SIZE_BYTES) -> None:
        self.path = journal.with_name(f"{journal.name}.reserve")
        self._size_bytes = size_bytes

    def hold(self) -> bool:
        """Put the space by; False when there is not enough."""
        try:
            if self.path.exists() and self.path.stat().st_size == self._size_bytes:
                return True
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o640)
            try:
                os.posix_fallocate(descriptor, 0, self._size_bytes)
            finally:
                os.close(descriptor)
        except OSError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Give the space back."""
        with suppress(OSError):
            self.path.unlink()
