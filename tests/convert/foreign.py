"""Networks of other people, and what is said of one that is refused."""

from __future__ import annotations

import pytest

from convert import network as networks
from convert.errors import NetworkUnreadable


def refused(path):
    with pytest.raises(NetworkUnreadable) as error:
        networks.load(path)
    assert error.value.exit_code == 70
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)
    return str(error.value)


def classifier(ending):
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    shown = keras.Input((32, 32, 3))
    embedding = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu")(shown))
    return keras.Model(shown, ending(embedding))


def endings():
    from keras import layers

    return {
        "softmax in the layer": layers.Dense(3, activation="softmax"),
        "softmax behind it": lambda x: layers.Softmax()(layers.Dense(3)(x)),
        "logits": layers.Dense(3),
        "without bias": layers.Dense(3, use_bias=False, activation="softmax"),
    }
