"""The deployed network: compact, densely connected, depthwise separable, made for int8 on a small processor.

Dense connections (Huang et al. 2017, "Densely connected convolutional networks") let a layer of 16 filters see all
before it, so that few filters are enough; depthwise separable convolutions (Howard et al. 2017, "MobileNets") make each
cheap; ReLU6 bounds every activation, so that int8 has a step fine enough.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

STEM = 16
GROWTH = (16, 16, 24)
LAYERS = (1, 3, 4)
COMPRESSION = 0.66
EMBEDDING = 64
DROPOUT = 0.2


def build(side_px: int, classes: int) -> Any:
    """Build the network.

    Parameters
    ----------
    side_px : int
        Side of the tiles.
    classes : int
        Number of classes.

    Returns
    -------
    keras.Model
        Input: tiles, float32, 0 to 255, (n, side, side, 3), BGR. Outputs: logits (n, classes) and embedding (n, 64).
    """
    tiles = keras.Input((side_px, side_px, 3), name="tiles")
    x = layers.Rescaling(1 / 127.5, -1)(tiles)
    x = convolve(x, layers.Conv2D(STEM, 3, 2, "same", use_bias=False))
    for block, (growth, repeats) in enumerate(zip(GROWTH, LAYERS, strict=True)):
        for _ in range(repeats):
            grown = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
            grown = layers.BatchNormalization(momentum=0.98)(grown)
            grown = convolve(grown, layers.Conv2D(growth, 1, use_bias=False))
            x = layers.Concatenate()([x, grown])
        if block < len(GROWTH) - 1:
            narrow = int(x.shape[-1] * COMPRESSION) // 8 * 8
            x = convolve(x, layers.Conv2D(narrow, 1, use_bias=False))
            x = layers.AveragePooling2D(2)(x)
    x = convolve(x, layers.Conv2D(EMBEDDING, 1, use_bias=False))
    # In 32 bits also where the layers before are computed in 16.
    embedding = layers.GlobalAveragePooling2D(name="embedding", dtype="float32")(x)
    logits = layers.Dense(classes, name="logits", dtype="float32")(layers.Dropout(DROPOUT)(embedding))
    return keras.Model(tiles, [logits, embedding], name="cell_dense")


def convolve(x: Any, layer: Any) -> Any:
    """Apply a layer, batch normalisation and ReLU6."""
    return layers.ReLU(6)(layers.BatchNormalization(momentum=0.98)(layer(x)))
