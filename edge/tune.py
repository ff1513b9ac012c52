"""How many threads, and how many tiles at once, are fastest on this device: measured on whole frames.

Each number of threads is measured in a process of its own, since the pools of several interpreters spoil each other's
times, and each batch with an interpreter of its own there.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from edge import apart, pipeline
from edge.errors import OutputError, RuntimeUnavailable
from edge.frame import Frame
from edge.model import Execution, open_model
from edge.model.runtime import BATCH

_BATCHES = (1, 2, 4, 8, 16)
_WARM_UPS, _REPEATS = 3, 15
_TIMEOUT_S = 600.0
_LEAST_GAIN = 0.05
"""What is faster by less is noise, and not worth being unlike other devices."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a frame takes with one setting.

    Attributes
    ----------
    threads, batch : int
        The setting.
    frame_ms : float
        From the frame in memory to its verdict, median, milliseconds.
    """

    threads: int
    batch: int
    frame_ms: float


def measure(model: Path, execution: Execution, frame: Frame) -> Iterator[Timing]:
    """Time a frame with each setting that this device may have.

    Parameters
    ----------
    model : Path
        The bundle.
    execution : Execution
        Which runtime; its threads, batch and accelerator do not matter.
    frame : Frame
        What is judged, again and again.

    Yields
    ------
    Timing
        As they are measured.

    Raises
    ------
    RuntimeUnavailable
        When a process that measures fails.
    OutputError
        When the frame cannot be handed to it.
    """
    with tempfile.TemporaryDirectory(prefix="wbc-edge-tune-") as folder:
        place = Path(folder, "frame.npy")
        try:
            np.save(place, frame.pixels)
        except OSError as error:
            raise OutputError(f"folder {folder}", error.strerror or str(error), "Set TMPDIR to another") from error
        for threads in thread_counts(len(os.sched_getaffinity(0))):
            task = [str(model.absolute()), str(place), str(frame.um_per_px), execution.runtime or "", str(threads)]
            yield from _measured_elsewhere(task)


def thread_counts(cores: int) -> list[int]:
    """Give the numbers of threads worth trying: doubled from one on, and as many as there are cores."""
    counts = [1 << power for power in range(cores.bit_length())]
    return sorted({*(count for count in counts if count <= cores), cores})


def best(timings: Sequence[Timing]) -> Timing:
    """Choose a setting: the usual one, unless another is faster by more than noise.

    Parameters
    ----------
    timings : sequence of Timing
        At least the usual one, of one thread and four tiles.

    Returns
    -------
    Timing
        The chosen one; of those that are equal but for noise the one with the fewest threads and the smallest batch.
    """
    usual = next(each for each in timings if (each.threads, each.batch) == (1, BATCH))
    fastest_ms = min(each.frame_ms for each in timings)
    if usual.frame_ms * (1 - _LEAST_GAIN) <= fastest_ms:
        return usual
    good = [each for each in timings if each.frame_ms * (1 - _LEAST_GAIN) <= fastest_ms]
    return min(good, key=lambda each: (each.threads, each.batch))


def _measured_elsewhere(task: list[str]) -> Iterator[Timing]:
    measured = apart.run("edge.tune", task, _TIMEOUT_S)
    if measured.problem:
        raise RuntimeUnavailable(f"{task[-1]} threads", measured.problem)
    yield from msgspec.json.decode(measured.output, type=list[Timing])


def main() -> None:
    """Measure what the arguments name, and write the timings as JSON."""
    import cv2

    model, place, um_per_px, runtime, threads = sys.argv[1:]
    frame = Frame(np.load(place), "tune", 0, float(um_per_px), time.time(), time.monotonic())
    cv2.setNumThreads(int(threads))
    timings = []
    for batch in _BATCHES:
        loaded = open_model(Path(model), execution=Execution(runtime or None, int(threads), batch))
        taken_ms = []
        for _ in range(_WARM_UPS + _REPEATS):
            begun_s = time.perf_counter()
            pipeline.classify(frame, loaded)
            taken_ms.append((time.perf_counter() - begun_s) * 1e3)
        timings.append(Timing(int(threads), batch, statistics.median(taken_ms[_WARM_UPS:])))
        del loaded
    sys.stdout.write(msgspec.json.encode(timings).decode())


if __name__ == "__main__":
    main()
