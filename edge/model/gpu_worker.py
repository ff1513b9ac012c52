"""The process in which the GPU runs: it may crash or hang, and what asks it goes on.

Started by :mod:`edge.model.gpu` with one end of a socket. It is given a network, then tiles again and again, and
answers in kind. On some boards LiteRT's GPU library ends the process with SIGILL as soon as it is loaded: it is
imported here, and nowhere else.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.model.runtime import InterpreterRuntime

BATCH = 16
"""Tiles a call: each call costs a GPU the same, however small."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to do.

    Attributes
    ----------
    network : bytes
        The ``.tflite``.
    classes : int
        Number of classes.
    timeout_s : float
        How long anything may take: the process ends itself when it is stuck and nobody is left to end it.
    """

    network: bytes
    classes: int
    timeout_s: float


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes
    ----------
    error : str
        What went wrong; empty when nothing did.
    name : str
        The runtime; only of the first answer.
    logit_step : float
        Size of one quantization step of the logits; only of the first answer.
    depth : int
        Numbers of an embedding; only of the first answer.
    logits, embeddings : bytes
        Arrays of float32, one row a tile.
    """

    error: str = ""
    name: str = ""
    logit_step: float = 0.0
    depth: int = 0
    logits: bytes = b""
    embeddings: bytes = b""


class CompiledRuntime(InterpreterRuntime):
    """LiteRT's compiled model on the GPU; what the network's tensors mean is asked of the interpreter, which knows.

    Parameters
    ----------
    task : Task
        The network.

    Attributes
    ----------
    depth : int
        Numbers of an embedding.
    """

    def __init__(self, task: Task) -> None:
        from ai_edge_litert import __version__
        from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(Interpreter, f"litert {__version__}", task.network, task.classes, 1, BATCH)
        compiled = CompiledModel.from_buffer(task.network, HardwareAccelerator.GPU)
        if not compiled.is_fully_accelerated():
            raise RuntimeError("parts of the network do not run on it")
        (signature,) = compiled.get_signature_list()
        ((entry, details),) = compiled.get_input_tensor_details(signature).items()
        shape = [self._batch, *self.tile_shape]
        if list(details["shape"]) != shape:
            compiled.resize_input_tensor_by_name(signature, entry, shape)
        self._compiled = compiled
        self._inputs, self._outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
        sizes = [int(output.get_tensor_details()["shape"][-1]) for output in self._outputs]
        is_logits_first = sizes[0] == task.classes
        self._ordered = self._outputs if is_logits_first else self._outputs[::-1]
        self.depth = int(self._embedding["shape"][-1])
        # Drivers compile their shaders when they are first used.
        self.invoke(np.zeros(shape, np.int8 if self._is_int8 else np.float32))

    def invoke(self, batch: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Run the network once; see :meth:`InterpreterRuntime.invoke`."""
        self._inputs[0].write(batch)
        self._compiled.run_by_index(0, self._inputs, self._outputs)
        read = []
        for output, details in zip(self._ordered, (self._logits, self._embedding), strict=True):
            size = int(details["shape"][-1])
            read.append(output.read(self._batch * size, details["dtype"]).reshape(self._batch, size))
        return read[0], read[1]


def serve(connection: Connection) -> None:
    """Load the network that is sent first, then judge tiles until nobody asks any more.

    Parameters
    ----------
    connection : Connection
        To whoever asks.
    """
    task = msgspec.msgpack.decode(connection.recv_bytes(), type=Task)
    faulthandler.dump_traceback_later(task.timeout_s, exit=True)
    try:
        runtime = CompiledRuntime(task)
    except Exception as error:  # whatever it is, whoever asked wants to know
        _send(connection, Answer(error=f"{type(error).__name__}: {error}"))
        return
    _send(connection, Answer(name=runtime.name, logit_step=runtime.logit_step, depth=runtime.depth))
    # What the library says of each frame for months is nothing that anybody reads.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while True:
        faulthandler.cancel_dump_traceback_later()
        try:
            tiles = np.frombuffer(connection.recv_bytes(), np.uint8).reshape(-1, *runtime.tile_shape)
        except EOFError:
            return
        faulthandler.dump_traceback_later(task.timeout_s, exit=True)
        try:
            outputs = runtime.run(tiles)
        except Exception as error:
            _send(connection, Answer(error=f"{type(error).__name__}: {error}"))
            continue
        _send(connection, Answer(logits=outputs.logits.tobytes(), embeddings=outputs.embeddings.tobytes()))


def _send(connection: Connection, answer: Answer) -> None:
    connection.send_bytes(msgspec.msgpack.encode(answer))


def main() -> None:
    """Serve the socket whose number is the first argument."""
    # A crash is expected on some boards; a core dump of it would fill the card.
    with suppress(OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with Connection(int(sys.argv[1])) as connection:
        serve(connection)


if __name__ == "__main__":
    main()
