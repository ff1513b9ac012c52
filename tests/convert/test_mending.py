"""A network that quantizes badly is shown refused, then mended in the order that costs least, each attempt told."""

from __future__ import annotations

import numpy as np
import pytest

from convert import activations, graph, mending, subject, tflite
from convert import network as networks
from convert.activations import Seen
from convert.errors import QuantizationRefused
from convert.quantize import Plan, quantize
from edge.model import open_model

# Trains for seconds, on a busy machine for minutes.
pytestmark = pytest.mark.timeout(600)


def seen(values):
    values = np.asarray(values, np.float32)
    return Seen(float(values.min()), float(values.max()), values, 4)


def squared_error(values, span):
    low, high = span
    step = (high - low) / 255
    return float(np.mean((np.round(np.clip(values.values, low, high) / step) * step - values.values) ** 2))


def test_ranges_leave_out_what_is_rare():
    values = seen(np.random.default_rng(0).laplace(size=20_000))
    assert activations.extremes(values) == (values.low, values.high)
    low, high = activations.percentile(99.9)(values)
    assert np.mean((low <= values.values) & (values.values <= high)) == pytest.approx(0.998, abs=1e-4)
    chosen = activations.least_squares(values)
    assert squared_error(values, chosen) < squared_error(values, activations.extremes(values))
    even = seen(np.linspace(-1, 1, 10_000))
    assert activations.least_squares(even) == pytest.approx((-1, 1), abs=0.06)


@pytest.fixture(scope="module")
def given(mobile_run):
    return subject.of_run(mobile_run, None, None, lambda _: None)


def test_plain_int8_of_it_is_refused(given, tmp_path):
    with pytest.raises(QuantizationRefused, match=r"int8 network: decides only \d\d.\d% of 60 fields"):
        quantize(given, tmp_path / "mobile.wbc", Plan(mend=()))
    assert not list(tmp_path.iterdir())


def test_better_ranges_alone_do_not_mend_it_and_are_told(given, tmp_path):
    with pytest.raises(QuantizationRefused):
        quantize(given, tmp_path / "mobile.wbc", Plan(mend=("calibration",), report=tmp_path / "why.html"))
    told = (tmp_path / "why.html").read_text(encoding="utf-8")
    for attempt in ("plain", "99.99th percentiles", "99.9th percentiles", "least squared error"):
        assert attempt in told
    # None was taken.
    assert "is the first within the budget" not in told


def test_it_is_mended_by_equalising_its_channels(given, tmp_path):
    bundle, parity = quantize(given, tmp_path / "mobile.wbc", Plan())
    *refused, taken = parity.tried
    assert all(tried.refused for tried in refused)
    assert taken.what.startswith("channels equalised, ")
    assert "float32" not in taken.what
    assert taken.figures.agreement >= 0.98
    assert taken.what in bundle.card


def test_weights_have_a_scale_for_each_output_channel_mended_too(given):
    exact = tflite.convert(given.network, "float32", given.representative)
    steps = ("calibration", "equalisation")
    for attempt in mending.attempts(given.network, exact, given.representative, steps, lambda _: 0.0, lambda _: None):
        model = graph.parse(attempt.network)
        tensors = model.subgraphs[0].tensors
        weights = [
            tensors[operator.inputs[1]]
            for operator in model.subgraphs[0].operators
            if graph.operation_name(model, operator) in ("CONV_2D", "DEPTHWISE_CONV_2D")
        ]
        assert weights
        for each in weights:
            assert len(each.quantization.scale) == each.shape[each.quantization.quantizedDimension]


def test_what_loses_least_is_tried_first(given):
    exact = tflite.convert(given.network, "float32", given.representative)
    losses = iter(range(100, 0, -1))
    steps = ("calibration", "equalisation")
    attempts = mending.attempts(
        given.network, exact, given.representative, steps, lambda _: next(losses), lambda _: None
    )
    assert next(attempts).what == "channels equalised, ranges of least squared error"


