"""Inference runtimes behind one small protocol, so that another can be added with a function and a line."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.chatter import native_messages
from edge.errors import BundleCorrupt, InferenceFailed, RuntimeUnavailable, WbcError

BYTE_GRID = (1.0, -128)
"""Quantization of the input (scale, zero point) at which a byte x becomes int8 by ``x ^ 0x80``: no float pass."""

ANNOUNCEMENT = re.compile(rb"^INFO: (?:Created|Initialized) TensorFlow Lite .*\n?", re.MULTILINE)
"""What interpreters say at each start, which is nothing that a user must know."""

NETWORK = "the network"
"""What fails, as long as nobody says which bundle it is of."""

BATCH = 4
"""Tiles a call of the interpreter: eight are hardly faster, and the last call of a frame is filled up in vain."""

_INSTEAD = "Convert it again, or try another runtime"


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What the network says of tiles.

    Attributes
    ----------
    logits : ndarray
        Shape (n, classes), float32.
    embeddings : ndarray
        Shape (n, d), float32.
    """

    logits: NDArray[np.float32]
    embeddings: NDArray[np.float32]


class Runtime(Protocol):
    """A loaded network, ready to judge tiles; used from one thread at a time."""

    @property
    def name(self) -> str:
        """Name and version of the runtime."""
        ...

    @property
    def logit_step(self) -> float:
        """Size of one quantization step of the logits; 0 for a network with float outputs."""
        ...

    def run(self, tiles: NDArray[np.uint8]) -> Outputs:
        """Judge tiles.

        Parameters
        ----------
        tiles : ndarray
            Shape (n, tile, tile, 3), uint8, BGR, white-balanced.

        Returns
        -------
        Outputs
            Logits and embeddings, float32.

        Raises
        ------
        BundleCorrupt
            When the network takes tiles of another shape.
        InferenceFailed
            When it fails on these, or what it says of them are no numbers.
        """
        ...


