"""How the service is, at any moment and in plain figures."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from edge import __version__
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
    frames, classified, indeterminate, failed : int
        Since the start: frames logged, those with a class, those without, those that could not be read.
    camera_lost, camera_reopened : int
        Since the start.
    last_verdict, last_error : str
        The most recent ones.
    sample_verdict : str
        Of the sample that is open, so far.
    journal : str
        The journal's file.
    """

    state: State = "starting"
    reason: str = ""
    camera: str = ""
    model: str = ""
    sample: str = ""
    frames: int = 0
    classified: int = 0
    indeterminate: int = 0
    failed: int = 0
    camera_lost: int = 0
    camera_reopened: int = 0
    last_verdict: str = ""
    last_error: str = ""
    sample_verdict: str = ""
    journal: str = ""

    def plus(self, result: FrameResult) -> Health:
        """Count a frame."""
        verdict = result.verdict or ""
        return replace(
            self,
            frames=self.frames + 1,
            classified=self.classified + (verdict not in ("", INDETERMINATE)),
            indeterminate=self.indeterminate + (verdict == INDETERMINATE),
            last_verdict=f"{verdict} ({result.reason})" if result.reason else verdict,
        )

    def words(self) -> str:
        """Say it in a line, for ``systemctl status``."""
        if self.state == "degraded":
            return f"degraded: {self.reason}"
        if self.state != "ready":
            return self.state
        sample = f", sample {self.sample}" if self.sample else ""
        return f"{self.frames} frames, {self.indeterminate} indeterminate, {self.failed} failed{sample}"


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

    def count(self, name: str) -> None:
        """Count one more of something."""
        with self._lock:
            self._health = replace(self._health, **{name: getattr(self._health, name) + 1})

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
            "temperature_c": temperature_c(),
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "version": __version__,
        }


def _free_mb(file: Path) -> int | None:
    try:
        return round(shutil.disk_usage(file.parent).free / 1e6)
    except OSError:
        return None


def temperature_c(zones: Path = Path("/sys/class/thermal")) -> float | None:
    """Read the hottest of the processor's thermometers; None where there is none."""
    found = []
    for zone in zones.glob("thermal_zone*/temp"):
        try:
            found.append(int(zone.read_text()) / 1000)
        except (OSError, ValueError):
            continue
    return max(found, default=None)
