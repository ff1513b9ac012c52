"""Equalised, a network says the same, and its channels are of one size wherever nothing but weights stands between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert import activations, equalise, graph, mending, tflite
from convert import network as networks
from edge.errors import BundleCorrupt
from edge.model import runtime

SIDE_PX = 16


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (24, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def uneven(model):
    """Make some channels of every weighted layer much larger than others."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if layer.weights:
            kernel, *bias = layer.get_weights()
            axis = 2 if kernel.shape[-1] == 1 else kernel.ndim - 1
            factors = np.exp(rng.normal(0, 1, kernel.shape[axis])).astype(np.float32)
            shape = [1] * kernel.ndim
            shape[axis] = -1
            layer.set_weights([kernel * factors.reshape(shape), *(each * factors for each in bias)])
    return model


def built(build):
    """Build a network with uneven channels."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    shown = keras.Input((SIDE_PX, SIDE_PX, 3))
    embedding = build(layers.Rescaling(1 / 127.5, -1)(shown))
    model = uneven(keras.Model(shown, [layers.Dense(3)(embedding), embedding]))
    return networks.of_keras(model, Path("x"))


def exactly(build, tiles):
    """Build such a network and convert it to float32."""
    return tflite.convert(built(build), "float32", tiles)


def dense(x):
    from keras import layers

    x = layers.ReLU(6)(layers.Conv2D(8, 3, 2, "same")(x))
    grown = layers.ReLU(6)(layers.Conv2D(8, 1)(layers.DepthwiseConv2D(3, padding="same")(x)))
    x = layers.AveragePooling2D(2)(layers.ReLU(6)(layers.Conv2D(12, 1)(layers.Concatenate()([x, grown]))))
    return layers.GlobalAveragePooling2D()(layers.ReLU(6)(layers.Conv2D(10, 1)(x)))


def residual(x):
    from keras import layers

    narrow = layers.Conv2D(6, 3, 2, "same")(x)
    wide = layers.ReLU()(layers.Conv2D(16, 1)(narrow))
    x = layers.Add()([narrow, layers.Conv2D(6, 1)(layers.MaxPooling2D(1)(wide))])
    return layers.GlobalAveragePooling2D()(layers.ReLU(6)(layers.Conv2D(8, 1)(x)))


def bent(x):
    from keras import layers

    x = layers.Conv2D(8, 3, activation="tanh")(x)
    return layers.GlobalAveragePooling2D()(layers.Conv2D(6, 1, activation="sigmoid")(x))


def shared(x):
    from keras import layers

    twice = layers.Conv2D(5, 1, activation="relu")
    return layers.GlobalAveragePooling2D()(twice(twice(layers.Conv2D(5, 3)(x))))


def reshaped(x):
    from keras import layers, ops

    x = layers.Reshape((SIDE_PX, SIDE_PX // 2, 6))(layers.ReLU()(layers.Conv2D(3, 1)(x)))
    # As wide as it has channels: a mean of these is no mean of the picture.
    means = ops.mean(layers.Conv2D(SIDE_PX // 2, 1, activation="relu")(x), axis=3)
    return layers.Dense(5)(layers.Flatten()(means))


@pytest.mark.parametrize("build", [dense, residual, bent, shared, reshaped])
def test_it_says_the_same(build, noise):
    exact = exactly(build, noise)
    expected, found = (runtime.load(each, 3).run(noise) for each in (exact, equalise.equalised(exact, noise)))
    spread = np.ptp(expected.logits)
    assert np.abs(found.logits - expected.logits).max() < 1e-4 * spread
    assert np.abs(found.embeddings - expected.embeddings).max() < 1e-4 * np.ptp(expected.embeddings)


def unevenness(network, tiles):
    """Largest over smallest channel, of each activation that a convolution makes."""
    largest = activations.largest(network, tiles)
    made = [layer.index for layer in graph.layers(network) if "CONV" in layer.operation]
    return [float(largest[index].max() / largest[index][largest[index] > 0].min()) for index in made]


@pytest.mark.parametrize("build", [dense, residual])
def test_channels_become_of_one_size(build, noise):
    exact = exactly(build, noise)
    before, after = (unevenness(each, noise) for each in (exact, equalise.equalised(exact, noise)))
    # What goes out is left as it is; what is added or joined can only grow together.
    assert after[-1] == pytest.approx(before[-1])
    assert all(now < then * 1.001 for now, then in zip(after, before, strict=True))
    assert min(now / then for now, then in zip(after, before, strict=True)) < 0.3
    assert np.median(after[:-1]) < 3


@pytest.mark.parametrize("build", [dense, residual])
def test_int8_loses_less_of_it(build, noise):
    network = built(build)
    expected, _ = network.run(noise)

    def lost(content):
        return float(np.square(runtime.load(content, 3).run(noise).logits - expected).mean())

    exact = tflite.convert(network, "float32", noise)
    attempts = mending.attempts(network, exact, noise, ("equalisation",), lost, lambda _: None)
    assert min(lost(attempt.network) for attempt in attempts) < 0.7 * lost(tflite.convert(network, "int8", noise))


@pytest.mark.parametrize("build", [bent, shared])
def test_what_cannot_grow_is_left_as_it_is(build, noise):
    exact = exactly(build, noise)
    found = equalise.equalised(exact, noise)
    for before, after in zip(
        activations.observe(exact, noise[:4]).values(), activations.observe(found, noise[:4]).values(), strict=True
    ):
        assert np.array_equal(before.values, after.values)


def test_a_silent_channel_and_an_unseen_bright_one_do_no_harm(noise):
    exact = exactly(dense, noise)
    dark = np.zeros((2, SIDE_PX, SIDE_PX, 3), np.uint8)
    found = equalise.equalised(exact, dark)
    expected, got = (runtime.load(each, 3).run(dark).logits for each in (exact, found))
    assert np.abs(got - expected).max() < 1e-3 * np.ptp(expected)
    assert np.isfinite(runtime.load(found, 3).run(noise).logits).all()


def test_what_is_no_network_is_refused(noise):
    with pytest.raises(BundleCorrupt, match=r"\.tflite"):
        equalise.equalised(b"no network at all", noise)