class InterpreterRuntime:
    """A TFLite interpreter, of LiteRT or of tflite-runtime: both speak the same language.

    Parameters
    ----------
    interpreter_class : type
        ``Interpreter`` of the runtime's package.
    name : str
        Name and version of the runtime.
    network : bytes
        The ``.tflite``: one input, bytes on the int8 grid (or float32, 0 to 255); outputs logits and embedding.
    classes : int
        Number of classes, by which the logits are told from the embedding.
    threads : int
        Threads of the interpreter; one is fastest for networks as small as these.
    batch : int
        Tiles a call, for a network that leaves it open.

    Attributes
    ----------
    tile_shape : list of int
        Shape of a tile: height, width and 3 colours.

    Raises
    ------
    RuntimeUnavailable
        When the runtime cannot load the network.
    BundleCorrupt
        When the network's inputs or outputs are not as above.
    """

    def __init__(
        self, interpreter_class: Any, name: str, network: bytes, classes: int, threads: int, batch: int = BATCH
    ) -> None:
        try:
            self._interpreter = interpreter_class(model_content=network, num_threads=threads)
            for tensor in self._interpreter.get_input_details():
                if tensor["shape_signature"][:1].tolist() == [-1]:
                    self._interpreter.resize_tensor_input(tensor["index"], [batch, *tensor["shape"][1:].tolist()])
            with native_messages(ANNOUNCEMENT):
                self._interpreter.allocate_tensors()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise RuntimeUnavailable(NETWORK, f"{name} cannot load it: {error}", _INSTEAD) from error
        self._name = name
        sizes = [int(output["shape"][-1]) if len(output["shape"]) else 0 for output in outputs]
        if len(inputs) != 1 or len(outputs) != 2 or 0 in sizes or classes not in sizes or sizes[0] == sizes[1]:
            raise BundleCorrupt(NETWORK, f"expected one input, {classes} logits and an embedding")
        if inputs[0]["dtype"] not in (np.int8, np.float32):
            raise BundleCorrupt(NETWORK, f"its input is {np.dtype(inputs[0]['dtype'])}, not int8 or float32")
        if len(inputs[0]["shape"]) != 4 or not inputs[0]["shape"].all():
            shape = tuple(inputs[0]["shape"].tolist())
            raise BundleCorrupt(NETWORK, f"its input has the shape {shape}, of no tiles")
        self._is_int8 = inputs[0]["dtype"] == np.int8
        if self._is_int8 and inputs[0]["quantization"] != BYTE_GRID:
            raise BundleCorrupt(NETWORK, f"its input is not on the byte grid: {inputs[0]['quantization']}")
        self._input = inputs[0]["index"]
        self._batch, *self.tile_shape = inputs[0]["shape"].tolist()
        self._logits, self._embedding = sorted(outputs, key=lambda output: int(output["shape"][-1]) != classes)

    @property
    def name(self) -> str:
        """Name and version of the runtime."""
        return self._name

    @property
    def logit_step(self) -> float:
        """Size of one quantization step of the logits; 0 for a network with float outputs."""
        return float(self._logits["quantization"][0])

    def run(self, tiles: NDArray[np.uint8]) -> Outputs:
        """Judge tiles; see :meth:`Runtime.run`."""
        if list(tiles.shape[1:]) != self.tile_shape:
            raise BundleCorrupt(NETWORK, f"takes tiles of {tuple(self.tile_shape)}, not {tiles.shape[1:]}")
        calls = -(-len(tiles) // self._batch)
        # One batch again and again: all tiles at once would push the network out of the processor's caches.
        batch = np.zeros((self._batch, *self.tile_shape), np.uint8 if self._is_int8 else np.float32)
        values = batch.view(np.int8) if self._is_int8 else batch
        raw = [
            np.empty((calls, self._batch, int(output["shape"][-1])), output["dtype"])
            for output in (self._logits, self._embedding)
        ]
        try:
            for i in range(calls):
                part = tiles[i * self._batch : (i + 1) * self._batch]
                if self._is_int8:
                    np.bitwise_xor(part, 0x80, out=batch[: len(part)])
                else:
                    batch[: len(part)] = part
                raw[0][i], raw[1][i] = self.invoke(values)
        except (ValueError, RuntimeError) as error:
            raise InferenceFailed(NETWORK, f"failed on {self.name}: {error}") from error
        of_tiles = [part.reshape(-1, part.shape[-1])[: len(tiles)] for part in raw]
        outputs = Outputs(_dequantize(of_tiles[0], self._logits), _dequantize(of_tiles[1], self._embedding))
        if not (np.isfinite(outputs.logits).all() and np.isfinite(outputs.embeddings).all()):
            raise InferenceFailed(NETWORK, f"said what are no numbers, on {self.name}")
        return outputs

    def invoke(self, batch: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Run the network once.

        Parameters
        ----------
        batch : ndarray
            Shape (batch, tile, tile, 3), of the network's input type.

        Returns
        -------
        tuple of ndarray
            Logits and embeddings as the network gives them, not dequantized.
        """
        self._interpreter.set_tensor(self._input, batch)
        self._interpreter.invoke()
        logits, embedding = self._logits["index"], self._embedding["index"]
        return self._interpreter.get_tensor(logits), self._interpreter.get_tensor(embedding)


def _dequantize(raw: NDArray[Any], details: dict[str, Any]) -> NDArray[np.float32]:
    scale, zero_point = details["quantization"]
    values: NDArray[np.float32] = raw.astype(np.float32)
    return (values - np.float32(zero_point)) * np.float32(scale) if scale else values


def _litert(network: bytes, classes: int, threads: int, batch: int) -> Runtime:
    from ai_edge_litert import __version__
    from ai_edge_litert.interpreter import Interpreter

    return InterpreterRuntime(Interpreter, f"litert {__version__}", network, classes, threads, batch)


def _tflite_runtime(network: bytes, classes: int, threads: int, batch: int) -> Runtime:
    from tflite_runtime import __version__
    from tflite_runtime.interpreter import Interpreter

    return InterpreterRuntime(Interpreter, f"tflite-runtime {__version__}", network, classes, threads, batch)


RUNTIMES: dict[str, tuple[str, Callable[[bytes, int, int, int], Runtime]]] = {
    "litert": ("ai_edge_litert", _litert),
    "tflite-runtime": ("tflite_runtime", _tflite_runtime),
}
"""Runtimes by name: the package to import, and what loads a network; the first installed is the default."""


def installed() -> list[str]:
    """Names of the runtimes whose package is installed, the default first."""
    return [name for name, (package, _) in RUNTIMES.items() if importlib.util.find_spec(package)]


def load(network: bytes, classes: int, *, runtime: str | None = None, threads: int = 1, batch: int = BATCH) -> Runtime:
    """Load a network into a runtime.

    Parameters
    ----------
    network : bytes
        The ``.tflite``.
    classes : int
        Number of classes.
    runtime : str, optional
        Name of the runtime; by default the first installed.
    threads : int
        Threads of the interpreter.
    batch : int
        Tiles a call of the interpreter, where the network leaves it open.

    Returns
    -------
    Runtime
        The loaded network.

    Raises
    ------
    RuntimeUnavailable
        When the runtime is unknown or not installed, or cannot load the network.
    """
    names = installed()
    name = runtime or (names[0] if names else "litert")
    if name not in RUNTIMES:
        raise RuntimeUnavailable(f"runtime {name}", "unknown", f"Choose {' or '.join(RUNTIMES)}")
    package, load_network = RUNTIMES[name]
    if name not in names:
        raise RuntimeUnavailable(f"runtime {name}", "not installed", f"`pip install {package.replace('_', '-')}`")
    try:
        return load_network(network, classes, threads, batch)
    except WbcError:  # such as that the network is damaged, which is an ImportError too
        raise
    except ImportError as error:
        raise RuntimeUnavailable(f"runtime {name}", f"installed but does not load: {error}") from error
