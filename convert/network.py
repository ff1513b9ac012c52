"""From a Keras network to a ``.tflite``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.errors import CalibrationRefused, NetworkUnreadable


def load(path: Path) -> Any:
    """Load a Keras network without running any code from its file.

    Parameters
    ----------
    path : Path
        A ``.keras`` file.

    Returns
    -------
    keras.Model
        One input of tiles; outputs logits and embedding.

    Raises
    ------
    NetworkUnreadable
        When it is no such network.
    """
    import keras

    try:
        network = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # On a damaged or hostile file Keras, HDF5, ZIP and JSON fail in more ways than they name.
        raise NetworkUnreadable(
            f"network {path}", _reason(error), "Give a whole .keras file, or train again"
        ) from error
    if len(network.inputs) != 1 or len(network.outputs) != 2 or any(len(o.shape) != 2 for o in network.outputs):
        found = f"has {len(network.inputs)} inputs and {len(network.outputs)} outputs"
        raise NetworkUnreadable(
            f"network {path}", found, "One input of tiles and the outputs logits and embedding are needed"
        )
    return network


def to_int8(network: Any, representative: NDArray[np.uint8]) -> bytes:
    """Quantize a network to int8 throughout, bytes in and bytes out.

    The representative dataset is shown with the darkest and the brightest tile there can be, so that the input's scale
    is 1 and its zero point -128: a byte becomes int8 by flipping its highest bit.

    Parameters
    ----------
    network : keras.Model
        Tiles, float32 0 to 255, in.
    representative : ndarray
        Shape (n, tile, tile, 3), uint8, BGR: tiles as the device will cut them.

    Returns
    -------
    bytes
        The ``.tflite``.

    Raises
    ------
    CalibrationRefused
        When the tiles have another shape than the network's input, or hold nothing.
    NetworkUnreadable
        When the network has a layer that has no int8.
    """
    shape = tuple(network.inputs[0].shape[1:])
    if representative.ndim != 4 or representative.shape[1:] != shape:
        raise CalibrationRefused("the representative dataset", f"has shape {representative.shape}, the network {shape}")
    if not len(representative) or (representative == representative[0]).all():
        raise CalibrationRefused("the representative dataset", "is empty or the same tile throughout")

    def shown() -> Iterator[list[NDArray[np.float32]]]:
        for level in (0, 255):
            yield [np.full((1, *shape), level, np.float32)]
        for tile in representative:
            yield [tile[None].astype(np.float32)]

    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = shown
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        try:
            quantized: bytes = converter.convert()
        except Exception as error:
            # ConverterError, and whatever else its many passes raise.
            raise NetworkUnreadable("the network", f"cannot be quantized: {_reason(error)}") from error
    return quantized


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
