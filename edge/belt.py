"""A queue of few places between two threads; it can be closed, and what is newer may push out what waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Belt(Generic[T]):
    """What one thread puts on it, another takes off, in order.

    Parameters
    ----------
    places : int
        How many pieces may lie on it; whoever brings one more waits.
    yields : callable, optional
        Says whether the piece that waits makes way for a newer one, given both; none does unless this is given.

    Attributes
    ----------
    dropped : int
        How many pieces were pushed out.
    """

    def __init__(self, places: int = 1, yields: Callable[[T, T], bool] = lambda waiting, newer: False) -> None:  # noqa: ARG005
        self.dropped = 0
        self._places, self._yields = places, yields
        self._pieces: deque[T] = deque()
        self._changed = Condition()
        self._closed = False

    def put(self, piece: T) -> bool:
        """Put a piece on it, as soon as there is room.

        Returns
        -------
        bool
            False when the belt is closed: the piece is not on it.
        """
        with self._changed:
            while not self._closed and len(self._pieces) >= self._places:
                if self._yields(self._pieces[-1], piece):
                    self._pieces.pop()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if not self._closed:
                self._pieces.append(piece)
                self._changed.notify_all()
            return not self._closed

    def get(self) -> T | None:
        """Take a piece off it, as soon as there is one; None once it is closed and empty."""
        with self._changed:
            while not self._pieces and not self._closed:
                self._changed.wait()
            return self._off()

    def get_at_once(self) -> T | None:
        """Take a piece off it; None when there is none now."""
        with self._changed:
            return self._off()

    def wait_until_empty(self) -> None:
        """Wait until nothing lies on it, or it is closed."""
        with self._changed:
            while self._pieces and not self._closed:
                self._changed.wait()

    def close(self) -> None:
        """Take no more; what lies on it can still be taken off."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def is_empty(self) -> bool:
        """Whether nothing lies on it now."""
        return not self._pieces

    @property
    def is_done(self) -> bool:
        """Whether it is closed and empty."""
        with self._changed:
            return self._closed and not self._pieces

    def _off(self) -> T | None:
        if not self._pieces:
            return None
        self._changed.notify_all()
        return self._pieces.popleft()
