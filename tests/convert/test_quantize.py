"""A run becomes a bundle that decides as it did, or nothing is written and one line says why."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from convert.errors import CalibrationRefused, NetworkUnreadable, QuantizationRefused
from convert.quantize import SELFTEST_TILES, quantize
from edge.errors import BundleCorrupt, BundleNotFound, OutputError
from edge.model import open_model, selftest
from edge.model import run as runs


def test_a_run_becomes_a_bundle(run_folder, tmp_path, tiles, network):
    steps = []
    bundle, parity = quantize(run_folder, tmp_path / "small.wbc", progress=steps.append)
    assert steps == ["loading the network", "quantizing to int8", "comparing with the float network", "packing"]
    assert parity.tiles == len(tiles)
    assert parity.agreement >= 0.98
    assert parity.accuracy_float == 1
    assert parity.accuracy_quantized == parity.agreement

    model = open_model(tmp_path / "small.wbc")
    assert model.bundle.identity == bundle.identity
    assert len(bundle.selftest_tiles) == SELFTEST_TILES
    exact = np.asarray(network.predict_on_batch(tiles.astype(np.float32))[0])
    assert np.abs(model.runtime.run(tiles).logits - exact).max() == pytest.approx(parity.largest_difference, abs=1e-5)

    lead = np.diff(np.sort(bundle.selftest_logits["int8"], axis=1)[:, -2:]).ravel()
    assert lead.min() > 2 * selftest.MOST_STEPS * model.runtime.logit_step

    described = bundle.description
    assert described.metrics["int8 agreement with float"] == parity.agreement
    assert described.metrics["cross-validated decided"] == 0.5
    assert described.training.held_out_groups == ("g1",)
    assert "What must not be believed." in bundle.card
    assert "On 60 held-out tiles" in bundle.card


def test_bytes_are_the_grid_of_the_input(run_folder, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    bundle, _ = quantize(run_folder, tmp_path / "small.wbc")
    interpreter = Interpreter(model_content=bundle.networks["int8"])
    (shown,) = interpreter.get_input_details()
    assert (shown["dtype"], shown["quantization"]) == (np.int8, (1.0, -128))
    assert {output["dtype"] for output in interpreter.get_output_details()} == {np.int8}


def test_a_run_without_a_held_out_part_says_which_tiles_were_compared(run_folder, tmp_path):
    change(run_folder, training={"data": ["squares"], "licence": "research only"})
    assert "On 60 training tiles" in quantize(run_folder, tmp_path / "small.wbc")[0].card


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ({"min_agreement": 1.01}, "At least 101% are asked for"),
        ({"max_accuracy_drop": -0.01}, "At most -1 are allowed"),
    ],
)
def test_what_lost_its_judgement_is_refused_and_nothing_is_written(run_folder, tmp_path, budget, told):
    out = tmp_path / "out" / "small.wbc"
    out.parent.mkdir()
    with pytest.raises(QuantizationRefused, match=told) as refused:
        quantize(run_folder, out, **budget)
    assert refused.value.exit_code == 72
    assert not list(out.parent.iterdir())


def test_a_bundle_that_is_there_stays_when_the_new_one_is_refused(run_folder, tmp_path):
    (tmp_path / "small.wbc").write_bytes(b"older")
    with pytest.raises(QuantizationRefused):
        quantize(run_folder, tmp_path / "small.wbc", min_agreement=1.01)
    assert (tmp_path / "small.wbc").read_bytes() == b"older"


@pytest.mark.parametrize("out", ["missing/small.wbc", "run/run.json/small.wbc"])
def test_an_output_that_cannot_be_written_is_said(run_folder, tmp_path, out):
    with pytest.raises(OutputError) as refused:
        quantize(run_folder, tmp_path / out)
    assert refused.value.exit_code == 50


def change(folder, **values):
    described = json.loads((folder / runs.DESCRIPTION).read_bytes())
    (folder / runs.DESCRIPTION).write_bytes(msgspec.json.encode(described | values))


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        (runs.HELD_OUT_TILES, np.zeros((3, 16, 16, 3), np.uint8), "no tiles of 32 px"),
        (runs.HELD_OUT_TILES, np.zeros((0, 32, 32, 3), np.uint8), "no tiles of 32 px"),
        (runs.HELD_OUT_TILES, np.zeros((3, 32, 32, 3), np.float32), "holds float32, not uint8"),
        (runs.HELD_OUT_LABELS, np.zeros(3, np.int64), "do not fit each other"),
        (runs.HELD_OUT_LABELS, np.array(["ALL"] * 60), "holds <U3, not int64"),
        (runs.NOVELTY, np.zeros((8, 8), np.float32), "do not fit each other"),
        (runs.CALIBRATION, np.zeros((0, 32, 32, 3), np.uint8), "no tiles of 32 px"),
        (runs.CALIBRATION, np.zeros((9, 32, 32, 1), np.uint8), "no tiles of 32 px"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(run_folder, tmp_path, file, content, told):
    np.save(run_folder / file, content)
    with pytest.raises(BundleCorrupt, match=told):
        quantize(run_folder, tmp_path / "small.wbc")
    assert not (tmp_path / "small.wbc").exists()


@pytest.mark.parametrize("file", [runs.HELD_OUT_TILES, runs.HELD_OUT_LABELS, runs.NOVELTY, runs.CALIBRATION, runs.CARD])
def test_a_missing_file_is_named(run_folder, tmp_path, file):
    (run_folder / file).unlink()
    with pytest.raises(BundleCorrupt, match=file):
        quantize(run_folder, tmp_path / "small.wbc")


@pytest.mark.parametrize("content", [b"", b"no array", np.lib.format.magic(1, 0)])
def test_a_damaged_array_is_named(run_folder, tmp_path, content):
    (run_folder / runs.HELD_OUT_TILES).write_bytes(content)
    with pytest.raises(BundleCorrupt, match=runs.HELD_OUT_TILES):
        quantize(run_folder, tmp_path / "small.wbc")


def test_an_unfinished_run_is_no_run(run_folder, tmp_path):
    (run_folder / runs.DESCRIPTION).unlink()
    with pytest.raises(BundleNotFound, match="not a finished training run"):
        quantize(run_folder, tmp_path / "small.wbc")


@pytest.mark.parametrize(
    "values",
    [
        {"classes": ["ALL"]},
        {"name": "../small"},
        {"um_per_px": 0.0},
        {"decision": {}},
    ],
)
def test_a_description_that_is_not_valid_is_refused(run_folder, tmp_path, values):
    change(run_folder, **values)
    with pytest.raises(BundleCorrupt, match="description is not valid"):
        quantize(run_folder, tmp_path / "small.wbc")


def test_classes_that_no_device_would_take_are_not_written(run_folder, tmp_path):
    change(run_folder, classes=["ALL", "ALL", "normal"])
    with pytest.raises(BundleCorrupt, match="not distinct"):
        quantize(run_folder, tmp_path / "small.wbc")
    assert not (tmp_path / "small.wbc").exists()


def test_a_network_that_cannot_be_read_is_refused(run_folder, tmp_path):
    (run_folder / runs.NETWORK).write_bytes(b"no network")
    with pytest.raises(NetworkUnreadable):
        quantize(run_folder, tmp_path / "small.wbc")


def test_a_dataset_that_calibrates_nothing_is_refused(run_folder, tmp_path):
    np.save(run_folder / runs.CALIBRATION, np.full((9, 32, 32, 3), 200, np.uint8))
    with pytest.raises(CalibrationRefused, match="the same tile throughout") as refused:
        quantize(run_folder, tmp_path / "small.wbc")
    assert refused.value.exit_code == 71
