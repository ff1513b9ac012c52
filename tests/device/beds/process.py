"""The service as a process of this machine, under a tool that makes it suffer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from edge.daemon.control import ask
from edge.errors import ServiceUnavailable
from edge.journal import Journal

PROGRAM = Path(__file__).with_name("faulty_camera.py")
PATIENCE_S = 240.0


class Service:
    """Started by the constructor.

    Parameters
    ----------
    folder : Path
        Where its configuration and socket are.
    state : Path
        Where its journal is.
    settings : str
        Its configuration.
    under : sequence of str
        The command that it is run by, such as ``prlimit --as=...``.
    environment : dict, optional
        What is set besides.
    """

    def __init__(
        self,
        folder: Path,
        state: Path,
        settings: str,
        under: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder, self.state = folder, state
        self.mode, self.config, self.socket = folder / "mode", folder / "config.toml", folder / "control.sock"
        if not self.mode.exists():
            self.mode.write_text("good")
        self.config.write_text(settings)
        self._log = (folder / "log").open("a")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WBC_EDGE_")}
        own = {"WBC_EDGE_CONFIG": self.config, "WBC_EDGE_SOCKET": self.socket, "WBC_EDGE_STATE": state}
        own["WBC_EDGE_MODELS"] = folder / "models"
        self.process = subprocess.Popen(
            [*under, sys.executable, str(PROGRAM), "run"],
            env={**clean, **{name: str(value) for name, value in own.items()}, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self.folder / "log").read_text()

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """Ask it something."""
        return ask(self.socket, {"ask": what, **more}, PATIENCE_S)

    def status(self) -> dict[str, Any]:
        """Ask how it is; empty while it does not answer."""
        try:
            return self.ask("status")
        except ServiceUnavailable:
            return {}

    def until(self, is_so: Callable[[dict[str, Any]], bool], timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Ask how it is until that is as wanted."""
        deadline_s = time.monotonic() + timeout_s
        while not ((report := self.status()) and is_so(report)):
            assert time.monotonic() < deadline_s, f"{report}\n{self.log[-3000:]}"
            assert self.process.poll() is None, self.log[-3000:]
            time.sleep(0.05)
        return report

    def rows(self) -> set[int]:
        """Give the numbers of the frames in its journal, which must be sound and as it was written."""
        with closing(Journal.open_read_only(self.state / "journal.sqlite3")) as journal:
            problems = journal.check()
            assert problems == [], problems
            assert journal.audit().problems == ()
            return {record.record for record in journal.frames()}

    def events(self, kind: str) -> list[str]:
        """Give what happened of a kind."""
        with closing(Journal.open_read_only(self.state / "journal.sqlite3")) as journal:
            return [event.detail for event in journal.events() if event.kind == kind]

    def memory_mb(self) -> float:
        """Give what it holds in memory."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (resident,) = (line.split()[1] for line in lines if line.startswith("VmRSS"))
        return int(resident) / 1024

    def end(self) -> int:
        """Ask it to end; give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Kill it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()
