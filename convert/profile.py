"""What each layer of a network costs in time: the network is cut off behind each layer, and the cuts are timed."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import graph
from convert.errors import reason
from edge.chatter import native_messages
from edge.errors import BundleCorrupt
from edge.model.runtime import ANNOUNCEMENT

_REPEATS = 60
_ROUNDS = 3


def shares(network: bytes, tiles: NDArray[np.uint8]) -> tuple[float, ...]:
    """Measure the share of time of each layer, with one thread.

    Layers run together where the runtime fuses them, so that a layer's time is what the network takes longer with it
    than without. Cuts take turns, and the shortest time of each counts: a busy processor only makes times longer.

    Parameters
    ----------
    network : bytes
        The ``.tflite``.
    tiles : ndarray
        Shape (n, tile, tile, 3), uint8; the first is judged again and again.

    Returns
    -------
    tuple of float
        One share, 0 to 1, for each of :func:`convert.graph.layers`; they sum to 1.

    Raises
    ------
    BundleCorrupt
        When the runtime does not take the network.
    """
    interpreters = [_cut(network, layer) for layer in graph.layers(network)]
    shown = interpreters[0].get_input_details()[0]
    tile = (tiles[:1] ^ 0x80).view(np.int8) if shown["dtype"] == np.int8 else tiles[:1].astype(np.float32)
    shortest = np.full(len(interpreters), np.inf)
    for _ in range(_ROUNDS):
        for index, interpreter in enumerate(interpreters):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tile)
            for _ in range(_REPEATS):
                begun_s = time.perf_counter()
                interpreter.invoke()
                shortest[index] = min(shortest[index], time.perf_counter() - begun_s)
    grown = np.maximum(np.diff(shortest, prepend=0.0), 0.0)
    return tuple((grown / grown.sum()).tolist())


def _cut(network: bytes, layer: graph.Layer) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    model = graph.parse(network)
    subgraph = model.subgraphs[0]
    last = next(place for place, operator in enumerate(subgraph.operators) if operator.outputs[0] == layer.index)
    subgraph.operators = subgraph.operators[: last + 1]
    subgraph.outputs = [int(subgraph.operators[last].outputs[0])]
    model.signatureDefs = None
    try:
        with native_messages(ANNOUNCEMENT):
            interpreter = Interpreter(model_content=graph.pack(model), num_threads=1)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BundleCorrupt("the network", f"does not run as far as {layer.name}: {reason(error)}") from error
    return interpreter
