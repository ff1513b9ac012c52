"""Whether the wall clock jumps: a device without a battery for it starts in the past, and anybody may set it."""

from __future__ import annotations

import time
from collections.abc import Callable

_TOLERANCE_S = 2.0
"""Time servers slew a clock by less between two looks."""

_LARGE_S = 86_400.0
_TRUSTED_AFTER_S = 86_400.0


def _since_boot_s() -> float:
    # Unlike the monotonic clock it goes on while the device sleeps, which is no jump of the wall clock.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClockWatch:
    """Compares the wall clock with the one that nobody can set.

    Parameters
    ----------
    last_logged_s : float or None
        Wall time of what was logged last before the start; None: nothing.
    wall, since_boot : callable
        The clocks, seconds.
    """

    def __init__(
        self,
        last_logged_s: float | None = None,
        wall: Callable[[], float] = time.time,
        since_boot: Callable[[], float] = _since_boot_s,
    ) -> None:
        self._wall, self._since_boot = wall, since_boot
        self._offset_s = wall() - since_boot()
        self._trusted_s = -float("inf")
        if last_logged_s is not None and abs(wall() - last_logged_s) > 30 * _LARGE_S:
            self._doubt()

    def jump_s(self) -> float:
        """Say by how many seconds the wall clock jumped since the last look, negative for back; 0 when it did not."""
        offset_s = self._wall() - self._since_boot()
        jump_s, self._offset_s = offset_s - self._offset_s, offset_s
        if abs(jump_s) <= _TOLERANCE_S:
            return 0.0
        if abs(jump_s) > _LARGE_S:
            self._doubt()
        return jump_s

    @property
    def is_trusted(self) -> bool:
        """Whether age may be told by the clock: not for a day after a jump by more than a day.

        Nor after a start at which it was a month from what was logged last. A clock set ten years ahead makes
        everything old; until somebody can have seen it, nothing is thrown away for its age.
        """
        return self._since_boot() >= self._trusted_s

    def _doubt(self) -> None:
        self._trusted_s = self._since_boot() + _TRUSTED_AFTER_S
