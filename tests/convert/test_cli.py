"""What a person meets: examples, one line for a mistake, an exit code by kind, JSON for programs."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from convert.cli import main
from edge import RESEARCH_USE_ONLY


def told(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_help_shows_examples():
    assert "convert quantize runs/marrow --out marrow.wbc" in told("--help").output
    assert "convert quantize runs/marrow --out marrow.wbc" in told("quantize", "--help").output


def test_a_person_is_told_what_was_made_and_for_what(run_folder, tmp_path, capfd):
    result = told("quantize", run_folder, "--out", tmp_path / "small.wbc")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{tmp_path / 'small.wbc'}: small@")
    assert "of 60 tiles" in result.stdout
    assert RESEARCH_USE_ONLY in result.stderr
    # What the steps were, past the test's own streams, and nothing of TensorFlow's.
    assert capfd.readouterr() == (
        "",
        "loading the network\nquantizing to int8\ncomparing with the float network\npacking\n",
    )


def test_a_program_gets_one_object(run_folder, tmp_path):
    out = tmp_path / "small.wbc"
    result = told("quantize", run_folder, "--out", out, "--json")
    found = json.loads(result.stdout)
    assert found["bundle"] == str(out)
    assert found["model"].startswith("small@")
    assert found["bytes"] == out.stat().st_size
    assert found["tiles"] == 60
    assert found["agreement"] >= 0.98


@pytest.mark.parametrize(
    ("damage", "code", "line"),
    [
        (lambda folder: (folder / "run.json").unlink(), 31, "not a finished training run"),
        (lambda folder: (folder / "network.keras").write_bytes(b"no network"), 70, "network.keras"),
        (lambda folder: (folder / "novelty.npy").unlink(), 32, "novelty.npy is missing"),
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


@pytest.mark.parametrize("wrong", [["--out", "small.zip"], ["--out", "small.wbc", "--min-agreement", "2"], []])
def test_wrong_usage_is_refused(run_folder, wrong):
    assert told("quantize", run_folder, *wrong).exit_code == 2
