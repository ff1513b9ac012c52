"""The network of the paper: two convolutions with max pooling, five dense layers, softmax inside, sigmoid out.

The paper ("Using Convolutional Neural Networks for Automatic White Blood Cell Cancer Detection from Bone Marrow
Microscopic Images", after Kumar et al., IEEE Access 2020) says: two convolutions with max pooling, five dense layers,
softmax and sigmoid activations, Adam at a learning rate of 0.01, cross-entropy, 1,000 iterations, a loss of 0.5034 at
the end. What it leaves open is chosen here so:

- The sigmoid stands behind a softmax. The two are rarely stacked, but the paper's loss says that it did so: with two
  classes a faultless network then gives sigmoid(1) = 0.7311 and sigmoid(0) = 0.5, whose binary cross-entropy is
  (-ln 0.7311 - ln 0.5) / 2 = 0.5032. No smaller loss is possible, and 0.5034 is next to it; either activation alone
  would have come near 0.
- That softmax is the fifth dense layer, a unit a class; the four before it have 32, 16, 16 and 8 units and leaky ReLU.
  With softmax in all five it learned late, or not at all, in trials of 180 steps.
- Convolutions: 8 filters of 5x5 pixels, every second pixel; 16 of 3x3; leaky ReLU. Pooling over 4x4, then down to 3x3,
  so that the dense layers see 144 numbers. It has to be few: trials with 1,300 inputs and more stayed at one class.
- Each picture's levels are brought to mean 0 and variance 1: trials on levels divided by 255, which are nearly all
  bright, did not learn.
- Adam's epsilon is 0.1. Behind a softmax and a sigmoid the gradients are small, and with Keras's 1e-7 each step moves
  every weight by about the learning rate however small they are, until the softmax has no gradient at all: with it and
  ReLU, 23 of 24 trainings of 1,000 steps ended at losses of 0.71 to 0.77, those of chance (2026-11-26). With 0.1, leaky
  ReLU and He's weights to begin with 23 of 24 end at 0.51 to 0.61, and one still stayed at one class (0.758); such a
  training is begun anew (:class:`trainer.paper.systems.Network`).
- The batch is of 16 pictures, classes alike (:mod:`trainer.paper.systems`).
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers

FILTERS = (8, 16)
DENSE = (32, 16, 16, 8)
LEARNING_RATE = 0.01
EPSILON = 0.1
SEEN = 3
"""Largest side of what the dense layers see."""


def build(side_px: int, classes: int) -> Any:
    """Build the network, compiled with the paper's optimizer and loss.

    Parameters
    ----------
    side_px : int
        Side of the pictures, at least 43.
    classes : int
        Number of classes, 2 in the paper.

    Returns
    -------
    keras.Model
        Input: pictures, float32, 0 to 255, (n, side, side, 3), BGR. Output: (n, classes), 0.5 to 0.7311, highest for
        the class called.
    """
    pictures = keras.Input((side_px, side_px, 3), name="pictures")
    x = layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False)(pictures)
    x = layers.Conv2D(FILTERS[0], 5, 2, activation="leaky_relu")(x)
    x = layers.MaxPooling2D(4)(x)
    x = layers.Conv2D(FILTERS[1], 3, activation="leaky_relu")(x)
    x = layers.Flatten()(layers.MaxPooling2D(math.ceil(x.shape[1] / SEEN))(x))
    for units in DENSE:
        x = layers.Dense(units, activation="leaky_relu", kernel_initializer="he_normal")(x)
    x = layers.Dense(classes, activation="softmax")(x)
    network = keras.Model(pictures, layers.Activation("sigmoid")(x), name="paper")
    network.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON), loss="binary_crossentropy")
    return network


def least_loss(classes: int) -> float:
    """Compute the loss of a faultless network: that of one unit at sigmoid(1) and the others at sigmoid(0).

    Parameters
    ----------
    classes : int
        Number of classes.

    Returns
    -------
    float
        0.5032 for two classes.
    """
    return (math.log1p(math.exp(-1)) + (classes - 1) * math.log(2)) / classes
