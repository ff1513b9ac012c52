"""Ctrl-C, SIGTERM and a closed terminal: let through where nothing can be lost, remembered elsewhere."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_MEANT_ONCE_S = 0.5
"""Within it a signal is no second one: ``timeout`` signals the process and its group, and keys bounce."""


class Interrupted(BaseException):
    """Raised when a signal asks the process to end; no failure, and not for a library to turn into one.

    Parameters
    ----------
    number : int
        The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interruptions:
    """What signals do to this process: raise ``Interrupted`` at once, or, while held, at the next place that allows it.

    A second signal, half a second later or more, ends the process on the spot; what is logged is safe.

    Attributes
    ----------
    received : Interrupted or None
        The signal that came. What it broke may have raised something else: a library whose import it cut short says
        that it cannot be imported.
    """

    def __init__(self) -> None:
        self.received: Interrupted | None = None
        self._holding = False
        self._insists_s = 0.0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Listen to the signals inside the block; does nothing in a thread, where Python allows no handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # One that is ignored stays so, as `nohup` wants it.
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in [number for number, handler in before.items() if handler is not signal.SIG_IGN]:
            signal.signal(number, self._arrived)
        try:
            yield
        finally:
            for number, handler in before.items():
                # None: set by a library that is not Python's to put back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold signals inside the block; one that came is raised when it ends."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self.received is not None:
            raise self.received

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let signals through inside a block that is held, one that came before at its beginning."""
        # In this order, or a signal between the two lines would be neither seen nor raised.
        self._holding = False
        if self.received is not None:
            raise self.received
        try:
            yield
        finally:
            self._holding = True

    def _arrived(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            if time.monotonic() < self._insists_s:
                return
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        # In this order: the next one may come between the two lines.
        self._insists_s = time.monotonic() + _MEANT_ONCE_S
        self.received = Interrupted(number)
        if not self._holding:
            raise self.received
