"""A bell that wakes one thread; whoever has something for it rings, a signal handler too.

Not a ``SimpleQueue``: its ``get`` with a time limit waits for ever on Python 3.10 and 3.11 when the limit is over
before it has begun to wait. Nor an ``Event``, whose lock the thread may hold that a signal handler interrupts.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Lock


class Bell:
    """Rung or not: rung twice before anybody waits, it wakes once."""

    def __init__(self) -> None:
        self._silence = Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Wake the one who waits, or who waits next; never waits itself."""
        with suppress(RuntimeError):  # it is rung already
            self._silence.release()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is rung.

        Parameters
        ----------
        timeout_s : float, optional
            How long at most, seconds, not negative; 0 only looks.

        Returns
        -------
        bool
            Whether it was rung; it is silent again.
        """
        return self._silence.acquire(timeout=-1 if timeout_s is None else timeout_s)
