"""What the service tells systemd: ready, alive, and in words how it is (``sd_notify(3)``)."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

_STATUS_EVERY_S = 1.0
_SEND_TIMEOUT_S = 1.0


class Notifier:
    """Sends datagrams to the socket that systemd named; does nothing where it named none.

    The protocol is one line of text a fact, and systemd's manual asks programs to speak it themselves rather than to
    depend on a library for it.

    Parameters
    ----------
    environment : mapping of str to str, optional
        The process's, unless another is given: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC``, ``WATCHDOG_PID``.

    Attributes
    ----------
    watchdog_s : float or None
        Within how many seconds systemd must hear that the service is alive; None: it does not watch.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        # An address that begins with @ is in the abstract namespace, which the kernel spells with a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period_us = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(period_us) / 1e6 if is_ours and period_us.isdecimal() else None
        self._is_ready = False
        self._status = ""
        self._alive_s = self._status_s = -math.inf

    def ready(self) -> None:
        """Say that the service answers."""
        self._is_ready = True
        self._send("READY=1")

    def alive(self) -> None:
        """Say that the service makes progress; to be called at least every third of ``watchdog_s``."""
        now_s = time.monotonic()
        if self.watchdog_s is not None and now_s >= self._alive_s + self.watchdog_s / 6:
            self._alive_s = now_s
            self._send("WATCHDOG=1")
            self.starts_within(self.watchdog_s)

    def starts_within(self, most_s: float) -> None:
        """Say that the service may take so long from now until it is ready; of one that is ready nothing is said."""
        if not self._is_ready:
            # Until then systemd watches nothing, and waits no longer than TimeoutStartSec= unless it is asked to.
            self._send(f"EXTEND_TIMEOUT_USEC={most_s * 1e6:.0f}")

    def status(self, words: str) -> None:
        """Say how the service is, in words that ``systemctl status`` shows; once a second, however often it changes."""
        line, now_s = " ".join(words.split()), time.monotonic()
        if line != self._status and now_s >= self._status_s + _STATUS_EVERY_S:
            self._status, self._status_s = line, now_s
            self._send(f"STATUS={line}")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._send("STOPPING=1")

    def _send(self, fact: str) -> None:
        if not self._address:
            return
        # A service that works is not ended because nobody listens.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_SEND_TIMEOUT_S)
            sender.connect(self._address)
            sender.sendall(fact.encode())
