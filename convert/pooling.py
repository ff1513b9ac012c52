"""Average pooling of int8 networks, written as what the device's CPU has fast kernels for.

XNNPACK runs int8 convolutions and leaves int8 average pooling to TFLite's plain loops, which are slow and part the
network into pieces that are handed over one by one. A depthwise convolution of ones, with the scale of a mean, is the
same arithmetic: it differs by at most one step, where the mean lies halfway between two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import graph

_WIDEST_WINDOW = 25
"""Elements: the largest depthwise kernel that XNNPACK has for int8 takes 5 x 5."""


def as_convolutions(network: bytes) -> bytes:
    """Replace int8 average pooling by depthwise convolutions.

    A pool stays as it is when its window reaches over the border, where fewer values are averaged, is larger than
    5 x 5, or is not of int8.

    Parameters
    ----------
    network : bytes
        The ``.tflite``.

    Returns
    -------
    bytes
        The ``.tflite``, with the same tensors in the same places; unchanged when it has no such pool.

    Raises
    ------
    BundleCorrupt
        When it is no ``.tflite``.
    """
    model = graph.parse(network)
    pools = [operator for operator in model.subgraphs[0].operators if _is_replaceable(model, operator)]
    for operator in pools:
        _replace(model, operator)
    return graph.pack(model) if pools else network


def _is_replaceable(model: Any, operator: Any) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    if graph.operation_name(model, operator) != "AVERAGE_POOL_2D":
        return False
    given, made = (model.subgraphs[0].tensors[index] for index in (operator.inputs[0], operator.outputs[0]))
    pool = operator.builtinOptions
    window, strides = (pool.filterHeight, pool.filterWidth), (pool.strideH, pool.strideW)
    covered = [
        (count - 1) * stride + side for count, stride, side in zip(made.shape[1:3], strides, window, strict=True)
    ]
    return (
        given.type == made.type == schema.TensorType.INT8
        and math.prod(window) <= _WIDEST_WINDOW
        and all(span <= side for span, side in zip(covered, given.shape[1:3], strict=True))
    )


def _replace(model: Any, operator: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    pool = operator.builtinOptions
    given = model.subgraphs[0].tensors[operator.inputs[0]]
    channels, share = int(given.shape[3]), 1 / (pool.filterHeight * pool.filterWidth)
    name = graph.text(model.subgraphs[0].tensors[operator.outputs[0]].name)
    ones = np.ones((1, pool.filterHeight, pool.filterWidth, channels), np.int8)
    weights = _constant(model, f"{name}/ones", ones, share)
    bias = _constant(model, f"{name}/bias", np.zeros(channels, np.int32), float(given.quantization.scale[0]) * share)
    convolution = schema.DepthwiseConv2DOptionsT()
    convolution.padding = pool.padding
    convolution.strideH, convolution.strideW = pool.strideH, pool.strideW
    convolution.fusedActivationFunction = pool.fusedActivationFunction
    convolution.depthMultiplier = convolution.dilationHFactor = convolution.dilationWFactor = 1
    operator.inputs = [operator.inputs[0], weights, bias]
    operator.opcodeIndex = _opcode(model, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
    operator.builtinOptionsType = schema.BuiltinOptions.DepthwiseConv2DOptions
    operator.builtinOptions = convolution


def _constant(model: Any, name: str, values: NDArray[Any], scale: float) -> int:
    """Add a constant with one scale for each of its last dimension, and give its number among the tensors."""
    from ai_edge_litert import schema_py_generated as schema

    buffer, tensor, quantization = schema.BufferT(), schema.TensorT(), schema.QuantizationParametersT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    quantization.scale = np.full(values.shape[-1], scale, np.float32)
    quantization.zeroPoint = np.zeros(values.shape[-1], np.int64)
    quantization.quantizedDimension = values.ndim - 1
    tensor.name, tensor.shape, tensor.quantization = name, list(values.shape), quantization
    tensor.type = getattr(schema.TensorType, values.dtype.name.upper())
    tensor.buffer = len(model.buffers)
    model.buffers.append(buffer)
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def _opcode(model: Any, code: int) -> int:
    """Find an operation in the network's list of those that it has, or add it, and give its place there."""
    from ai_edge_litert import schema_py_generated as schema

    for place, known in enumerate(model.operatorCodes):
        if max(known.builtinCode, known.deprecatedBuiltinCode) == code:
            return place
    added = schema.OperatorCodeT()
    added.builtinCode = added.deprecatedBuiltinCode = code
    # Depthwise convolutions of int8 came with this one.
    added.version = 3
    model.operatorCodes.append(added)
    return len(model.operatorCodes) - 1
