"""What flows through a network: activations of every layer, their ranges, and how far two networks' lie apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert import graph
from edge.chatter import native_messages
from edge.model.runtime import ANNOUNCEMENT

_VALUES_A_TILE = 2048
_CLIPPED = np.linspace(0.05, 1.0, 39)
_LEVELS = 255


class LayerError(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a layer's activations a converted network lost.

    Attributes
    ----------
    name, operation : str
        The layer.
    tensor : str
        Name of its output.
    sqnr_db : float
        Signal over error, decibels: 20 is an error of a tenth, 40 of a hundredth; what is exact has 120.
    """

    name: str
    operation: str
    tensor: str
    sqnr_db: float


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Values that a tensor took.

    Attributes
    ----------
    low, high : float
        Least and largest of all.
    values : ndarray
        Shape (n,), float32: a sample of them, the same places of every tile.
    rank : int
        Number of the tensor's dimensions.
    """

    low: float
    high: float
    values: NDArray[np.float32]
    rank: int


Range = tuple[float, float]
Chooser = Callable[[Seen], Range]


def extremes(seen: Seen) -> Range:
    """Take the least and the largest value."""
    return seen.low, seen.high


def percentile(share: float) -> Chooser:
    """Make a chooser of the range from a percentile at the low end to its like at the high one, such as the 99.9th."""

    def chosen(seen: Seen) -> Range:
        low, high = np.percentile(seen.values, [100 - share, share]).tolist()
        return low, high

    return chosen


def least_squares(seen: Seen) -> Range:
    """Take the range whose rounding and clipping to 8 bits together err least, by mean square."""
    ranges = [(seen.low * share, seen.high * share) for share in _CLIPPED.tolist()]
    errors = []
    for low, high in ranges:
        step = max((max(high, 0) - min(low, 0)) / _LEVELS, 1e-12)
        kept = np.clip(seen.values, min(low, 0), max(high, 0))
        errors.append(float(np.mean((np.round(kept / step) * step - seen.values) ** 2)))
    return ranges[int(np.argmin(errors))]


def observe(network: bytes, tiles: NDArray[np.uint8]) -> dict[str, Seen]:
    """Run a float network over tiles and keep what its tensors hold.

    Parameters
    ----------
    network : bytes
        A ``.tflite`` with float input.
    tiles : ndarray
        Shape (n, tile, tile, 3), uint8.

    Returns
    -------
    dict of str to Seen
        By the tensor's name; constants too.
    """
    interpreter = _interpreter(network)
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    parts: dict[str, list[NDArray[np.float32]]] = {}
    ranks: dict[str, int] = {}
    rng = np.random.default_rng(0)
    places: dict[str, NDArray[np.int64]] = {}
    for tile in tiles:
        for name, array in ((tensor.name, tensor.values) for tensor in _run(interpreter, tile).values()):
            if name not in places:
                ranks[name] = array.ndim
                places[name] = rng.choice(array.size, min(_VALUES_A_TILE, array.size), replace=False)
                low[name], high[name], parts[name] = np.inf, -np.inf, []
            low[name] = min(low[name], float(array.min()))
            high[name] = max(high[name], float(array.max()))
            parts[name].append(array.ravel()[places[name]])
    return {name: Seen(low[name], high[name], np.concatenate(parts[name]), ranks[name]) for name in parts}


def largest(network: bytes, tiles: NDArray[np.uint8]) -> dict[int, NDArray[np.float32]]:
    """Run a float network over tiles and keep how large each channel of its tensors gets.

    Parameters
    ----------
    network : bytes
        A ``.tflite`` with float input.
    tiles : ndarray
        Shape (n, tile, tile, 3), uint8.

    Returns
    -------
    dict of int to ndarray
        By the tensor's number; shape (channels,), float32, at least 0.
    """
    interpreter = _interpreter(network)
    found: dict[int, NDArray[np.float32]] = {}
    for tile in tiles:
        for index, tensor in _run(interpreter, tile).items():
            values = np.abs(np.atleast_1d(tensor.values))
            high = values.reshape(-1, values.shape[-1]).max(axis=0)
            found[index] = np.maximum(found[index], high) if index in found else high
    return found


def errors(exact: bytes, converted: bytes, tiles: NDArray[np.uint8]) -> tuple[LayerError, ...]:
    """Compare the activations of two types of a network, layer by layer.

    Parameters
    ----------
    exact, converted : bytes
        The float32 ``.tflite``, and one of another type.
    tiles : ndarray
        Shape (n, tile, tile, 3), uint8.

    Returns
    -------
    tuple of LayerError
        In the order of the network, of the layers that both have.
    """
    one, other = _interpreter(exact), _interpreter(converted)
    places, others = _places(exact), _places(converted)
    both = [
        pair
        for name, alike in places.items()
        if len(alike) == len(others.get(name, ()))
        for pair in zip(alike, others[name], strict=True)
    ]
    signal = {layer.index: 0.0 for layer, _ in both}
    noise = dict(signal)
    for tile in tiles:
        expected, found = _run(one, tile), _run(other, tile)
        for layer, same in both:
            values = expected[layer.index].values
            signal[layer.index] += float(np.square(values, dtype=np.float64).sum())
            noise[layer.index] += float(np.square(values - found[same.index].values, dtype=np.float64).sum())
    return tuple(
        LayerError(
            name=layer.name,
            operation=layer.operation,
            tensor=layer.tensor,
            sqnr_db=_decibels(signal[layer.index], noise[layer.index]),
        )
        for layer in graph.layers(exact)
        if layer.index in signal
    )


def _places(network: bytes) -> dict[str, list[graph.Layer]]:
    """Map the keys of layers' names to the layers called so, in their order: some differ by a number alone.

    What computes a shape, for a reshaping layer to use, has no activation.
    """
    places: dict[str, list[graph.Layer]] = defaultdict(list)
    for layer in graph.layers(network):
        if layer.operation not in ("QUANTIZE", "DEQUANTIZE") and layer.dtype not in ("int32", "int64"):
            places[graph.key(layer.tensor)].append(layer)
    return places


def _decibels(signal: float, noise: float) -> float:
    return float(10 * np.log10(max(signal, 1e-12) / max(noise, 1e-12 * signal, 1e-24)))


def _interpreter(network: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without the delegate, which keeps no tensor but its outputs.
    interpreter = Interpreter(
        model_content=network,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    with native_messages(ANNOUNCEMENT):
        interpreter.allocate_tensors()
    return interpreter


@dataclass(frozen=True, slots=True, eq=False)
class _Tensor:
    name: str
    values: NDArray[np.float32]


def _run(interpreter: Any, tile: NDArray[np.uint8]) -> dict[int, _Tensor]:
    """Run a network over a tile; what its tensors hold, by their numbers."""
    (shown,) = interpreter.get_input_details()
    batch = (tile ^ 0x80).view(np.int8) if shown["dtype"] == np.int8 else tile.astype(np.float32)
    interpreter.set_tensor(shown["index"], batch[None])
    interpreter.invoke()
    found = {}
    for details in interpreter.get_tensor_details():
        if details["dtype"] not in (np.float32, np.int8, np.int16) or not details["name"]:
            continue
        try:
            raw = interpreter.get_tensor(details["index"])
        except ValueError:
            # Room for work, not a tensor.
            continue
        scale, zero = details["quantization"]
        values = raw.astype(np.float32)
        if raw.dtype != np.float32 and scale:
            values = (values - np.float32(zero)) * np.float32(scale)
        if values.size:
            found[details["index"]] = _Tensor(details["name"], values)
    return found
