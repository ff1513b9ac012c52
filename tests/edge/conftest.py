"""A GPU where there is none, a model that is sound until it sees a cell, a disk that fails, a busy thread."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event, Thread

import handmade
import pytest

from edge.journal import Journal

SITE = '''
"""Stands in for LiteRT's compiled model in the process of the GPU: the interpreter behind another door."""
import os, signal, sys, time, types

HOW = os.environ.get("GPU_DOUBLE", "")
if HOW == "crashes at once":
    os.kill(os.getpid(), signal.SIGILL)
if HOW == "hangs at once":
    time.sleep(600)


class Buffer:
    def __init__(self, details):
        self.details = details

    def get_tensor_details(self):
        return {"shape": list(self.details["shape"])}

    def write(self, values):
        self.values = values

    def read(self, count, dtype):
        return self.values.ravel()


class CompiledModel:
    runs = 0

    @classmethod
    def from_buffer(cls, network, accelerator):
        from ai_edge_litert.interpreter import Interpreter

        self = cls()
        self.interpreter = Interpreter(model_content=network)
        if HOW != "is silent":
            kind = "CPU / Software" if HOW == "imitates" else "Discrete GPU"
            print(f"Selected adapter: Double (of 1, or 2), arch=x, vendor=y, backend=Vulkan, adapterType={kind}",
                  file=sys.stderr, flush=True)
        return self

    def is_fully_accelerated(self):
        return HOW != "does half"

    def get_signature_list(self):
        return {"only": {}}

    def get_input_tensor_details(self, signature):
        return {"tiles": self.interpreter.get_input_details()[0]}

    def resize_input_tensor_by_name(self, signature, name, shape):
        self.interpreter.resize_tensor_input(self.interpreter.get_input_details()[0]["index"], shape)
        self.interpreter.allocate_tensors()

    def create_input_buffers(self, number):
        return [Buffer(details) for details in self.interpreter.get_input_details()]

    def create_output_buffers(self, number):
        return [Buffer(details) for details in self.interpreter.get_output_details()]

    def run_by_index(self, number, inputs, outputs):
        CompiledModel.runs += 1
        if HOW == "is slow":
            time.sleep(0.05)
        # It starts, answers the self-test and is timed with 16.
        if CompiledModel.runs > 17 and HOW == "fails later":
            raise RuntimeError("device lost")
        if CompiledModel.runs > 17 and HOW == "dies later":
            os.kill(os.getpid(), signal.SIGSEGV)
        if CompiledModel.runs > 17 and HOW == "hangs later":
            time.sleep(600)
        self.interpreter.set_tensor(inputs[0].details["index"], inputs[0].values)
        self.interpreter.invoke()
        for output in outputs:
            output.values = self.interpreter.get_tensor(output.details["index"])
            if HOW == "lies":
                output.values = output.values[::-1]


sys.modules["ai_edge_litert.compiled_model"] = types.SimpleNamespace(
    CompiledModel=CompiledModel, HardwareAccelerator=types.SimpleNamespace(GPU="gpu")
)
'''


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give this machine a GPU that does as it is told: ``works``, ``crashes at once``, ``lies``, ``dies later``."""
    place = tmp_path / "gpu"
    place.mkdir()
    (place / "sitecustomize.py").write_text(SITE, "utf-8")
    (place / "driver.json").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("VK_DRIVER_FILES", str(place / "driver.json"))
    return lambda how: monkeypatch.setenv("GPU_DOUBLE", how)


@pytest.fixture(scope="session")
def fragile(of_bright_tiles: Callable[..., Path]) -> Path:
    """Give a bundle that passes its self-test and fails on every cell."""
    return of_bright_tiles("float32")


@pytest.fixture(scope="session")
def hanging(of_bright_tiles: Callable[..., Path]) -> Path:
    """Give a bundle that passes its self-test and never comes back from a cell."""
    return of_bright_tiles("float32", handmade.that_hangs)


@pytest.fixture
def failing_disk() -> Callable[[Journal, int], AbstractContextManager[None]]:
    """Return what makes the disk fail so many transactions of a journal, one after the other."""

    @contextmanager
    def failing(journal: Journal, times: int) -> Iterator[None]:
        usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        size_bytes = journal.path.with_name(f"{journal.path.name}-wal").stat().st_size
        begun = 0

        def watch(statement: str) -> None:
            nonlocal begun
            if statement.startswith("BEGIN"):
                begun += 1
                # The log must grow for a transaction, which the kernel then refuses: SQLite says "disk I/O error".
                resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes if begun <= times else usual, most))

        with journal.maintenance() as connection:
            connection.set_trace_callback(watch)
        try:
            yield
        finally:
            connection.set_trace_callback(None)
            resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))

    return failing


@pytest.fixture
def busy() -> Iterator[None]:
    """Let another thread take its turns, so that time passes where nobody would think it does."""
    is_over = Event()

    def spin() -> None:
        while not is_over.is_set():
            sum(range(200))

    thread = Thread(target=spin, daemon=True)
    thread.start()
    yield
    is_over.set()
    thread.join()
