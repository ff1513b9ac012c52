"""What a person meets: examples, one line for a mistake, an exit code by kind, JSON for programs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import handmade
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from convert import keys
from convert.cli import main, quantize, verify
from convert.parity import Budget
from edge import RESEARCH_USE_ONLY
from edge.model import bundle as bundles
from edge.model import open_model, shelf


def told(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def of_no_machine():
    """Make a network of few weights whose activations take a million gigabytes."""
    import keras
    from keras import layers

    shown = keras.Input((32, 32, 3))
    embedding = layers.GlobalAveragePooling2D()(layers.UpSampling2D(10_000_000)(layers.Conv2D(4, 1)(shown)))
    return keras.Model(shown, [layers.Dense(3)(embedding), embedding])


COMMANDS = ("quantize", "verify", "inspect", "benchmark", "compare", "export", "keygen")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_examples(command):
    assert f"convert {command} " in told(command, "--help").output
    assert command in told("--help").output


def test_a_person_is_told_what_was_made_and_for_what(run_folder, tmp_path, capfd):
    result = told("quantize", run_folder, "--out", tmp_path / "small.wbc")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{tmp_path / 'small.wbc'}: small@")
    assert "of 12 fields, same class on" in result.stdout
    assert "of 60 tiles, 0.00% of fields novel" in result.stdout
    assert "mended" not in result.stdout
    assert RESEARCH_USE_ONLY in result.stderr
    # What the steps were, past the test's own streams, and nothing of TensorFlow's.
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "loading the network",
        "judging as trained",
        "converting to float32",
        "comparing float32 with the trained network",
        "converting to int8",
        "comparing int8 with the trained network",
        "int8, plain: extreme values, a scale for each output channel: within the budget",
        "packing",
    ]


def test_a_program_gets_one_object_and_a_device_a_signed_bundle_of_two_types(run_folder, tmp_path):
    key, out = tmp_path / "maker.key", tmp_path / "small.wbc"
    public = json.loads(told("keygen", key, "--name", "maker", "--json").stdout)["key"]
    result = told("quantize", run_folder, "--out", out, "--type", "int8", "--type", "float16", "--sign", key, "--json")
    found = json.loads(result.stdout)
    assert found["bundle"] == str(out)
    assert found["model"].startswith("small@")
    assert found["bytes"] == out.stat().st_size
    assert (found["fields"], found["tiles"]) == (12, 60)
    assert found["agreement"] >= 0.98
    assert set(found["types"]) == {"int8", "float16"}
    assert open_model(out, kind="float16", trusted_keys=[public]).bundle.signature is not None


def test_a_model_that_would_refuse_its_own_fields_is_told_with_its_share(run_folder, drawn_fields, tmp_path):
    novelty = np.load(run_folder / "novelty.npy")
    novelty[1:] *= 1000
    np.save(run_folder / "novelty.npy", novelty)
    result = told("quantize", run_folder, "--out", tmp_path / "small.wbc", "--json")
    assert json.loads(result.stdout)["types"]["int8"]["novel"] == 1
    assert "A device refuses 100.00% of these fields as unlike any smear in training" in result.stderr
    bundle = bundles.read(tmp_path / "small.wbc")
    page = (tmp_path / "small.parity.html").read_text(encoding="utf-8")
    for text in (bundle.card, page):
        assert "A device refuses 100.00% of these fields" in text
    assert ", 100.00% novel" in told("verify", tmp_path / "small.wbc", "--data", drawn_fields).stdout


@pytest.mark.parametrize(
    ("damage", "code", "line"),
    [
        (lambda folder: (folder / "run.json").unlink(), 31, "not a finished training run"),
        (lambda folder: (folder / "network.keras").write_bytes(b"no network"), 70, "network.keras"),
        (lambda folder: (folder / "novelty.npy").unlink(), 32, "novelty.npy is missing"),
        (lambda folder: of_no_machine().save(folder / "network.keras"), 70, "takes more memory for a tile"),
    ],
)
def test_a_mistake_is_one_line_and_its_own_exit_code(run_folder, tmp_path, damage, code, line):
    damage(run_folder)
    result = told("quantize", run_folder, "--out", tmp_path / "small.wbc")
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("convert: ")
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" in told("--debug", "quantize", run_folder, "--out", tmp_path / "small.wbc").stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--out", "small.zip"],
        ["--out", "small.wbc", "--min-agreement", "2"],
        ["--out", "small.wbc", "--type", "int4"],
        ["--out", "small.wbc", "--mean", "1,2"],
        [],
    ],
)
def test_wrong_usage_is_refused(run_folder, wrong):
    assert told("quantize", run_folder, *wrong).exit_code == 2


@pytest.mark.parametrize(
    "option", [["--name", "x"], ["--licence", "MIT"], ["--rgb"], ["--mean", "0"], ["--tiles", "grid"]]
)
def test_what_a_run_says_itself_is_not_taken_from_an_option_without_a_word(run_folder, tmp_path, option):
    result = told("quantize", run_folder, "--out", tmp_path / "x.wbc", *option)
    assert result.exit_code == 2
    assert f"Invalid value for {option[0]}: {run_folder} is taken for a run of the trainer" in result.output


@pytest.mark.parametrize("option", ["--out", "--report"])
def test_a_folder_that_is_not_there_is_said_before_anything_is_converted(run_folder, tmp_path, option):
    missing, there = tmp_path / "missing" / "x.wbc", tmp_path / "x.wbc"
    result = told("quantize", run_folder, *(("--out", there) if option != "--out" else ()), option, missing)
    assert result.exit_code == 50
    assert result.stderr == f"convert: file {missing}: there is no such folder. Make it, or choose another\n"
    assert not there.exists()


def test_a_network_from_elsewhere_needs_what_a_run_would_say(run_folder, tmp_path):
    result = told("quantize", run_folder / "network.keras", "--out", tmp_path / "x.wbc", "--classes", "ALL,MM,normal")
    assert result.exit_code == 2
    assert "--um-per-px, --calibration, --data" in result.output


def test_verify_repeats_the_self_tests_and_compares_on_fields(whole, drawn_fields, tmp_path):
    path = whole[0].path
    lines = [json.loads(line) for line in told("verify", path, "--json").stdout.splitlines()]
    assert {(line["kind"], line["difference"]) for line in lines} == {
        (kind, 0.0) for kind in ("int8", "float16", "float32", "dynamic")
    }
    said = told("verify", path, "--data", drawn_fields, "--min-agreement", 0)
    assert said.exit_code == 0
    assert "int8 on 6 fields" in said.stdout
    torn = tmp_path / "torn.wbc"
    torn.write_bytes(path.read_bytes()[:-100])
    assert told("verify", torn).exit_code == 32


@pytest.fixture
def one_type(whole, tmp_path):
    """Pack int8 alone; ``parity`` changes what it says of its conversion."""
    import msgspec

    bundle = whole[0]
    description = msgspec.structs.replace(bundle.description, networks={"int8": "network-int8.tflite"})
    alone = replace(
        bundle,
        description=description,
        networks={"int8": bundle.networks["int8"]},
        selftest_logits={"int8": bundle.selftest_logits["int8"]},
    )
    return lambda parity: bundles.write(replace(alone, parity=parity), tmp_path / "alone.wbc").path


def test_one_type_is_not_compared_with_itself_but_with_what_it_promised(whole, one_type, drawn_fields):
    path = one_type(whole[0].parity)
    said = told("verify", path, "--data", drawn_fields)
    assert said.exit_code == 0
    assert "% when made, on 60 held-out tiles, each counted as a field" in said.stdout
    assert "same verdict as int8" not in said.stdout
    # It is a network of squares, and knows nothing of cells.
    refused = told("verify", path, "--data", drawn_fields, "--max-accuracy-drop", 0.2)
    assert refused.exit_code == 72
    assert "when it was made" in refused.stderr
    assert told("verify", path, "--data", drawn_fields, "--max-accuracy-drop", 1).exit_code == 0


@pytest.mark.parametrize("command", [quantize.command, verify.command])
def test_the_budget_of_a_command_is_that_of_the_library(command):
    said = {option.name: option.default for option in command.params}
    assert {name: said[name] for name in Budget.__struct_fields__} == msgspec.to_builtins(Budget())


def test_a_budget_that_one_type_cannot_fail_is_refused(whole, one_type, drawn_fields):
    agreement = told("verify", one_type(whole[0].parity), "--data", drawn_fields, "--min-agreement", 0.99)
    assert agreement.exit_code == 2
    assert "nothing to agree with" in agreement.stderr
    for drop in ("--max-auroc-drop", "--max-calibration-drop"):
        refused = told("verify", one_type(whole[0].parity), "--data", drawn_fields, drop, 0.5)
        assert refused.exit_code == 2
        assert drop in refused.stderr
    silent = one_type(b"")
    assert told("verify", silent, "--data", drawn_fields, "--max-accuracy-drop", 0.01).exit_code == 2
    assert "nothing to compare with" in told("verify", silent, "--data", drawn_fields).stdout


@pytest.mark.parametrize("parity", [b'{"x": 1}', b"\xff"])
def test_a_report_that_is_none_is_one_line(one_type, parity):
    result = told("verify", one_type(parity))
    assert result.exit_code == 32
    assert "parity.json is no report" in result.stderr
    assert result.stderr.count("\n") == 1


def test_verify_ends_with_the_code_of_a_failed_self_test(whole, tmp_path):
    bundle = whole[0]
    wrong = {**bundle.selftest_logits, "float16": bundle.selftest_logits["float16"] + 1}
    bundles.write(replace(bundle, selftest_logits=wrong), tmp_path / "wrong.wbc")
    result = told("verify", tmp_path / "wrong.wbc")
    assert result.exit_code == 34
    assert "self-test differs" in result.stderr


def test_inspect_shows_every_layer_and_its_share_of_time(whole):
    shown = told("inspect", whole[0].path, "--profile").stdout
    for part in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "nx15x15x8", "48,600", "multiply-accumulates", "%"):
        assert part in shown
    layers = [
        json.loads(line) for line in told("inspect", whole[0].path, "--type", "float32", "--json").stdout.splitlines()
    ]
    assert sum(layer["macs"] for layer in layers) == 60_792
    assert told("inspect", shelf.find(None), "--type", "float32").exit_code == 37


def test_benchmark_measures_each_type_and_number_of_threads(whole):
    lines = told("benchmark", whole[0].path, "--threads", 1, "--repeats", 2, "--json").stdout.splitlines()
    found = [json.loads(line) for line in lines if "litert" in line]
    assert [line["kind"] for line in found] == ["int8", "float16", "float32", "dynamic"]
    assert all(line["tile_ms"] > 0 and not line["problem"] for line in found)


def test_compare_says_what_changed_and_nothing_of_equal_bundles(whole, tmp_path):
    path = whole[0].path
    copy = tmp_path / "copy.wbc"
    shutil.copy(path, copy)
    assert "have the same content" in told("compare", path, copy).stdout
    changed = told("compare", path, shelf.find(None)).stdout
    for part in ("name: small -> marrow", "tiling.tile_px: 32 -> 64", "int8 parameters: 328 -> "):
        assert part in changed
    assert "classes" not in changed
    assert any(
        json.loads(line)["what"] == "name"
        for line in told("compare", path, shelf.find(None), "--json").stdout.splitlines()
    )


def test_compare_says_that_another_threshold_refuses_and_that_parts_beside_the_networks_are_others(whole, tmp_path):
    path, bundle = whole[0].path, bundles.read(whole[0].path)
    bundles.write(replace(bundle, novelty_whitening=2 * bundle.novelty_whitening), tmp_path / "strict.wbc")
    lines = [json.loads(line) for line in told("compare", path, tmp_path / "strict.wbc", "--json").stdout.splitlines()]
    assert [line["what"] for line in lines] == ["novelty"]
    before, after = (float(lines[0][side].split()[0]) for side in ("before", "after"))
    assert after == pytest.approx(2 * before, abs=0.002)
    bundles.write(replace(bundle, parity=b""), tmp_path / "silent.wbc")
    assert "report of the conversion: " in told("compare", path, tmp_path / "silent.wbc").stdout


def test_compare_names_no_signer_whose_signature_is_of_other_parts(whole, tmp_path):
    told("keygen", tmp_path / "maker.key", "--name", "maker")
    sign = keys.signer(tmp_path / "maker.key")
    bundles.write(whole[0], tmp_path / "forged.wbc", lambda sums: sign(sums + b"other"))
    forged = told("compare", whole[0].path, tmp_path / "forged.wbc")
    assert forged.exit_code == 32
    assert "its signature is not of these parts" in forged.stderr


def test_export_says_what_it_wrote(whole, tmp_path):
    found = json.loads(
        told("export", whole[0].path, "--format", "tflite", "--out", tmp_path / "x.tflite", "--json").stdout
    )
    assert (found["type"], found["bytes"]) == ("int8", (tmp_path / "x.tflite").stat().st_size)
    assert told("export", whole[0].path, "--format", "pdf", "--out", tmp_path / "x").exit_code == 2
    assert told("export", tmp_path / "none.wbc", "--format", "onnx", "--out", tmp_path / "x").exit_code == 31


@pytest.mark.parametrize(
    "command",
    [
        ["verify"],
        ["inspect", "--profile"],
        ["compare", shelf.find(None)],
        ["benchmark", "--threads", 1, "--repeats", 1],
        ["export", "--format", "onnx", "--out", "crashing.onnx"],
    ],
    ids=lambda command: command[0],
)
def test_a_network_that_crashes_the_runtime_is_a_line_and_an_exit_code(command, of_bright_tiles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    crashing = of_bright_tiles("float32", handmade.that_crashes)
    result = told(*command, crashing)
    assert result.exit_code == (38 if command[0] == "benchmark" else 34)
    assert f"bundle {crashing}: " in result.stderr
    assert "died of SIGSEGV" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_crashes_is_not_compared_on_fields(of_bright_tiles, drawn_fields):
    result = told("verify", of_bright_tiles("float32", handmade.that_crashes), "--data", drawn_fields)
    assert result.exit_code == 34
    assert "not compared on" in result.stderr
