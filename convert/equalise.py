"""Cross-layer equalisation: channels that share a step are brought to one range before they are rounded.

An activation of int8 has one step for all of its channels, so that a channel of small values is rounded coarsely. Where
nothing but weights stands before and behind it, a channel can be made larger, and what reads it smaller, by the same
factor, and the network computes what it did (Nagel et al. 2019, "Data-free quantization through weight equalization and
bias correction", section 4.1). Weights have a step for each output channel, so that only the activations, as they were
seen to be, decide here.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import activations, graph

_DEPTHWISE = "DEPTHWISE_CONV_2D"
_SAME_CHANNELS = frozenset({"AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "PAD", "RELU", "RELU6"})
_UNBOUNDED, _RELU6 = (0, 1), 3
"""Of ``ActivationFunctionType``: none and ReLU, and ReLU6; behind any other a channel cannot grow."""

_RELU6_REACH = 6 / 1.05
"""How high a channel may grow under ReLU6: tiles that were not seen reach higher, and would be cut off."""

_MOST_GROWTH = 100.0
"""Of a channel that hardly ever says anything: weights behind it would be rounded to nothing."""


def equalised(exact: bytes, tiles: NDArray[np.uint8]) -> bytes:
    """Equalise the channels of a network.

    Parameters
    ----------
    exact : bytes
        The float32 ``.tflite``.
    tiles : ndarray
        Shape (n, tile, tile, 3), uint8: the representative dataset.

    Returns
    -------
    bytes
        The float32 ``.tflite`` with the same layers and other weights; of those tiles it says the same.
    """
    model = graph.parse(exact)
    channels = _Channels(model)
    growth = channels.growth(activations.largest(exact, tiles))
    for operator in channels.weighted:
        read, made = (growth[channels.of[int(index)]] for index in (operator.inputs[0], operator.outputs[0]))
        if graph.operation_name(model, operator) == _DEPTHWISE:
            factors = made / read
        else:
            factors = made.reshape(-1, *[1] * (len(_shape(model, operator.inputs[1])) - 1)) / read
        _multiply(model, operator, 1, factors)
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            _multiply(model, operator, 2, made)
    return graph.pack(model)


class _Channels:
    """The channels of all activations, numbered: those that can only grow together have one number.

    Attributes
    ----------
    of : dict
        Number of each channel of an activation, by the activation's number among the tensors.
    weighted : list
        Operators between whose input and output a factor can be moved.
    """

    def __init__(self, model: Any) -> None:
        self.of: dict[int, NDArray[np.intp]] = {}
        self.weighted: list[Any] = []
        self._model = model
        self._count = 0
        self._fixed: set[int] = set()
        self._bounded: set[int] = set()
        part = model.subgraphs[0]
        self._uses = Counter(int(index) for operator in part.operators for index in operator.inputs)
        self._begin(part.inputs)
        self._fix(part.inputs)
        for operator in part.operators:
            self._follow(operator)
        self._fix(part.outputs)

    def growth(self, largest: dict[int, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Say how much the channels of each number can grow, at least 1, by the largest values of each activation."""
        found = np.full(self._count, np.inf, np.float32)
        for index, numbers in self.of.items():
            seen = largest.get(index)
            if seen is None or seen.shape != numbers.shape:
                # What has no name, or computes a shape.
                np.minimum.at(found, numbers, 1)
                continue
            reach = min(seen.max(), np.float32(_RELU6_REACH)) if index in self._bounded else seen.max()
            np.minimum.at(found, numbers, reach / np.maximum(seen, reach / _MOST_GROWTH + np.float32(1e-30)))
        found[list(self._fixed)] = 1
        return np.maximum(found, 1)

    def _follow(self, operator: Any) -> None:
        name = graph.operation_name(self._model, operator)
        read = [int(index) for index in operator.inputs if int(index) in self.of]
        made = int(operator.outputs[0])
        width = _shape(self._model, made)[-1:]
        alike = all(_shape(self._model, index)[-1:] == width for index in read)
        function = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        if name in graph.WEIGHTED and self._is_plain(operator):
            self.weighted.append(operator)
            self._begin([made])
        elif name in _SAME_CHANNELS and read and alike and not self._is_mean_of_channels(name, operator):
            self.of[made] = self.of[read[0]]
        elif name == "CONCATENATION" and len(read) == len(operator.inputs) and self._is_of_channels(operator, made):
            self.of[made] = np.concatenate([self.of[index] for index in read])
        elif name == "ADD" and len(read) == 2 and alike:
            self._join(*read)
            self.of[made] = self.of[read[0]]
        else:
            self._fix(read)
            self._begin(operator.outputs)
            self._fix(operator.outputs)
        if function == _RELU6 or name == "RELU6":
            self._bounded.add(made)
        elif function not in _UNBOUNDED:
            self._fix([made])

    def _begin(self, indices: Any) -> None:
        for index in indices:
            width = (_shape(self._model, index) or (1,))[-1]
            self.of[int(index)] = np.arange(self._count, self._count + width)
            self._count += width

    def _fix(self, indices: Any) -> None:
        for index in indices:
            self._fixed.update(self.of[int(index)].tolist())

    def _join(self, one: int, other: int) -> None:
        for kept, gone in zip(self.of[one].tolist(), self.of[other].tolist(), strict=True):
            if gone in self._fixed:
                self._fixed.add(kept)
            for numbers in self.of.values():
                numbers[numbers == gone] = kept

    def _is_plain(self, operator: Any) -> bool:
        """Say whether its weights are its own, in float32, and one for each channel that it reads."""
        read, weights, *bias = (int(index) for index in operator.inputs if index >= 0)
        return (
            read in self.of
            and self._uses[weights] == 1
            and all(graph.constant(self._model, index, np.float32) is not None for index in (weights, *bias))
            and _shape(self._model, weights)[-1] == _shape(self._model, read)[-1]
        )

    def _is_mean_of_channels(self, name: str, operator: Any) -> bool:
        if name != "MEAN":
            return False
        axes = graph.constant(self._model, operator.inputs[1], np.int32)
        last = len(_shape(self._model, operator.inputs[0])) - 1
        return axes is None or not {-1, last}.isdisjoint(axes.ravel().tolist())

    def _is_of_channels(self, operator: Any, made: int) -> bool:
        return int(operator.builtinOptions.axis) in (-1, len(_shape(self._model, made)) - 1)


def _shape(model: Any, index: int) -> tuple[int, ...]:
    """Give the shape of a tensor for one tile, without what may be any number."""
    return tuple(np.asarray(model.subgraphs[0].tensors[int(index)].shape).tolist())


def _multiply(model: Any, operator: Any, place: int, factors: NDArray[np.float32]) -> None:
    """Multiply one of an operator's constants, without a change to another's that is the same so far."""
    tensors, index = model.subgraphs[0].tensors, int(operator.inputs[place])
    values = graph.constant(model, index, np.float32)
    assert values is not None  # for the type checker: only constants are multiplied
    if sum(index in each.inputs for each in model.subgraphs[0].operators) > 1:
        own = copy.copy(tensors[index])
        own.name = f"{graph.text(own.name)}/{len(tensors)}"
        tensors.append(own)
        index = len(tensors) - 1
        operator.inputs = [*operator.inputs[:place], index, *operator.inputs[place + 1 :]]
    if sum(each.buffer == tensors[index].buffer for each in tensors) > 1:
        model.buffers.append(copy.copy(model.buffers[tensors[index].buffer]))
        tensors[index].buffer = len(model.buffers) - 1
    model.buffers[tensors[index].buffer].data = np.frombuffer((values * factors).astype(np.float32).tobytes(), np.uint8)
