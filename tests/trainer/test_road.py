"""The whole road: fields, a run, a bundle, a verdict; the same again gives the same; nothing half looks whole."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from interrupted import Stopped

import convert.cli
import trainer
import trainer.cli
from edge import RESEARCH_USE_ONLY
from edge.camera.decode import read_image
from edge.errors import BundleNotFound, OutputError
from edge.frame import Frame, SensorReport
from edge.model import open_model
from edge.model import run as runs
from edge.pipeline import classify
from trainer.card import HOW_JUDGED, WEIGHING

# The first test makes a run and a bundle: on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(600)

OPTIONS = {"--steps": "6", "--batch": "16", "--tile": "32", "--folds": "2", "--hold-out": "violet-MM-0"}


def tell(program, *arguments):
    """Run a command in this process; its exit code and what it wrote to standard output."""
    with redirect_stdout(io.StringIO()) as written:
        code = program.main([str(argument) for argument in arguments], standalone_mode=False)
    return code, written.getvalue()


@pytest.fixture(scope="module")
def fitted(manifest_file, tmp_path_factory):
    """Train by the command; the run's folder and what the command told."""
    folder = tmp_path_factory.mktemp("road") / "run"
    options = [part for option in OPTIONS.items() for part in option]
    code, written = tell(trainer.cli.main, "fit", manifest_file, "--out", folder, "--name", "road", *options, "--json")
    assert code is None
    return folder, json.loads(written)


@pytest.fixture(scope="module")
def bundled(fitted, tmp_path_factory):
    """Convert the run by the command; the bundle's file and what the command told."""
    out = tmp_path_factory.mktemp("bundle") / "road.wbc"
    # Six steps make no network that is sure of itself.
    code, written = tell(convert.cli.main, "quantize", fitted[0], "--out", out, "--min-agreement", "0.5", "--json")
    assert code is None
    return out, json.loads(written)


def test_a_run_is_described(fitted):
    folder, told = fitted
    run = runs.read(folder)
    assert run.name == told["name"] == "road"
    assert run.classes == tuple(told["classes"]) == ("ALL", "MM", "normal")
    assert run.training.held_out_groups == tuple(told["held_out_groups"]) == ("violet-MM-0",)
    assert run.tiling.tile_px == 32
    assert told["metrics"] == run.metrics
    assert run.metrics["cross-validated fields"] == 22
    assert set(run.training.software) >= {"wbc-edge", "keras", "tensorflow", "numpy", "python"}


def test_a_run_holds_all_that_the_converter_needs(fitted):
    folder, _ = fitted
    tiles, labels = (runs.array(folder, name) for name in (runs.HELD_OUT_TILES, runs.HELD_OUT_LABELS))
    assert tiles.shape == (len(labels), 32, 32, 3)
    # Of the group held out, all of myeloma.
    assert set(labels.tolist()) == {1}
    fields, sources = (runs.array(folder, name) for name in (runs.HELD_OUT_FIELDS, runs.HELD_OUT_SOURCES))
    assert sources.tolist() == [["MM", "violet-MM-0", "violet"]] * 2
    assert sorted(set(fields.tolist())) == [0, 1]
    assert len(fields) == len(labels)
    assert runs.array(folder, runs.CALIBRATION).shape[1:] == (32, 32, 3)
    assert runs.array(folder, runs.NOVELTY).shape == (65, 64)
    report = json.loads((folder / runs.REPORT).read_bytes())
    assert report["test"]["fields"] == 2
    assert report["test_part_opened"] == 1
    assert set(report["controls"]) == {"mean colour", "background only", "shuffled labels"}
    for part in ("cross-validated", "cross-validated, restained", "test"):
        assert set(report[part]["accuracy"]["controls"]) == {"mean colour", "background only"}
        # What is unlike the training data is refused in each part.
        assert report[part]["novelty_quantiles"]
    assert len(report["data_sha256"]) == 64
    assert report["settings"]["augmentation"]["restain"] == 0.75
    assert RESEARCH_USE_ONLY in (folder / runs.CARD).read_text()


def test_a_drawn_field_gets_a_verdict(bundled, drawn):
    out, told = bundled
    assert told["bytes"] == out.stat().st_size
    assert told["agreement"] >= 0.5
    model = open_model(out)
    assert model.bundle.identity == told["model"]
    assert "int8 agreement with float" in model.bundle.description.metrics
    pixels = read_image(Path(drawn[0][0]))
    frame = Frame(
        pixels=pixels, name="field", sequence=0, um_per_px=0.5, wall_time_s=0.0, monotonic_s=0.0, sensor=SensorReport()
    )
    result = classify(frame, model)
    assert result.quality.usable
    assert len(result.tiles) > 3
    assert result.verdict in ("ALL", "MM", "normal", "indeterminate")
    assert sum(result.probabilities.values()) == pytest.approx(1)
    assert result.model == told["model"]


def test_the_same_seed_gives_the_same_run_and_another_seed_another(manifest_file, tmp_path, quick_training):
    import keras

    seeds = {"one": 0, "again": 0, "other": 1}
    metrics, weights, novelty = {}, {}, {}
    for name, seed in seeds.items():
        settings = replace(quick_training, steps=5, batch=16, seed=seed)
        metrics[name] = trainer.fit([manifest_file], tmp_path / name, settings, folds=2).metrics
        network = keras.models.load_model(tmp_path / name / runs.NETWORK, compile=False)
        weights[name] = np.concatenate([weight.ravel() for weight in network.get_weights()])
        novelty[name] = runs.array(tmp_path / name, runs.NOVELTY)
    assert np.array_equal(weights["one"], weights["again"])
    assert np.array_equal(novelty["one"], novelty["again"])
    assert metrics["one"] == metrics["again"]
    assert not np.array_equal(weights["one"], weights["other"])


