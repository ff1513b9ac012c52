"""Parity counts decisions, not logits."""

from __future__ import annotations

import numpy as np
import pytest

from convert import parity
from edge.model.runtime import Outputs


class Shifted:
    """A runtime whose logits are another network's: the float ones with one class made larger."""

    name = "shifted"
    logit_step = 0.0

    def __init__(self, network, shift):
        self._network, self._shift = network, shift

    def run(self, tiles):
        logits, embeddings = (np.asarray(part) for part in self._network.predict_on_batch(tiles.astype(np.float32)))
        return Outputs(logits + np.float32(self._shift), embeddings)


@pytest.fixture
def decided(network, tiles):
    return np.asarray(network.predict_on_batch(tiles.astype(np.float32))[0]).argmax(axis=1)


def test_a_shift_of_all_classes_decides_the_same(network, tiles, decided):
    found = parity.measure(network, Shifted(network, [2, 2, 2]), tiles, decided)
    assert (found.tiles, found.agreement, found.accuracy_float, found.accuracy_quantized) == (60, 1, 1, 1)
    assert found.largest_difference == pytest.approx(2, abs=1e-4)


def test_a_network_that_always_says_one_class_agrees_where_the_other_does(network, tiles, decided):
    found = parity.measure(network, Shifted(network, [0, 1000, 0]), tiles, decided)
    assert found.agreement == found.accuracy_quantized == (decided == 1).mean()
    assert found.accuracy_float == 1


def test_accuracies_are_against_the_labels(network, tiles, decided):
    labels = np.where(np.arange(60) < 15, (decided + 1) % 3, decided)
    found = parity.measure(network, Shifted(network, [0, 0, 0]), tiles, labels)
    assert (found.agreement, found.accuracy_float, found.accuracy_quantized) == (1, 0.75, 0.75)
