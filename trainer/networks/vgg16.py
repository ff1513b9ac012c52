"""VGG-16, transferred, after Simonyan and Zisserman 2015, "Very deep convolutional networks ... recognition".

Its thirteen convolutions stay as ImageNet taught them and give 512 numbers a picture, the mean of the last feature map;
a dense layer of 256 units and one of a unit a class are trained on those. The convolutions learn nothing here, so that
their output needs to be computed once a picture, whatever the split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from keras import layers

from trainer.errors import WeightsUnavailable

IMAGENET = "imagenet"
UNTRAINED = "none"
EMBEDDING = 512
HIDDEN = 256
LEARNING_RATE = 1e-3

MEAN_BGR = (103.939, 116.779, 123.68)
"""Mean of ImageNet, which its weights expect to be taken off; they read blue, green, red, as OpenCV gives them."""

REMEDY = "Give a file of VGG-16 weights without the top layers, or `none`: then nothing is transferred"


def convolutions(side_px: int, weights: str = IMAGENET, seed: int = 0) -> Any:
    """Build the convolutions.

    Parameters
    ----------
    side_px : int
        Side of the pictures, at least 32.
    weights : str
        ``"imagenet"`` asks Keras, which downloads them once; ``"none"`` leaves them random, and nothing is
        transferred; anything else is a file of weights without the top layers, in a form that Keras loads
        (``….weights.h5``, or the ``….h5`` that Keras downloads).
    seed : int
        Seed of random weights.

    Returns
    -------
    keras.Model
        Input: pictures, float32, 0 to 255, (n, side, side, 3), BGR. Output: (n, 512), float32.

    Raises
    ------
    WeightsUnavailable
        When the weights cannot be downloaded, found, or loaded.
    """
    if weights not in (IMAGENET, UNTRAINED) and not Path(weights).is_file():
        raise WeightsUnavailable(f"weights {weights}", "no such file", REMEDY)
    keras.utils.set_random_seed(seed)
    shape = (side_px, side_px, 3)
    try:
        base = keras.applications.VGG16(
            include_top=False, weights=IMAGENET if weights == IMAGENET else None, input_shape=shape, pooling="avg"
        )
    # Keras raises Exception itself when it cannot download.
    except Exception as error:
        if weights != IMAGENET:
            raise
        raise WeightsUnavailable("VGG-16's ImageNet weights", "Keras could not download them", REMEDY) from error
    if weights not in (IMAGENET, UNTRAINED):
        try:
            base.load_weights(weights)
        except (ValueError, OSError, KeyError) as error:
            raise WeightsUnavailable(f"weights {weights}", str(error).splitlines()[0], REMEDY) from error
    base.trainable = False
    pictures = keras.Input(shape, name="pictures")
    centred = layers.Rescaling(1.0, [-mean for mean in MEAN_BGR])(pictures)
    return keras.Model(pictures, base(centred), name="vgg16_convolutions")


def head(classes: int) -> Any:
    """Build what is trained on the convolutions' output, compiled.

    Parameters
    ----------
    classes : int
        Number of classes.

    Returns
    -------
    keras.Model
        Input: (n, 512), float32, each number brought to mean 0 and variance 1 over the training pictures: that of
        random convolutions is too small to learn from. Output: (n, classes), probabilities.
    """
    embedding = keras.Input((EMBEDDING,), name="embedding")
    x = layers.Dense(HIDDEN, activation="relu")(embedding)
    network = keras.Model(embedding, layers.Dense(classes, activation="softmax")(x), name="vgg16_head")
    network.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE), loss="categorical_crossentropy")
    return network
