"""How long a frame takes from memory to a logged verdict, beside the least that its parts could take.

The floors are the bare work that cannot be left out: OpenCV's resizes to the model's scale, copies of as many tiles,
the interpreter's own loop over them, one committed transaction with the same rows. Whole and floors take turns in the
same run, so that a busy or throttled processor slows both.
"""

from __future__ import annotations

import importlib
import os
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import pipeline
from edge.chatter import native_messages
from edge.errors import ConfigurationError, OutputError
from edge.frame import Frame, Pixels
from edge.journal import Journal
from edge.model import PREFERRED_TYPES, Model
from edge.model.runtime import ANNOUNCEMENT, RUNTIMES
from edge.result import FrameResult
from edge.simulator import Smear, draw
from edge.vision import scale

DEFAULT_SIZE_PX = (2560, 1920)
_WARM_UPS = 3


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the repeats, milliseconds.

    Attributes
    ----------
    size_px : tuple of int
        Width and height of the frame.
    tiles : int
        Number of tiles that were judged.
    total_ms : float
        From the frame in memory to its record on the disk.
    stages_ms : dict of str to float
        The parts of it: scale, quality, tile, infer, verdict, log.
    floor_ms : float
        Resize, tiles, invoke and transaction of a turn together: like the total the median of whole turns.
    floors_ms : dict of str to float
        Each of them by itself.
    ratio : float
        How many times its floor the whole takes: the median of the turns' ratios, since a processor that changes its
        speed in the middle changes both parts of a turn.
    runtime : str
        Runtime and version.
    accelerator : str
        What the model runs on, and why. The floor of invoke is the processor's in any case.
    model : str
        The model.
    threads : int
        Threads of the runtime and of OpenCV.
    repeats : int
        How many were timed.
    peak_memory_mb : float
        Most memory that the process ever held, megabytes.
    """

    size_px: tuple[int, int]
    tiles: int
    total_ms: float
    stages_ms: dict[str, float]
    floor_ms: float
    floors_ms: dict[str, float]
    ratio: float
    runtime: str
    accelerator: str
    model: str
    threads: int
    repeats: int
    peak_memory_mb: float


def simulated_frame(size_px: tuple[int, int] = DEFAULT_SIZE_PX) -> Frame:
    """Draw the field that is measured: a marrow full of cells, the same on every machine; not a run's first frame."""
    smear = Smear(kind="ALL", size_px=size_px)
    return Frame(draw(smear, 1).pixels, "bench", 1, smear.um_per_px, time.time(), time.monotonic())


def measure(frame: Frame, model: Model, folder: Path, *, threads: int = 1, repeats: int = 30) -> Figures:
    """Time a frame's way and its floors.

    Parameters
    ----------
    frame : Frame
        What is judged, again and again.
    model : Model
        By what.
    folder : Path
        On the disk whose speed matters; a temporary folder is made in it, or in what there is above it, and removed.
    threads : int
        Threads that the model was loaded with; OpenCV is given as many.
    repeats : int
        How many times, after three that do not count.

    Returns
    -------
    Figures
        The medians.

    Raises
    ------
    ConfigurationError
        When no tile of the frame is judged: there is nothing to time.
    OutputError
        When the folder cannot be written.
    JournalError
        When the journal in it cannot be.
    """
    cv2.setNumThreads(threads)
    judged = pipeline.classify(frame, model)
    if not judged.tiles:
        raise ConfigurationError("The frame to time", "no tile of it is judged", "Time a larger one")
    folder = next(there for there in (folder, *folder.absolute().parents) if os.access(there, os.F_OK))
    try:
        place = tempfile.TemporaryDirectory(prefix=".wbc-edge-bench-", dir=folder)
    except OSError as error:
        raise OutputError(f"folder {folder}", error.strerror or str(error), "Name a journal elsewhere") from error
    with (
        place as name,
        Journal.open(Path(name) / "whole.sqlite3") as journal,
        closing(_bare_journal(Path(name) / "floor.sqlite3", judged)) as bare,
    ):
        sample = journal.sample("bench")
        stages: list[dict[str, float]] = []

        def whole() -> None:
            result = pipeline.classify(frame, model)
            begun_s = time.perf_counter()
            journal.record(sample, result)
            stages.append({**result.ms, "log": (time.perf_counter() - begun_s) * 1e3})

        works: dict[str, Callable[[], object]] = {
            "whole": whole,
            "resize": _resizes(frame, model),
            "tiles": _tile_copies(frame, judged, model),
            "invoke": _invocations(judged, model, threads),
            "transaction": _transaction(bare),
        }
        turns: list[dict[str, float]] = []
        for _ in range(_WARM_UPS + repeats):
            turns.append({})
            for each, work in works.items():
                begun_s = time.perf_counter()
                work()
                turns[-1][each] = (time.perf_counter() - begun_s) * 1e3
    stages, turns = stages[_WARM_UPS:], turns[_WARM_UPS:]
    totals_ms = [turn.pop("whole") for turn in turns]
    all_floors_ms = [sum(turn.values()) for turn in turns]
    return Figures(
        size_px=judged.size_px,
        tiles=len(judged.tiles),
        total_ms=statistics.median(totals_ms),
        stages_ms={name: ms for name, ms in _medians(stages).items() if name != "capture"},
        floor_ms=statistics.median(all_floors_ms),
        floors_ms=_medians(turns),
        ratio=statistics.median(whole / floor for whole, floor in zip(totals_ms, all_floors_ms, strict=True)),
        runtime=model.runtime.name,
        accelerator=str(model.runtime.choice),
        model=model.bundle.identity,
        threads=threads,
        repeats=repeats,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    )


