"""Measure how many frames a second go from a camera to the journal, beside what one frame costs and its slowest stage.

The camera gives one simulated field of 2560x1920 over and over, from memory as a driver does, and waits before each as
a sensor does (``--sensor-ms``); everything else is what `wbc-edge run` and `wbc-edge capture` do. One frame's own cost
and that of its stages are measured first, alone and one after another. What a stage takes while the others run beside
it stands there too: where cores, caches and memory are shared it is more, and no line is faster than its slowest stage
as it runs in it::

    python benchmarks/daemon_throughput.py --frames 500
    python benchmarks/daemon_throughput.py --frames 10000 --sensor-ms 20
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge import pipeline
from edge.bench import simulated_frame
from edge.camera import CameraSettings
from edge.camera.base import stamp
from edge.camera.guard import GuardedCamera
from edge.capture import Logged, Session, run
from edge.frame import Frame
from edge.journal import Journal
from edge.model import Model, open_model, shelf

SETTLED = 100
"""After so many frames everything that is kept for good is there."""


class FieldCamera:
    """Gives one field again and again, each time upside down: the same picture twice is of no sensor."""

    name, finite = "field", False

    def __init__(self, field: Frame, sensor_s: float) -> None:
        self._field, self._sensor_s, self._sequence = field, sensor_s, 0
        self._pixels = (field.pixels, np.ascontiguousarray(field.pixels[::-1]))

    def read(self) -> Frame:
        """Wait as a sensor does, and copy the pixels as a driver does."""
        asked_s = time.monotonic()
        time.sleep(self._sensor_s)
        self._sequence += 1
        pixels = self._pixels[self._sequence % 2].copy()
        return stamp(pixels, f"field {self._sequence}", self._sequence, self._field.um_per_px, asked_s=asked_s)

    def close(self) -> None:
        """There is nothing to release."""


def main() -> None:
    """Measure and print one JSON object, milliseconds and megabytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--sensor-ms", type=float, default=0.0)
    asked = parser.parse_args()
    if asked.frames <= SETTLED:
        parser.error(f"--frames must be more than {SETTLED}")
    cv2.setNumThreads(1)
    model = open_model(shelf.find(None))
    field = simulated_frame()
    with tempfile.TemporaryDirectory() as folder, Journal.open(Path(folder) / "journal.sqlite3") as journal:
        stages = stages_ms(field, model, journal, asked.sensor_ms / 1e3)
        camera = GuardedCamera("field", CameraSettings(), opener=lambda *_: FieldCamera(field, asked.sensor_ms / 1e3))
        with Session(journal, "S-1", model=model) as session:
            per_frame_ms, beside_ms, settled_mb, last_mb = sustained(run(camera, session, count=asked.frames))
        camera.close()
        logged = sum(sample.frames for sample in journal.samples() if sample.name == "S-1")
    one_frame_ms, slowest_ms = sum(stages.values()), max(stages.values())
    print(
        json.dumps(
            {
                "frames": asked.frames,
                "lost": asked.frames - logged,
                "cores": len(os.sched_getaffinity(0)),
                "stages_ms": {name: round(ms, 2) for name, ms in stages.items()},
                "one_frame_ms": round(one_frame_ms, 2),
                "slowest_stage_ms": round(slowest_ms, 2),
                "stages_side_by_side_ms": {name: round(ms, 2) for name, ms in beside_ms.items()},
                "sustained_ms": round(per_frame_ms, 2),
                "frames_per_s": round(1e3 / per_frame_ms, 1),
                "over_slowest_stage": round(per_frame_ms / slowest_ms, 2),
                "over_slowest_stage_side_by_side": round(per_frame_ms / max(beside_ms.values()), 2),
                "over_one_frame": round(per_frame_ms / one_frame_ms, 2),
                "memory_mb": last_mb,
                "memory_growth_mb": round(last_mb - settled_mb, 1),
            }
        )
    )


def stages_ms(field: Frame, model: Model, journal: Journal, sensor_s: float) -> dict[str, float]:
    """Time each stage of a frame alone, medians of 30, milliseconds."""
    camera, sample = FieldCamera(field, sensor_s), journal.sample("alone")
    found: dict[str, list[float]] = {name: [] for name in ("capture", "prepare", "judge", "log")}
    for _ in range(33):
        marks = [time.perf_counter()]
        frame = camera.read()
        marks.append(time.perf_counter())
        prepared = pipeline.prepare(frame, model.bundle.description)
        marks.append(time.perf_counter())
        judged = pipeline.judge(prepared, model)
        marks.append(time.perf_counter())
        journal.record(sample, judged)
        marks.append(time.perf_counter())
        for times, begun_s, ended_s in zip(found.values(), marks, marks[1:], strict=False):
            times.append((ended_s - begun_s) * 1e3)
    return {name: statistics.median(times[3:]) for name, times in found.items()}


def sustained(results: Iterator[object]) -> tuple[float, dict[str, float], float, float]:
    """Give milliseconds a frame after it has settled and medians of its stages, and megabytes held then and at last."""
    logged, begun_s, settled_mb = 0, 0.0, 0.0
    found: dict[str, list[float]] = {name: [] for name in ("capture", "prepare", "judge", "log")}
    for result in results:
        if isinstance(result, Logged):
            logged += 1
            ended_s = time.perf_counter()
            if logged == SETTLED:
                begun_s, settled_mb = ended_s, memory_mb()
            ms = result.result.ms
            prepared, judged = ms["scale"] + ms["quality"] + ms["tile"], ms["infer"] + ms["verdict"]
            for times, own in zip(found.values(), (ms["capture"], prepared, judged, result.log_ms), strict=True):
                times.append(own)
    stages = {name: statistics.median(times[SETTLED:]) for name, times in found.items()}
    return (ended_s - begun_s) * 1e3 / (logged - SETTLED), stages, settled_mb, memory_mb()


def memory_mb() -> float:
    """Read the memory that this process holds now, megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGESIZE") / 1e6, 1)


if __name__ == "__main__":
    main()