def test_it_is_mended_by_keeping_its_worst_layers(given, tmp_path):
    steps = []
    plan = Plan(mend=("calibration", "mixed"))
    bundle, parity = quantize(given, tmp_path / "mobile.wbc", plan, steps.append)
    *refused, taken = parity.tried
    assert all(tried.refused for tried in refused)
    assert not taken.refused
    assert "layers in float32" in taken.what
    assert taken.figures.agreement >= 0.98
    assert taken.what in bundle.card
    told = f"number {len(refused)}, is the first within the budget on these same fields"
    assert told in bundle.card
    assert told in (tmp_path / "mobile.parity.html").read_text(encoding="utf-8").replace("\n", " ")
    assert any(step.startswith("mending: which layers") for step in steps)
    # It still takes bytes, and decides on the device as was measured here.
    model = open_model(tmp_path / "mobile.wbc")
    assert model.kind == "int8"
    exact, _ = given.network.run(given.fields.tiles)
    same = model.runtime.run(given.fields.tiles).logits.argmax(axis=1) == exact.argmax(axis=1)
    assert same.mean() == taken.figures.tile_agreement


def test_fine_tuning_brings_the_rounded_network_nearer_to_the_trained_one(given, monkeypatch):
    from convert import finetune

    monkeypatch.setattr(finetune, "EPOCHS", 12)
    exact = tflite.convert(given.network, "float32", given.representative)
    expected, _ = given.network.run(given.fields.tiles)

    def lost(network):
        from edge.model import runtime

        return float(np.square(runtime.load(network, 3).run(given.fields.tiles).logits - expected).mean())

    plain = lost(tflite.convert(given.network, "int8", given.representative))
    attempts = mending.attempts(given.network, exact, given.representative, ("fine-tuning",), lost, lambda _: None)
    (tuned,) = attempts
    assert "fine-tuned" in tuned.what
    assert lost(tuned.network) < 0.7 * plain


def test_a_network_without_keras_is_not_fine_tuned(given):
    frozen = networks.Network(given.network.function, given.network.tile_px, given.network.classes)
    exact = tflite.convert(frozen, "float32", given.representative)
    assert not list(
        mending.attempts(frozen, exact, given.representative, ("fine-tuning",), lambda _: 0.0, lambda _: None)
    )


def test_the_layers_that_suffer_are_named(given):
    exact, quantized = (tflite.convert(given.network, kind, given.representative) for kind in ("float32", "int8"))
    found = {error.tensor: error for error in activations.errors(exact, quantized, given.fields.tiles[:8])}
    first = next(iter(found.values()))
    worst = min(found.values(), key=lambda error: error.sqnr_db)
    assert first.sqnr_db > 40
    assert worst.sqnr_db < 15
    same = activations.errors(exact, exact, given.fields.tiles[:2])
    assert all(error.sqnr_db == pytest.approx(120) for error in same)


def test_what_computes_a_shape_is_no_layer_that_suffers(tmp_path):
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    shown = keras.Input((16, 16, 3))
    pairs = layers.Reshape((16, 8, 6))(shown)
    embedding = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(pairs))
    network = networks.of_keras(keras.Model(shown, [layers.Dense(3)(embedding), embedding]), tmp_path)
    tiles = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    exact, quantized = (tflite.convert(network, kind, tiles) for kind in ("float32", "int8"))
    found = activations.errors(exact, quantized, tiles)
    assert {"RESHAPE", "CONV_2D"} <= {error.operation for error in found}


def test_layers_whose_names_differ_by_a_number_have_each_its_own_error(tmp_path):
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    shown = keras.Input((16, 16, 3))
    x = layers.LayerNormalization()(layers.Conv2D(8, 3, 2)(layers.Rescaling(1 / 255)(shown)))
    embedding = layers.GlobalAveragePooling2D()(layers.Activation("gelu")(x))
    network = networks.of_keras(keras.Model(shown, [layers.Dense(3)(embedding), embedding]), tmp_path)
    tiles = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    exact, quantized = (tflite.convert(network, kind, tiles) for kind in ("float32", "int8"))
    found = {error.tensor: error.sqnr_db for error in activations.errors(exact, quantized, tiles[:4])}
    alike = [sqnr_db for tensor, sqnr_db in found.items() if tensor.endswith(("/mul_1", "/mul_2"))]
    assert len(alike) == len(set(alike)) == 2
