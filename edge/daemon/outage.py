"""A camera that is lost again and again: told at once, and then by number, since no event is ever pruned."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

_TELL_EVERY_S = 3600.0


class Outage:
    """Counts what happens to the camera, however often the service begins anew meanwhile.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: set[str] = set()
        self._untold: Counter[str] = Counter()
        self._tell_s = clock()

    def is_news(self, kind: str) -> bool:
        """Count what happened, and say whether it is to be told by itself: the first of its kind for an hour.

        Parameters
        ----------
        kind : str
            ``camera lost`` or ``camera reopened``.
        """
        if not self._untold and self._clock() >= self._tell_s:
            self._told.clear()
            self._tell_s = self._clock() + _TELL_EVERY_S
        if kind in self._told:
            self._untold[kind] += 1
            return False
        self._told.add(kind)
        return True

    def by_number(self, is_last: bool = False) -> str:
        """Say in a line how often each happened that was not told by itself; empty when that has time yet.

        Parameters
        ----------
        is_last : bool
            Whether it has no more time.
        """
        if not self._untold or not (is_last or self._clock() >= self._tell_s):
            return ""
        line = ", ".join(f"{kind}: {times} more" for kind, times in sorted(self._untold.items()))
        self._untold.clear()
        self._tell_s = self._clock() + _TELL_EVERY_S
        return line