def _medians(turns: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}


def _resizes(frame: Frame, model: Model) -> Callable[[], Pixels]:
    """Give the bare resizes that bring the frame to the model's scale: halvings, then one step to the exact size."""
    height, width = frame.pixels.shape[:2]
    target = scale.resampled_size((width, height), frame.um_per_px, model.bundle.description.um_per_px)
    steps = []
    while width >= 2 * target[0] and height >= 2 * target[1]:
        width, height = width // 2, height // 2
        steps.append(((width, height), cv2.INTER_AREA))
    if (width, height) != target:
        steps.append((target, cv2.INTER_LINEAR))

    def work() -> Any:
        pixels: Any = frame.pixels
        for size, method in steps:
            pixels = cv2.resize(pixels, size, interpolation=method)
        return pixels

    return work


def _tile_copies(frame: Frame, judged: FrameResult, model: Model) -> Callable[[], None]:
    image = _resizes(frame, model)()
    side = min(model.bundle.description.tiling.tile_px, *image.shape[:2])
    factor = frame.um_per_px / model.bundle.description.um_per_px
    most_x, most_y = image.shape[1] - side, image.shape[0] - side
    corners = [
        (min(max(0, round(tile.x_px * factor)), most_x), min(max(0, round(tile.y_px * factor)), most_y))
        for tile in judged.tiles
    ]

    def work() -> None:
        tiles = np.empty((len(corners), side, side, 3), np.uint8)
        for copy, (x, y) in zip(tiles, corners, strict=True):
            copy[:] = image[y : y + side, x : x + side]

    return work


def _invocations(judged: FrameResult, model: Model, threads: int) -> Callable[[], None]:
    package = RUNTIMES[model.runtime.name.split()[0]][0]
    interpreter_class = importlib.import_module(f"{package}.interpreter").Interpreter
    networks = model.bundle.networks
    kind = next(kind for kind in PREFERRED_TYPES if kind in networks)
    interpreter = interpreter_class(model_content=networks[kind], num_threads=threads)
    with native_messages(ANNOUNCEMENT):
        interpreter.allocate_tensors()
    (details,) = interpreter.get_input_details()
    tile: NDArray[Any] = np.zeros(details["shape"], details["dtype"])

    def work() -> None:
        for _ in judged.tiles:
            interpreter.set_tensor(details["index"], tile)
            interpreter.invoke()

    return work


def _bare_journal(path: Path, judged: FrameResult) -> sqlite3.Connection:
    """Log the frame once, so that what the journal's transaction wrote can be read back, and written barely again."""
    with Journal.open(path) as journal:
        journal.record(journal.sample("bench"), judged)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _transaction(connection: sqlite3.Connection) -> Callable[[], None]:
    """Give one commit of the rows that the journal wrote for the frame: its own, its tiles' and its sample's tally."""
    (frame,) = connection.execute("SELECT * FROM frames")
    tiles = connection.execute("SELECT * FROM tiles").fetchall()
    (tally,) = connection.execute("SELECT * FROM tallies")
    into_frames, into_tiles, into_tallies = (
        f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(row))})"
        for table, row in {"frames": frame, "tiles": tiles[0], "tallies": tally}.items()
    )

    def work() -> None:
        connection.execute("BEGIN IMMEDIATE")
        record = connection.execute(into_frames, (None, *frame[1:])).lastrowid
        connection.executemany(into_tiles, [(record, *tile[1:]) for tile in tiles])
        connection.execute(into_tallies, tally)
        connection.execute("COMMIT")

    return work
