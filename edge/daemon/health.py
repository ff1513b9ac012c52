"""How the service is, at any moment and in plain figures."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from edge import __version__, board
from edge.daemon.words import said
from edge.result import INDETERMINATE, FrameResult

State = Literal["starting", "ready", "degraded", "stopping"]


@dataclass(frozen=True, slots=True)
class Health:
    """What the service says of itself.

    Attributes
    ----------
    state : str
        ``starting``, ``ready``, ``degraded`` (runs, and says why it cannot work) or ``stopping``.
    reason : str
        Why it is degraded; empty otherwise.
    camera, model, sample : str
        What it works with; empty when there is none.
    model_reason : str
        Why that model took the place of another that failed; empty when it was chosen.
    accelerator : str
        What the model runs on, and why.
    every_frame : bool
        Whether every frame of the sample counts, since somebody opened it; otherwise only the newest does.
    frames, classified, indeterminate, failed, dropped : int
        Since the start: frames logged, those with a class, those without, those that could not be read, and those that
        made way for newer ones.
    camera_lost, camera_reopened : int
        Since the start.
    last_verdict, last_error, last_error_at : str
        The most recent ones, and when that was by the wall clock.
    sample_verdict : str
        Of the sample that is open, so far.
    calibration, drift : str
        What the camera was calibrated to, and in what it was seen to differ since the start.
    journal : str
        The journal's file.
    journal_checked : str
        When it was last read through, also before the start, and what was found.
    pictures : str
        ``kept``; empty when none are, by the configuration, for lack of room, or in a folder that cannot be
        written.
    """

    state: State = "starting"
    reason: str = ""
    camera: str = ""
    model: str = ""
    model_reason: str = ""
    accelerator: str = ""
    sample: str = ""
    every_frame: bool = False
    frames: int = 0
    classified: int = 0
    indeterminate: int = 0
    failed: int = 0
    dropped: int = 0
    camera_lost: int = 0
    camera_reopened: int = 0
    last_verdict: str = ""
    last_error: str = ""
    last_error_at: str = ""
    sample_verdict: str = ""
    calibration: str = ""
    drift: str = ""
    journal: str = ""
    journal_checked: str = ""
    pictures: str = ""

    def plus(self, result: FrameResult) -> Health:
        """Count a frame."""
        verdict = result.verdict or ""
        return replace(
            self,
            frames=self.frames + 1,
            classified=self.classified + (verdict not in ("", INDETERMINATE)),
            indeterminate=self.indeterminate + (verdict == INDETERMINATE),
            last_verdict=said(verdict, result.reason),
        )

    def words(self) -> str:
        """Say it in a line, for ``systemctl status``."""
        if self.state == "degraded":
            return f"degraded: {self.reason}"
        if self.state != "ready":
            return self.state
        sample = f", sample {self.sample}" if self.sample else ""
        dropped = f", {self.dropped} dropped" if self.dropped else ""
        return f"{self.frames} frames, {self.indeterminate} indeterminate, {self.failed} failed{dropped}{sample}"


@dataclass(slots=True)
class Bulletin:
    """The service's health, written by one thread and read by others."""

    _health: Health = field(default_factory=Health)
    _started_s: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def health(self) -> Health:
        """The health as it was last told."""
        with self._lock:
            return self._health

    def change(self, **facts: Any) -> None:
        """Change some of it."""
        with self._lock:
            self._health = replace(self._health, **facts)

    def count(self, name: str, more: int = 1) -> None:
        """Count one more of something, or several."""
        with self._lock:
            self._health = replace(self._health, **{name: getattr(self._health, name) + more})

    def failed(self, error: str) -> None:
        """Remember an error, and when it was."""
        self.change(last_error=error, last_error_at=f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}")

    def frame(self, result: FrameResult) -> None:
        """Count a frame."""
        with self._lock:
            self._health = self._health.plus(result)

    def report(self) -> dict[str, Any]:
        """Give all that ``wbc-edge status`` shows; sizes in megabytes, times in seconds, temperature in Celsius."""
        health = self.health
        return {
            **asdict(health),
            "disk_free_mb": _free_mb(Path(health.journal)) if health.journal else None,
            "temperature_c": board.temperature_c(),
            "throttled": ", ".join(board.throttling()),
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "version": __version__,
        }

    def summary(self) -> str:
        """Say in a line, for the log, what of it changes without being an event."""
        told = self.report()
        facts = [f"{told[name]} {name}" for name in ("frames", "classified", "indeterminate", "failed", "dropped")]
        facts.append(f"camera reopened {told['camera_reopened']} times")
        if told["disk_free_mb"] is not None:
            facts.append(f"{told['disk_free_mb']} MB free")
        if told["temperature_c"] is not None:
            facts.append(f"{told['temperature_c']:.0f} degrees Celsius")
        if told["throttled"]:
            facts.append(told["throttled"])
        return f"{told['state']}: {', '.join(facts)}"


def _free_mb(file: Path) -> int | None:
    try:
        return round(shutil.disk_usage(file.parent).free / 1e6)
    except OSError:
        return None
