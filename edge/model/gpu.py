"""A network on the GPU, in a process of its own: whatever happens to it there, the one that asks goes on."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import IO

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge import apart
from edge.errors import GpuFailed
from edge.model.gpu_worker import Answer, Task
from edge.model.runtime import Outputs

START_TIMEOUT_S = 45.0
"""A driver may compile its shaders for many seconds; still below the patience of the service's watchdog."""

RUN_TIMEOUT_S = 10.0
"""Far over what a frame may take, and well below any watchdog's patience."""

_ADAPTER = re.compile(r"Selected adapter: (?P<name>.*?), arch=.*adapterType=(?P<type>[^\n]*)")
"""Told nowhere but on the standard error of the process."""

_NONE_FOUND = re.compile(r"No adapters found|Couldn't load Vulkan")
_GRACE_S = 2.0
_POLL_S = 0.1
_SOFTWARE_VARIABLE = "WBC_EDGE_SOFTWARE_GPU"


def software_counts() -> bool:
    """Say whether ``WBC_EDGE_SOFTWARE_GPU=1`` lets what imitates a GPU count as one, to test its way without any."""
    return os.environ.get(_SOFTWARE_VARIABLE) == "1"


class GpuRuntime:
    """A network that runs on the GPU; a :class:`edge.model.runtime.Runtime` that may fail at any time.

    Parameters
    ----------
    network : bytes
        The ``.tflite``.
    classes : int
        Number of classes.

    Attributes
    ----------
    adapter : str
        What the driver calls the GPU.

    Raises
    ------
    GpuFailed
        When it does not load there, crashes, hangs, does not say on what it runs, or only imitates a GPU.
    """

    def __init__(self, network: bytes, classes: int) -> None:
        self._classes = classes
        self._socket, theirs = socket.socketpair()
        with theirs, tempfile.TemporaryFile() as said:
            try:
                with apart.deaf():
                    self._process = subprocess.Popen(
                        [sys.executable, "-m", "edge.model.gpu_worker", str(theirs.fileno())],
                        # Python looks for modules in the working folder first, and that may be anybody's.
                        cwd="/",
                        pass_fds=[theirs.fileno()],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=said,
                    )
            except OSError as error:
                self._socket.close()
                raise GpuFailed("the GPU", f"its process cannot be started: {error.strerror}") from error
            theirs.close()
            self._connection = Connection(os.dup(self._socket.fileno()))
            self._finalizer = weakref.finalize(self, _end, self._process, self._connection, self._socket)
            try:
                self._wait_at_most(START_TIMEOUT_S)
                task = Task(network=network, classes=classes, timeout_s=START_TIMEOUT_S)
                ready = self._ask(msgspec.msgpack.encode(task), lambda: self._refuse_imitation(_text(said)))
            except GpuFailed as error:
                if _NONE_FOUND.search(_text(said)):
                    raise GpuFailed("the GPU", "Vulkan finds no GPU") from error
                raise
            self.adapter = self._named(_text(said))
        self._wait_at_most(RUN_TIMEOUT_S)
        self.name = f"{ready.name} on {self.adapter}"
        self.logit_step, self._depth = ready.logit_step, ready.depth

    def run(self, tiles: NDArray[np.uint8]) -> Outputs:
        """Judge tiles; see :meth:`edge.model.runtime.Runtime.run`.

        Raises
        ------
        GpuFailed
            When it crashed, hangs, or cannot; :meth:`close` it then.
        """
        answer = self._ask(np.ascontiguousarray(tiles).tobytes())
        logits, embeddings = (np.frombuffer(part, np.float32) for part in (answer.logits, answer.embeddings))
        if (len(logits), len(embeddings)) != (len(tiles) * self._classes, len(tiles) * self._depth):
            raise GpuFailed("the GPU", "answered for other tiles than it was asked of")
        return Outputs(logits.reshape(-1, self._classes), embeddings.reshape(-1, self._depth))

    def close(self) -> None:
        """End the process; may be called twice, and is when nobody holds this any more."""
        self._finalizer()

    def _wait_at_most(self, seconds: float) -> None:
        limit = struct.pack("@ll", int(seconds), round(seconds % 1 * 1e6))
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, limit)
        self._timeout_s = seconds

    def _named(self, said: str) -> str:
        found = _ADAPTER.search(said)
        if found is None:
            self.close()
            raise GpuFailed("the GPU", "the runtime does not say on what it runs")
        self._refuse_imitation(said)
        return found["name"]

    def _refuse_imitation(self, said: str) -> None:
        """End what has said meanwhile that it only imitates a GPU: its shaders may be compiled for a minute."""
        found = _ADAPTER.search(said)
        if found and ("CPU" in found["type"] or "Software" in found["type"]) and not software_counts():
            self._process.kill()
            self.close()
            raise GpuFailed("the GPU", f"{found['name']} only imitates a GPU")

    def _ask(self, message: bytes, meanwhile: Callable[[], None] | None = None) -> Answer:
        until_s = time.monotonic() + self._timeout_s
        try:
            self._connection.send_bytes(message)
            while meanwhile and not self._connection.poll(_POLL_S) and time.monotonic() < until_s:
                meanwhile()
            if meanwhile and not self._connection.poll():
                raise BlockingIOError
            answer = msgspec.msgpack.decode(self._connection.recv_bytes(), type=Answer)
        except BlockingIOError as error:
            self._process.kill()
            self.close()
            raise GpuFailed("the GPU", f"gave no answer within {self._timeout_s:g} s") from error
        except (EOFError, OSError, msgspec.MsgspecError) as error:
            self.close()
            raise GpuFailed("the GPU", f"its process {apart.ending(self._process.returncode)}") from error
        if answer.error:
            self.close()
            raise GpuFailed("the GPU", " ".join(answer.error.split()))
        return answer


def _end(process: subprocess.Popen[bytes], connection: Connection, ours: socket.socket) -> None:
    # Whoever still waits for an answer, in another thread, gets none; only then may the numbers of the files be reused.
    with suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        # A process that a driver holds in the kernel is left to the kernel.
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
    connection.close()
    ours.close()


def _text(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read().decode("utf-8", "replace")