def test_the_page_of_a_run_needs_nothing_else_and_tells_what_the_figures_tell(fitted):
    folder, told = fitted
    page = (folder / "report.html").read_text(encoding="utf-8")
    outside = [url for url in re.findall(r"""(?:src|href)=["']([^"'#]+)""", page) if not url.startswith("data:")]
    assert outside == []
    assert "<svg" in page
    assert "data:image/jpeg;base64," in page
    report = json.loads((folder / runs.REPORT).read_bytes())
    for fact in (
        RESEARCH_USE_ONLY,
        report["data_sha256"],
        f"{report['test']['accuracy']['share']:.3f}",
        "opened once",
        WEIGHING,
        HOW_JUDGED,
        "least certain",
        "The bar is 10 um.",
        "Shuffled labels, fold 1",
        told["name"],
    ):
        assert fact in page, fact


def test_a_finished_run_keeps_logs_and_no_checkpoints(fitted):
    folder, _ = fitted
    assert not (folder / ".checkpoints").exists()
    stages = {path.name for path in (folder / "logs").iterdir()}
    assert stages == {"fold-1-of-2", "fold-2-of-2", "training", "shuffled-labels"}
    assert list((folder / "logs" / "training").rglob("events.out.tfevents.*"))


def test_what_makes_a_run_finished_is_written_last(fitted):
    written = {path.name: path.stat().st_mtime_ns for path in fitted[0].iterdir() if path.is_file()}
    assert max(written, key=written.__getitem__) == runs.DESCRIPTION


def test_a_run_that_is_trained_again_is_not_finished_meanwhile(manifest_file, tmp_path):
    (tmp_path / runs.DESCRIPTION).write_text("{}")

    def progress(stage, done, of):
        assert not (tmp_path / runs.DESCRIPTION).exists()
        raise Stopped

    with pytest.raises(Stopped):
        trainer.fit([manifest_file], tmp_path, trainer.Settings(), progress=progress)
    with pytest.raises(BundleNotFound, match="not a finished training run"):
        runs.read(tmp_path)


def test_logs_are_of_this_run_alone_and_of_all_of_it(manifest_file, tmp_path, quick_training):
    old = tmp_path / "logs" / "without-somewhere" / "events.out.tfevents.1"
    old.parent.mkdir(parents=True)
    old.touch()

    def stop_in_the_second(stage, done, of):
        if stage == "fold 2 of 2":
            raise Stopped

    with pytest.raises(Stopped):
        trainer.fit([manifest_file], tmp_path, quick_training, folds=2, progress=stop_in_the_second)
    assert not old.parent.exists()
    first = set((tmp_path / "logs" / "fold-1-of-2").rglob("events.out.tfevents.*"))
    assert first
    trainer.fit([manifest_file], tmp_path, quick_training, folds=2)
    assert first <= set((tmp_path / "logs" / "fold-1-of-2").rglob("events.out.tfevents.*"))


@pytest.mark.parametrize("name", [runs.NETWORK, runs.CALIBRATION, runs.CARD])
def test_a_full_disk_leaves_no_finished_run(manifest_file, tmp_path, name, quick_training):
    # What is written there comes to a device that is always full.
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left on device") as refused:
        trainer.fit([manifest_file], tmp_path, quick_training, folds=2)
    assert refused.value.exit_code == 50
    assert not (tmp_path / runs.DESCRIPTION).exists()


def test_two_laboratories_of_one_group_each_can_be_learned_from(drawn, tmp_path, write_manifest, quick_training):
    rows = [(path, label, lab, lab, um) for path, label, _, lab, um in drawn if label != "MM"]
    run = trainer.fit([write_manifest(rows)], tmp_path / "run", quick_training, folds=5)
    assert run.classes == ("ALL", "normal")
    assert run.training.held_out_groups == ()


def test_one_laboratory_can_be_learned_from(drawn, tmp_path, write_manifest, quick_training):
    rows = [row for row in drawn if row[3] == "violet"]
    run = trainer.fit([write_manifest(rows)], tmp_path / "run", quick_training, folds=2)
    assert run.metrics["cross-validated fields"] == 12
    # In a single laboratory there is no foreign stain: the same fields are no second figure.
    report = json.loads((tmp_path / "run" / runs.REPORT).read_bytes())
    assert "cross-validated, restained" not in report
    assert set(report["controls"]["mean colour"]) == {"cross-validated"}
    assert "restained" not in (tmp_path / "run" / runs.CARD).read_text().replace(HOW_JUDGED, "")


def test_controls_stand_beside_laboratories_left_out(manifest_file, tmp_path, quick_training):
    trainer.fit([manifest_file], tmp_path, quick_training, folds=2, leave_out_laboratories=True)
    report = json.loads((tmp_path / runs.REPORT).read_bytes())
    left_out = report["laboratories left out"]
    # Each of the two has every class of the other.
    assert left_out["fields"] == 24
    assert left_out["novelty_quantiles"]
    for headline in (left_out["accuracy"], *left_out["pairs"].values()):
        assert set(headline["controls"]) == {"mean colour", "background only"}
