"""Average pooling of int8 networks becomes a convolution of the same result, wherever it can."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert import graph, pooling, tflite
from convert import network as networks
from edge.errors import BundleCorrupt
from edge.model import runtime

SIDE_PX = 12


def converted(monkeypatch, tiles, *pools):
    """Convert a network that embeds a tile as what its pools leave: by TensorFlow alone, and by us."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    shown = keras.Input((SIDE_PX, SIDE_PX, 3))
    x = layers.ReLU(6)(layers.Conv2D(6, 3, padding="same")(layers.Rescaling(1 / 127.5, -1)(shown)))
    for pool in pools:
        x = pool(x)
    embedding = layers.Flatten()(x)
    network = networks.of_keras(keras.Model(shown, [layers.Dense(3)(embedding), embedding]), Path("x"))
    ours = tflite.convert(network, "int8", tiles)
    with monkeypatch.context() as patched:
        patched.setattr(pooling, "as_convolutions", bytes)
        return tflite.convert(network, "int8", tiles), ours


def operations(network):
    return [layer.operation for layer in graph.layers(network)]


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (40, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("window", "strides", "padding"),
    [(2, 2, "valid"), (2, 2, "same"), ((2, 3), (2, 3), "same"), (3, 1, "valid"), (5, 3, "valid"), (1, 2, "same")],
)
def test_a_convolution_pools_as_pooling_does(monkeypatch, noise, window, strides, padding):
    from keras import layers

    theirs, ours = converted(monkeypatch, noise, layers.AveragePooling2D(window, strides, padding))
    assert "AVERAGE_POOL_2D" in operations(theirs)
    assert "AVERAGE_POOL_2D" not in operations(ours)
    expected, found = (runtime.load(each, 3).run(noise) for each in (theirs, ours))
    step = np.diff(np.unique(expected.embeddings)).min()
    off = np.abs(found.embeddings - expected.embeddings) / step
    # Of four values every fourth mean lies halfway between two steps.
    assert off.max() < 1.01
    assert (off > 0.5).mean() < 0.3
    assert abs((found.embeddings - expected.embeddings).mean()) < 0.3 * step


@pytest.mark.parametrize(
    ("window", "strides", "padding"),
    [(3, 1, "same"), (5, 5, "same"), (6, 6, "valid")],
)
def test_pooling_over_the_border_and_of_wide_windows_is_left_as_it_is(monkeypatch, noise, window, strides, padding):
    from keras import layers

    theirs, ours = converted(monkeypatch, noise, layers.AveragePooling2D(window, strides, padding))
    assert ours == theirs
    assert "AVERAGE_POOL_2D" in operations(ours)


def test_pools_one_after_the_other_are_all_replaced_and_other_networks_are_not_touched(monkeypatch, noise):
    from keras import layers

    theirs, ours = converted(
        monkeypatch, noise, layers.AveragePooling2D(2), layers.MaxPooling2D(), layers.AveragePooling2D(3)
    )
    assert operations(theirs).count("AVERAGE_POOL_2D") == 2
    assert operations(ours).count("AVERAGE_POOL_2D") == 0
    assert operations(ours).count("MAX_POOL_2D") == 1
    assert pooling.as_convolutions(ours) == ours
    assert [layer.tensor for layer in graph.layers(ours)] == [layer.tensor for layer in graph.layers(theirs)]


def test_float_networks_keep_their_pooling(monkeypatch, noise):
    import keras
    from keras import layers

    shown = keras.Input((SIDE_PX, SIDE_PX, 3))
    embedding = layers.Flatten()(layers.AveragePooling2D(2)(layers.Conv2D(4, 3)(shown)))
    network = networks.of_keras(keras.Model(shown, [layers.Dense(3)(embedding), embedding]), Path("x"))
    for kind in ("float32", "float16", "dynamic"):
        made = tflite.convert(network, kind, noise)
        assert "AVERAGE_POOL_2D" in operations(made)
        assert pooling.as_convolutions(made) == made


def test_what_is_no_network_is_refused():
    with pytest.raises(BundleCorrupt, match=r"\.tflite"):
        pooling.as_convolutions(b"no network at all")
