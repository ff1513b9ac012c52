"""A network as other programs want it: RGB in, one probability a class out, nothing else.

Image classifiers elsewhere, MediaPipe's among them, hand a network RGB pixels, float or uint8, and expect scores of
the classes from its only output. Ours take BGR and give logits and an embedding. What is done to a ``.tflite`` here
changes no decision: the first convolution's kernel is mirrored along its input channels, the embedding stops being an
output, and a softmax is put behind the logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert import graph, metadata
from convert.errors import ExportRefused
from edge.model.description import Description

_CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})
_EACH_PIXEL = frozenset({"ADD", "SUB", "MUL", "DIV", "CAST", "QUANTIZE", "DEQUANTIZE", "RELU", "RELU6", "PAD"})
_REMEDY = "Export it as onnx, or give other programs BGR tiles and the .tflite of the bundle"


def for_others(network: bytes, description: Description) -> bytes:
    """Make a network that takes RGB and gives probabilities.

    Parameters
    ----------
    network : bytes
        The ``.tflite`` of a bundle.
    description : Description
        The model's.

    Returns
    -------
    bytes
        The ``.tflite``, with standard metadata.

    Raises
    ------
    ExportRefused
        When its input cannot be turned.
    """
    model = graph.parse(network)
    _mirror_channels(model)
    _probabilities_only(model, len(description.classes))
    _bytes_at_the_ends(model)
    return metadata.describe(graph.pack(model), description, order="RGB", scores=True)


def _mirror_channels(model: Any) -> None:
    subgraph = model.subgraphs[0]
    reached = {int(index) for index in subgraph.inputs}
    turned = False
    mirrored: set[int] = set()
    for operator in subgraph.operators:
        given = [int(index) for index in operator.inputs]
        if not reached & set(given):
            continue
        operation = graph.operation_name(model, operator)
        if operation in _CONVOLUTIONS:
            if operation == "DEPTHWISE_CONV_2D":
                raise ExportRefused("the network", "begins with a depthwise convolution", _REMEDY)
            _mirror(model, _source(model, given[1]), mirrored)
            turned = True
            continue
        if operation not in _EACH_PIXEL:
            raise ExportRefused("the network", f"does {operation} before its first convolution", _REMEDY)
        for index in set(given) - reached:
            if operation != "PAD" and subgraph.tensors[index].shape is not None:
                _mirror(model, _source(model, index), mirrored)
        reached |= {int(index) for index in operator.outputs}
    if not turned:
        raise ExportRefused("the network", "has no convolution behind its input", _REMEDY)


def _source(model: Any, index: int) -> int:
    """Find the constant that a tensor is unpacked from, or is."""
    for operator in model.subgraphs[0].operators:
        if int(operator.outputs[0]) == index and graph.operation_name(model, operator) == "DEQUANTIZE":
            return int(operator.inputs[0])
    return index


def _mirror(model: Any, index: int, mirrored: set[int]) -> None:
    tensor = model.subgraphs[0].tensors[index]
    shape = tuple(int(side) for side in tensor.shape) if tensor.shape is not None else ()
    if not shape or shape[-1] == 1 or tensor.buffer in mirrored:
        return
    buffer = model.buffers[tensor.buffer]
    if shape[-1] != 3 or buffer.data is None or len(buffer.data) % int(np.prod(shape)):
        raise ExportRefused("the network", "has another number of channels than 3 at its input", _REMEDY)
    raw = np.frombuffer(bytes(buffer.data), np.uint8).reshape(*shape, -1)
    buffer.data = np.ascontiguousarray(np.flip(raw, -2)).ravel()
    mirrored.add(tensor.buffer)


def _probabilities_only(model: Any, classes: int) -> None:
    from ai_edge_litert import schema_py_generated as schema

    subgraph = model.subgraphs[0]
    (logits,) = (int(index) for index in subgraph.outputs if subgraph.tensors[index].shape[-1] == classes)
    is_int8 = subgraph.tensors[logits].type == schema.TensorType.INT8
    scores = _tensor(model, "scores", logits, None if not is_int8 else ("INT8", 1 / 256, -128))
    softmax = _operator(model, "SOFTMAX", logits, scores, 2 if is_int8 else 1)
    softmax.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
    softmax.builtinOptions = schema.SoftmaxOptionsT()
    softmax.builtinOptions.beta = 1.0
    subgraph.operators.append(softmax)
    subgraph.outputs = [scores]


def _bytes_at_the_ends(model: Any) -> None:
    """Let an int8 network take and give uint8, as others know bytes: the same numbers, 128 higher."""
    from ai_edge_litert import schema_py_generated as schema

    subgraph = model.subgraphs[0]
    (shown,) = (int(index) for index in subgraph.inputs)
    if subgraph.tensors[shown].type == schema.TensorType.INT8:
        subgraph.tensors[shown].name = "tiles_int8"
        pixels = _tensor(model, "tiles", shown, ("UINT8", 1.0, 0))
        subgraph.operators.insert(0, _operator(model, "QUANTIZE", pixels, shown, 2))
        subgraph.inputs = [pixels]
    (scores,) = (int(index) for index in subgraph.outputs)
    if subgraph.tensors[scores].type == schema.TensorType.INT8:
        subgraph.tensors[scores].name = "scores_int8"
        levels = _tensor(model, "scores", scores, ("UINT8", 1 / 256, 0))
        subgraph.operators.append(_operator(model, "QUANTIZE", scores, levels, 2))
        subgraph.outputs = [levels]


def _tensor(model: Any, name: str, like: int, quantized: tuple[str, float, int] | None) -> int:
    """Add a tensor of another's shape; give its number."""
    from ai_edge_litert import schema_py_generated as schema

    tensors = model.subgraphs[0].tensors
    made, model_of = schema.TensorT(), tensors[like]
    made.name, made.shape, made.shapeSignature, made.buffer = name, model_of.shape, model_of.shapeSignature, 0
    made.type, made.hasRank = model_of.type, True
    if quantized is not None:
        kind, scale, zero = quantized
        made.type = getattr(schema.TensorType, kind)
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [scale], [zero]
    tensors.append(made)
    return len(tensors) - 1


def _operator(model: Any, name: str, given: int, made: int, version: int) -> Any:
    """Make an operator of one input and one output, to be put into the graph."""
    from ai_edge_litert import schema_py_generated as schema

    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode, code.version = code.builtinCode, version
    model.operatorCodes.append(code)
    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs, operator.outputs = [given], [made]
    return operator
