"""A ``.tflite`` taken apart: its layers, their shapes, parameters and multiply-accumulates, and the memory it needs."""

from __future__ import annotations

import functools
import re
from typing import Any

import flatbuffers
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import BundleCorrupt

_IDENTIFIER = b"TFL3"
_WITHOUT_PARAMETERS = frozenset(
    {"RESHAPE", "MEAN", "PAD", "PADV2", "STRIDED_SLICE", "TRANSPOSE", "SUM", "REDUCE_MAX", "CONCATENATION", "GATHER"}
)
"""Their constants say what to do, and are no parameters."""

WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
"""Their second input is weights, their third, if there is one, a bias."""

ACCELERATED = frozenset(
    {"ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "DIV", "ELU", "EXP"}
    | {"FULLY_CONNECTED", "HARD_SWISH", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "PAD", "PRELU"}
    | {"RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SOFTMAX", "SQUARE"}
    | {"SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV", "RSQRT", "SQRT"}
)
"""Operations of float networks that LiteRT's GPU accelerator runs, from the list in its documentation ("GPU delegates
for LiteRT", supported operations) and its operation parser; a network with another one falls back to the CPU."""


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a network.

    Attributes
    ----------
    name : str
        Name of the layer that it comes from.
    tensor : str
        Name of its output; its :func:`key` is the same in every type of a network, and may be several layers'.
    index : int
        Number of its output among the tensors.
    operation : str
        TFLite's name of it.
    shape : tuple of int
        Of its output; -1 is the number of tiles.
    dtype : str
        Of its output.
    parameters : int
        Number of its weights and biases.
    macs : int
        Multiply-accumulates a tile.
    """

    name: str
    tensor: str
    index: int
    operation: str
    shape: tuple[int, ...]
    dtype: str
    parameters: int
    macs: int


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How large a network is.

    Attributes
    ----------
    bytes : int
        Of the file.
    operations : int
        Number of its operations.
    parameters, macs : int
        Weights and biases; multiply-accumulates a tile.
    arena_bytes : int
        Largest sum of the activations that live at the same time, for one tile: the least memory to run in.
    """

    bytes: int
    operations: int
    parameters: int
    macs: int
    arena_bytes: int


def parse(network: bytes) -> Any:
    """Take a ``.tflite`` apart into the objects of TFLite's schema.

    Parameters
    ----------
    network : bytes
        The ``.tflite``.

    Returns
    -------
    ModelT
        Which :func:`pack` puts together again.

    Raises
    ------
    BundleCorrupt
        When it is none.
    """
    from ai_edge_litert import schema_py_generated as schema

    if network[4:8] != _IDENTIFIER:
        raise BundleCorrupt("the network", "is no .tflite")
    try:
        model = schema.ModelT.InitFromPackedBuf(network, 0)
    except Exception as error:
        # On altered bytes the reader of FlatBuffers fails in more ways than it names.
        raise BundleCorrupt("the network", f"is no whole .tflite: {error}") from error
    if not model.subgraphs or not model.subgraphs[0].operators:
        raise BundleCorrupt("the network", "is a .tflite without a graph")
    _take_in(model, network)
    if not _is_consistent(model):
        raise BundleCorrupt("the network", "is a .tflite whose parts do not fit each other")
    return model


def _take_in(model: Any, network: bytes) -> None:
    """Take in the constants that lie behind the FlatBuffer, as the quantizer puts those of large networks."""
    behind = [buffer for buffer in model.buffers or () if buffer.offset > 1]
    if any(buffer.offset + buffer.size > len(network) for buffer in behind):
        raise BundleCorrupt("the network", "is a .tflite whose constants lie beyond its end")
    if sum(buffer.size for buffer in behind) > len(network):
        raise BundleCorrupt("the network", "is a .tflite with more constants than it holds")
    for buffer in behind:
        buffer.data = np.frombuffer(network, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0


def _is_consistent(model: Any) -> bool:
    """Say whether all that the main graph refers to is there: a FlatBuffer is whole without it."""
    graph = model.subgraphs[0]
    if graph.tensors is None or graph.inputs is None or graph.outputs is None or not model.operatorCodes:
        return False
    tensors, types = range(len(graph.tensors)), _names("TensorType")
    return (
        all(
            tensor.buffer in range(len(model.buffers or ())) and tensor.type in types and tensor.shape is not None
            for tensor in graph.tensors
        )
        and all(index in tensors for part in (graph.inputs, graph.outputs) for index in np.asarray(part).tolist())
        and all(_is_sound(model, operator) for operator in graph.operators)
    )


def _is_sound(model: Any, operator: Any) -> bool:
    if (
        operator.inputs is None
        or operator.outputs is None
        or operator.opcodeIndex not in range(len(model.operatorCodes))
    ):
        return False
    tensors = model.subgraphs[0].tensors
    given, made = np.asarray(operator.inputs).tolist(), np.asarray(operator.outputs).tolist()
    # Of an input that may be left away the number is -1.
    if not made or not all(index in range(-1, len(tensors)) for index in given):
        return False
    if operation_name(model, operator) in WEIGHTED and (len(given) < 2 or given[1] < 0):
        return False
    return all(index in range(len(tensors)) for index in made)


def pack(model: Any) -> bytes:
    """Put a network together again; see :func:`parse`."""
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def text(value: bytes | str | None) -> str:
    """Read a text of the schema's objects, which are bytes once parsed."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def layers(network: bytes) -> tuple[Layer, ...]:
    """List a network's operations in their order.

    Parameters
    ----------
    network : bytes
        The ``.tflite``.

    Returns
    -------
    tuple of Layer
        Without those that only unpack weights.

    Raises
    ------
    BundleCorrupt
        When it is no ``.tflite``.
    """
    model = parse(network)
    graph = model.subgraphs[0]
    unpacked = _unpacked_weights(model)
    found = []
    for operator in graph.operators:
        output = graph.tensors[operator.outputs[0]]
        if operator.outputs[0] in unpacked:
            continue
        operation = operation_name(model, operator)
        given = [unpacked.get(index, index) for index in operator.inputs if index >= 0]
        constants = [index for index in given if is_constant(model, graph.tensors[index])]
        known = () if operation in _WITHOUT_PARAMETERS else constants
        found.append(
            Layer(
                name=layer_name(text(output.name)),
                tensor=text(output.name),
                index=int(operator.outputs[0]),
                operation=operation,
                shape=_shape(output),
                dtype=_dtype(output.type),
                parameters=sum(_elements(graph.tensors[index]) for index in known),
                macs=_macs(operation, output, [graph.tensors[index] for index in given]),
            )
        )
    return tuple(found)


def size(network: bytes) -> Size:
    """Say how large a network is; see :class:`Size`."""
    found = layers(network)
    return Size(
        bytes=len(network),
        operations=len(found),
        parameters=sum(layer.parameters for layer in found),
        macs=sum(layer.macs for layer in found),
        arena_bytes=_arena_bytes(parse(network)),
    )


def not_accelerated(network: bytes) -> tuple[str, ...]:
    """Name the layers, with their operations, that the GPU does not run; none: all of it runs there."""
    return tuple(f"{each.name} ({each.operation})" for each in layers(network) if each.operation not in ACCELERATED)


def operation_name(model: Any, operator: Any) -> str:
    """Name an operator as TFLite does, such as ``CONV_2D``."""
    code = model.operatorCodes[operator.opcodeIndex]
    # Before there were more than 127 operations, their code was a byte.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _names("BuiltinOperator").get(number, f"operation {number}")


@functools.cache
def _names(enumeration: str) -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    return {value: name for name, value in vars(getattr(schema, enumeration)).items() if isinstance(value, int)}


def _dtype(number: int) -> str:
    return _names("TensorType")[number].lower()


def _unpacked_weights(model: Any) -> dict[int, int]:
    """Map tensors that an operation makes of a constant, such as float32 of float16 weights, to that constant."""
    graph = model.subgraphs[0]
    return {
        operator.outputs[0]: operator.inputs[0]
        for operator in graph.operators
        if operation_name(model, operator) == "DEQUANTIZE"
        and len(operator.inputs)
        and is_constant(model, graph.tensors[operator.inputs[0]])
    }


def is_constant(model: Any, tensor: Any) -> bool:
    """Say whether a tensor holds what the file says, and is not computed."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def constant(model: Any, index: int, dtype: type[np.generic]) -> NDArray[Any] | None:
    """Give the values of the tensor of a number, when it is a constant of that type; else None."""
    tensor = model.subgraphs[0].tensors[index]
    if not is_constant(model, tensor) or _dtype(tensor.type) != np.dtype(dtype).name:
        return None
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype).reshape(_shape(tensor))


def _shape(tensor: Any) -> tuple[int, ...]:
    found = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return tuple(int(side) for side in (found if found is not None else ()))


def _elements(tensor: Any) -> int:
    # One tile: TFLite writes 1 where any number may be.
    return int(np.prod([abs(side) for side in _shape(tensor)] or [1]))


def _macs(operation: str, output: Any, given: list[Any]) -> int:
    if operation not in WEIGHTED:
        return 0
    kernel = _shape(given[1])
    # Kernels are (out, height, width, in), (1, height, width, channels) and (out, in).
    each = int(np.prod(kernel[1:3])) if operation == "DEPTHWISE_CONV_2D" else int(np.prod(kernel[1:]))
    return _elements(output) * each


def _arena_bytes(model: Any) -> int:
    graph = model.subgraphs[0]
    last: dict[int, int] = dict.fromkeys(np.asarray(graph.outputs).tolist(), len(graph.operators))
    first: dict[int, int] = dict.fromkeys(np.asarray(graph.inputs).tolist(), 0)
    for time, operator in enumerate(graph.operators):
        for index in np.asarray(operator.inputs).tolist():
            last[index] = max(last.get(index, 0), time)
        for index in np.asarray(operator.outputs).tolist():
            first.setdefault(index, time)
    sizes = {index: _elements(graph.tensors[index]) * _item_bytes(graph.tensors[index].type) for index in first}
    return max(
        sum(sizes[index] for index, begun in first.items() if begun <= time <= last.get(index, begun))
        for time in range(len(graph.operators))
    )


def _item_bytes(number: int) -> int:
    return {"float32": 4, "int32": 4, "int16": 2, "float16": 2, "int64": 8}.get(_dtype(number), 1)


def key(tensor: str) -> str:
    """Strip a tensor's name of what the converter and the quantizer put behind it, which differs from type to type."""
    return re.sub(r"\d*(_quantized|_dequant)?\Z", "", tensor)


def layer_name(tensor: str) -> str:
    """Shorten what the converter calls a tensor, ``functional/conv/Relu6;functional/conv/convolution``, to ``conv``."""
    last = [part for part in tensor.split(";") if part][-1:] or [tensor]
    pieces = [piece for piece in last[0].split("/") if not re.fullmatch(r"(functional|sequential)(_\d+)*", piece)]
    return "/".join(pieces[:-1]) or pieces[-1]
