"""From a frozen network to a ``.tflite`` of each type, by TensorFlow's converter."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import graph, pooling
from convert.errors import NetworkUnreadable, reason
from convert.network import Network
from edge.model.description import Kind

_INSTEAD = "Use convolutions, pooling, dense layers and elementwise functions instead"


def convert(network: Network, kind: Kind, representative: NDArray[np.uint8]) -> bytes:
    """Convert a network to one type.

    For int8 the representative dataset is shown with the darkest and the brightest tile there can be, so that the
    input's scale is 1 and its zero point -128: a byte becomes int8 by flipping its highest bit. Weights of
    convolutions have a scale for each output channel; average pooling is one of them (:mod:`convert.pooling`).

    Parameters
    ----------
    network : Network
        Tiles, float32 0 to 255, in.
    kind : str
        ``int8`` (throughout, bytes in and out), ``float16`` (weights), ``float32`` or ``dynamic`` (int8 weights).
    representative : ndarray
        Shape (n, tile, tile, 3), uint8, BGR: tiles as the device will cut them; only int8 looks at them.

    Returns
    -------
    bytes
        The ``.tflite``.

    Raises
    ------
    NetworkUnreadable
        When the network has an operation that TFLite lacks.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.function])
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        converter.representative_dataset = lambda: _shown(representative)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        try:
            converted: bytes = converter.convert()
        except Exception as error:
            # ConverterError, and whatever else its many passes raise.
            raise _refusal(network, kind, error) from error
    return pooling.as_convolutions(converted) if kind == "int8" else converted


def _shown(representative: NDArray[np.uint8]) -> Iterator[list[NDArray[np.float32]]]:
    for level in (0, 255):
        yield [np.full((1, *representative.shape[1:]), level, np.float32)]
    for tile in representative:
        yield [tile[None].astype(np.float32)]


def _refusal(network: Network, kind: Kind, error: Exception) -> NetworkUnreadable:
    lacking = sorted(set(re.findall(r"'tf\.(\w+)' op (?:is neither|requires)", str(error))))
    if not lacking:
        return NetworkUnreadable("the network", f"cannot be converted to {kind}: {reason(error)}")
    layers = sorted({_layer(op) for op in network.function.graph.get_operations() if op.type in lacking})
    why = f"TFLite has no {', '.join(lacking)}, of layer {', '.join(layers) or 'unknown'}"
    return NetworkUnreadable("the network", why, _INSTEAD)


def _layer(operation: Any) -> str:
    return graph.layer_name(str(operation.name)).rpartition("/")[2]
