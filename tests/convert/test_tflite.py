"""Every type of a network, by TensorFlow's converter; what TFLite lacks is named with its layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert import network as networks
from convert import tflite
from convert.errors import NetworkUnreadable
from edge.model import runtime


def test_each_type_decides_as_the_network(network, tiles, whole):
    exact, _ = networks.of_keras(network, Path("x")).run(tiles)
    allowed = {"float32": 1e-4, "float16": 0.05, "dynamic": 0.5, "int8": 1.0}
    bundle, _ = whole
    for kind, most in allowed.items():
        loaded = runtime.load(bundle.networks[kind], 3)
        assert (loaded.logit_step > 0) == (kind == "int8")
        assert np.abs(loaded.run(tiles).logits - exact).max() < most


def test_bytes_are_the_grid_of_the_input(whole):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=whole[0].networks["int8"])
    (shown,) = interpreter.get_input_details()
    assert (shown["dtype"], shown["quantization"]) == (np.int8, (1.0, -128))
    assert {output["dtype"] for output in interpreter.get_output_details()} == {np.int8}


def test_an_operation_that_tflite_lacks_is_named_with_its_layer(tiles):
    import keras
    from keras import layers

    class Digamma(layers.Layer):
        def call(self, x):
            import tensorflow as tf

            return tf.math.digamma(x)

    shown = keras.Input((32, 32, 3))
    embedding = layers.GlobalAveragePooling2D()(Digamma(name="psi")(layers.Conv2D(4, 3)(shown)))
    network = networks.of_keras(keras.Model(shown, [layers.Dense(3)(embedding), embedding]), Path("x"))
    with pytest.raises(NetworkUnreadable, match=r"TFLite has no Digamma, of layer psi.*instead"):
        tflite.convert(network, "int8", tiles)


def test_the_layer_is_named_and_not_the_network_that_it_is_in(tiles):
    import keras
    from keras import layers, ops

    shown = keras.Input((32, 32, 3))
    rolled = ops.roll(layers.Conv2D(4, 3)(shown), 1, axis=1)
    memory = layers.LSTM(4, name="memory")(layers.Reshape((32, 96))(shown))
    for embedding, told in (
        (layers.GlobalAveragePooling2D()(rolled), r"TFLite has no Roll, of layer Roll\."),
        (memory, r"TFLite has no TensorListReserve, of layer memory"),
    ):
        network = networks.of_keras(keras.Model(shown, [layers.Dense(3)(embedding), embedding]), Path("x"))
        with pytest.raises(NetworkUnreadable, match=told):
            tflite.convert(network, "float32", tiles)
