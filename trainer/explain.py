"""Where in a tile the network saw its class."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


def activation_maps(network: Any, tiles: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Class activation maps (Zhou et al. 2016, "Learning deep features for discriminative localization").

    Parameters
    ----------
    network : keras.Model
        Tiles to logits and embedding; exact where the embedding is a global average pooling and the logits are
        linear in it.
    tiles : ndarray
        Shape (n, side, side, 3), uint8, BGR.

    Returns
    -------
    ndarray or None
        Shape (n, rows, columns, classes), float32: what each place adds to each class's logit, over the mean of the
        classes; None for a network whose embedding is made otherwise.
    """
    embedding = next((layer for layer in network.layers if layer.name == "embedding"), None)
    logits = next((layer for layer in network.layers if layer.name == "logits"), None)
    if not isinstance(embedding, keras.layers.GlobalAveragePooling2D) or not isinstance(logits, keras.layers.Dense):
        return None
    places = keras.Model(network.input, embedding.input)
    # Called, not predicted with: a model is made for few tiles, and compiling it would take longer than they do.
    seen = np.asarray(keras.ops.convert_to_numpy(places(tiles.astype(np.float32), training=False)))
    maps = seen @ np.asarray(keras.ops.convert_to_numpy(logits.kernel))
    return np.asarray(maps - maps.mean(axis=-1, keepdims=True), np.float32)
