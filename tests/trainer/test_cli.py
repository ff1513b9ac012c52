"""What a person meets: examples, one line for a mistake, an exit code by kind, and silence from TensorFlow."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

import trainer
from edge.errors import ConfigurationError, ScaleError
from edge.model import run as runs
from trainer import backend
from trainer.cli import main

PROGRAM = [sys.executable, "-c", "from trainer.cli import main; main()"]


def told(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_help_shows_examples_and_what_a_manifest_is():
    assert "trainer fit fields.csv --out runs/first" in told("--help").output
    of_fit = told("fit", "--help").output
    assert "trainer fit fields.csv extra.csv --relabel unlabelled=normal" in of_fit
    assert "um_per_px  size of a pixel" in of_fit


@pytest.mark.parametrize(
    "wrong",
    [
        ["missing.csv"],
        ["--steps", "0"],
        ["--folds", "1"],
        ["--relabel", "unlabelled"],
        ["--relabel", "ALL=normal", "--relabel", "ALL=MM"],
        ["--learning-rate", "0"],
        ["--seed", "-1"],
    ],
)
def test_usage_is_refused_before_anything_is_imported_or_made(manifest_file, tmp_path, wrong):
    result = told("fit", manifest_file, "--out", tmp_path / "run", *wrong)
    assert result.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_a_mistake_in_the_data_is_one_line_and_its_own_exit_code(write_manifest, tmp_path):
    path = write_manifest([("a.png", "ALL", "g", "l", "0.5")])
    result = told("fit", path, "--out", tmp_path / "run")
    assert result.exit_code == 60
    assert (
        result.stderr == "trainer: the manifest: has only one class, ALL. Fields of two classes at least are needed\n"
    )
    assert result.stdout == ""
    assert not (tmp_path / "run").exists()
    assert "Traceback" in told("--debug", "fit", path, "--out", tmp_path / "run").stderr


def test_no_laboratory_is_called_what_drawn_fields_are(write_manifest, tmp_path):
    # Cells of that name are trained on always, also where they were to be held out.
    path = write_manifest([("a.png", "ALL", "g", "simulated", "0.5"), ("b.png", "normal", "h", "other", "0.5")])
    result = told("fit", path, "--out", tmp_path / "run")
    assert result.exit_code == 60
    assert "laboratory 'simulated'" in result.stderr


def test_a_folder_that_cannot_be_made_is_said_before_training(manifest_file, tmp_path):
    (tmp_path / "file").write_text("")
    result = told("fit", manifest_file, "--out", tmp_path / "file" / "run")
    assert result.exit_code == 50
    assert "Not a directory" in result.stderr


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"name": "my model"}, ConfigurationError),
        ({"name": "../model"}, ConfigurationError),
        ({"network": "resnet"}, ConfigurationError),
        ({"um_per_px": 0.0}, ScaleError),
        ({"um_per_px": float("nan")}, ScaleError),
    ],
)
def test_settings_that_no_bundle_could_hold_are_refused_at_once(settings, error):
    with pytest.raises(error):
        trainer.Settings(**settings)


def test_interrupting_ends_with_130_without_a_word_and_without_a_finished_run(manifest_file, tmp_path):
    out = tmp_path / "run"
    # The system's own file descriptors, which native libraries write to.
    with subprocess.Popen(
        [*PROGRAM, "fit", manifest_file, "--out", out, "--steps", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not out.is_dir() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        written, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert written == ""
    # The bar of what was being done perhaps, and nothing of TensorFlow, oneDNN or Python.
    for chatter in ("Traceback", "oneDNN", "WARNING", "cuda", "absl"):
        assert chatter not in said
    assert not (out / runs.DESCRIPTION).exists()


@pytest.mark.parametrize("command", ["fit", "search", "compare"])
@pytest.mark.parametrize(
    ("name", "line"), [("torch", "KERAS_BACKEND=torch: torch is not installed"), ("nonsense", "is no back end")]
)
def test_a_back_end_that_is_not_there_is_one_line(manifest_file, tmp_path, monkeypatch, command, name, line):
    monkeypatch.setenv("KERAS_BACKEND", name)
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda _: None)
    result = told(command, manifest_file, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
