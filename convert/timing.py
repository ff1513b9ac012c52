"""How fast each type of a bundle runs here, each measurement in a process of its own.

Several multi-threaded interpreters in one process spoil each other's timings, and the second network finds the caches
that the first one filled.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from convert import export
from convert.errors import ExportRefused
from edge import apart
from edge.errors import RuntimeUnavailable, SelfTestFailed
from edge.model import bundle as _bundle
from edge.model import runtime as _runtime
from edge.model.bundle import Bundle
from edge.model.description import Kind

ONNX = "onnxruntime"
TILES = 32
"""Tiles that are judged in one go, about as many as a field has."""

_WARM_UPS = 3
_TIMEOUT_S, _REPEAT_TIMEOUT_S = 60.0, 10.0
"""Far over what anything takes that a device shall run."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one network ran.

    Attributes
    ----------
    kind, runtime : str
        Type of the network; name and version of what ran it.
    threads : int
        Threads that it was given.
    tile_ms : float
        Median time a tile, milliseconds.
    peak_memory_mb : float
        Most memory that the process ever held, megabytes.
    problem : str
        Why there is no figure; else empty.
    """

    kind: Kind
    runtime: str
    threads: int
    tile_ms: float = 0.0
    peak_memory_mb: float = 0.0
    problem: str = ""


def measure(bundle: Bundle, threads: Sequence[int], repeats: int) -> Iterator[Timing]:
    """Time every type with every runtime that is installed.

    Parameters
    ----------
    bundle : Bundle
        As read from a file.
    threads : sequence of int
        Numbers of threads.
    repeats : int
        How often ``TILES`` tiles are judged, after three times that do not count.

    Yields
    ------
    Timing
        As they are measured, each in a process of its own.
    """
    runtimes = [*_runtime.installed(), *([ONNX] if importlib.util.find_spec(ONNX) else [])]
    with tempfile.TemporaryDirectory() as folder:
        for kind in bundle.networks:
            for runtime in runtimes:
                for count in threads:
                    yield _apart(bundle, kind, runtime, count, repeats, Path(folder))


def _apart(bundle: Bundle, kind: Kind, runtime: str, threads: int, repeats: int, folder: Path) -> Timing:
    network = folder / f"{kind}.onnx"
    if runtime == ONNX and not network.exists():
        try:
            network.write_bytes(export.to_onnx(bundle.networks[kind], bundle, kind))
        except (ExportRefused, SelfTestFailed) as error:
            return Timing(kind=kind, runtime=runtime, threads=threads, problem=error.why)
    assert bundle.path is not None
    given = [str(bundle.path.absolute()), kind, runtime, str(threads), str(repeats), str(network)]
    ran = apart.run("convert.timing", given, _TIMEOUT_S + repeats * _REPEAT_TIMEOUT_S)
    if ran.problem:
        return Timing(kind=kind, runtime=runtime, threads=threads, problem=ran.problem)
    return msgspec.json.decode(ran.output.splitlines()[-1], type=Timing)


def _timed(path: Path, kind: Kind, runtime: str, threads: int, repeats: int, network: Path) -> Timing:
    """Time one network in this process."""
    bundle = _bundle.read(path)
    tiles = np.resize(bundle.selftest_tiles, (TILES, *bundle.selftest_tiles.shape[1:]))
    name, judge = _loaded_onnx(network, threads) if runtime == ONNX else _loaded(bundle, kind, runtime, threads)
    taken_ms = []
    for _ in range(_WARM_UPS + repeats):
        begun_s = time.perf_counter()
        judge(tiles)
        taken_ms.append((time.perf_counter() - begun_s) * 1e3 / TILES)
    return Timing(
        kind=kind,
        runtime=name,
        threads=threads,
        tile_ms=statistics.median(taken_ms[_WARM_UPS:]),
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    )


def _loaded(bundle: Bundle, kind: Kind, runtime: str, threads: int) -> tuple[str, Callable[[Any], object]]:
    loaded = _runtime.load(bundle.networks[kind], len(bundle.description.classes), runtime=runtime, threads=threads)
    return loaded.name, loaded.run


def _loaded_onnx(network: Path, threads: int) -> tuple[str, Callable[[Any], object]]:
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeUnavailable("onnxruntime", str(error), "`pip install onnxruntime`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    (shown,) = session.get_inputs()
    is_int8 = shown.type == "tensor(int8)"

    def judge(tiles: Any) -> object:
        values = (tiles ^ 0x80).view(np.int8) if is_int8 else tiles.astype(np.float32)
        return session.run(None, {shown.name: values})

    return f"onnxruntime {onnxruntime.__version__}", judge


if __name__ == "__main__":
    _path, _kind, _name, _threads, _repeats, _network = sys.argv[1:]
    # The name was one of the bundle's own types.
    _found = _timed(Path(_path), _kind, _name, int(_threads), int(_repeats), Path(_network))  # type: ignore[arg-type]
    print(json.dumps(msgspec.to_builtins(_found)))
