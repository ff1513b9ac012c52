"""tflite-runtime, the other back end: the same protocol and the same decisions."""

from __future__ import annotations

import numpy as np
import pytest

from edge import pipeline, simulator
from edge.frame import Frame
from edge.model import Execution, open_model, runtime, selftest, shelf
from edge.model.bundle import Bundle
from edge.simulator import Smear

pytestmark = pytest.mark.tflite_runtime

ON_TFLITE = Execution(runtime="tflite-runtime")


def test_it_is_found_and_says_its_name() -> None:
    assert "tflite-runtime" in runtime.installed()
    assert open_model(shelf.find(None), execution=ON_TFLITE).runtime.name == "tflite-runtime 2.14.0"


def test_the_model_that_ships_passes_its_self_test(bundled: Bundle) -> None:
    loaded = runtime.load(bundled.networks["int8"], len(bundled.description.classes), runtime="tflite-runtime")
    assert round(selftest.check(bundled, loaded, "int8") / loaded.logit_step) <= selftest.MOST_STEPS


def test_decisions_are_those_expected(bundled: Bundle) -> None:
    logits = open_model(shelf.find(None), execution=ON_TFLITE).runtime.run(bundled.selftest_tiles).logits
    assert logits.argmax(axis=1).tolist() == bundled.selftest_logits["int8"].argmax(axis=1).tolist()
    assert len(set(np.round(logits.ravel(), 3))) > 3


def test_a_field_goes_its_whole_way() -> None:
    model = open_model(shelf.find(None), execution=ON_TFLITE)
    smear = Smear(kind="ALL", size_px=(640, 480), um_per_px=0.4)
    frame = Frame(simulator.draw(smear, 1).pixels, "sim:0", 0, smear.um_per_px, 0.0, 0.0)
    result = pipeline.classify(frame, model)
    assert result.quality.usable
    assert len(result.tiles) > 10
    assert sum(result.probabilities.values()) == pytest.approx(1)
