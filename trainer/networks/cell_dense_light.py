"""Half the time of :mod:`trainer.networks.cell_dense`, and less sure of ALL and of noise (docs/ablation.md).

Where an int8 network spends its time decides its shape: channels are computed in eights, so the first layer sees pairs
of neighbours as 6 channels instead of single pixels as 3; nothing dense is computed at 32x32; average pooling has
no fast kernel, so a depthwise layer of stride 2 halves.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from trainer.networks.cell_dense import convolve

STEM = 16
ENTRY = 32
GROWTH = (16, 24, 32)
LAYERS = (2, 3, 3)
TRANSITIONS = (40, 64)
EMBEDDING = 64
DROPOUT = 0.2


def build(side_px: int, classes: int) -> Any:
    """Build the network.

    Parameters
    ----------
    side_px : int
        Side of the tiles, even.
    classes : int
        Number of classes.

    Returns
    -------
    keras.Model
        Input: tiles, float32, 0 to 255, (n, side, side, 3), BGR. Outputs: logits (n, classes) and embedding (n, 64),
        float32.
    """
    tiles = keras.Input((side_px, side_px, 3), name="tiles")
    x = layers.Rescaling(1 / 127.5, -1)(tiles)
    # Four by four pixels with stride two, as pairs: the same bytes in another shape.
    x = layers.Reshape((side_px, side_px // 2, 6))(x)
    x = convolve(x, layers.Conv2D(STEM, (4, 2), (2, 1), "same", use_bias=False))
    x = _separable(x, ENTRY, stride=2)
    for block, (growth, repeats) in enumerate(zip(GROWTH, LAYERS, strict=True)):
        for _ in range(repeats):
            x = layers.Concatenate()([x, _separable(x, growth)])
        if block < len(TRANSITIONS):
            x = _separable(x, TRANSITIONS[block], stride=2)
    x = convolve(x, layers.Conv2D(EMBEDDING, 1, use_bias=False))
    # In 32 bits also where the layers before are computed in 16.
    embedding = layers.GlobalAveragePooling2D(name="embedding", dtype="float32")(x)
    logits = layers.Dense(classes, name="logits", dtype="float32")(layers.Dropout(DROPOUT)(embedding))
    return keras.Model(tiles, [logits, embedding], name="cell_dense_light")


def _separable(x: Any, filters: int, stride: int = 1) -> Any:
    x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.98)(x)
    return convolve(x, layers.Conv2D(filters, 1, use_bias=False))
