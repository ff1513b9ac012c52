"""A service as a process of its own, told and asked as systemd and its commands do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.daemon.control import ask
from edge.journal import Journal

COMMAND = [sys.executable, "-c", "from edge.cli import main; main()", "run"]
PATIENCE_S = 60.0


class Running:
    """A service, and what it told the socket that systemd would have given it."""

    def __init__(self, folder: Path, settings: str, watchdog_s: float, command: list[str]) -> None:
        self.folder = folder
        self._command = command
        self.config, self.socket = folder / "config.toml", folder / "control.sock"
        self.config.write_text(settings, "utf-8")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listener.bind(str(folder / "notify"))
        self._listener.settimeout(PATIENCE_S)
        self._watchdog_s = watchdog_s
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        """Start it, for the first time or again."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WBC_EDGE_")}
        return subprocess.Popen(
            self._command,
            env={
                **environment,
                "NOTIFY_SOCKET": str(self.folder / "notify"),
                "WATCHDOG_USEC": str(int(self._watchdog_s * 1e6)),
                "WBC_EDGE_CONFIG": str(self.config),
                "WBC_EDGE_SOCKET": str(self.socket),
                "WBC_EDGE_STATE": str(self.folder / "state"),
            },
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def told(self, fact: str) -> str:
        """Wait until it tells a fact that begins so."""
        while not (heard := self._listener.recv(4096).decode()).startswith(fact):
            pass
        return heard

    def tells(self, fact: str, within_s: float) -> bool:
        """Say whether it tells a fact that begins so within some time."""
        deadline_s = time.monotonic() + within_s
        try:
            while (left_s := deadline_s - time.monotonic()) > 0:
                self._listener.settimeout(left_s)
                if self._listener.recv(4096).decode().startswith(fact):
                    return True
        except TimeoutError:
            pass
        finally:
            self._listener.settimeout(PATIENCE_S)
        return False

    def ask(self, what: str, sample: str | None = None) -> dict[str, Any]:
        return ask(self.socket, {"ask": what, "sample": sample}, PATIENCE_S)

    def until(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask how it is until that is as wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_so(report := self.ask("status")):
            assert time.monotonic() < deadline, report
            time.sleep(0.05)
        return report

    def journal(self) -> Journal:
        return Journal.open_read_only(self.folder / "state" / "journal.sqlite3")

    def end(self) -> str:
        """Ask it to end, and return its log."""
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=PATIENCE_S)
        return log

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._listener.close()
