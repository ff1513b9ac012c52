"""A training that was stopped goes on as if it had not been; one that cannot go on says why."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import msgspec
import numpy as np
import pytest
from interrupted import Stopped, stop_at, weights_of

import trainer
from edge.errors import ConfigurationError, OutputError
from edge.model import run as runs
from trainer import checkpoint, learning, sampling, settings
from trainer.augment import Augmentation
from trainer.checkpoint import FOLDER, Checkpoints
from trainer.errors import OutOfMemory, TrainingFailed
from trainer.learning import Surroundings, train
from trainer.memory import is_out_of_memory
from trainer.sampling import Batches
from trainer.settings import Settings

# Each training is compiled first; one test does so in two processes, 40 s on a core and 140 s on a third of one.
pytestmark = pytest.mark.timeout(600)

ORIGINS = [("ALL", "a", "a1"), ("ALL", "b", "b1"), ("normal", "a", "a2"), ("normal", "b", "b2")]


@pytest.fixture
def cells(make_cells):
    return make_cells(ORIGINS)


@pytest.fixture
def three_epochs(quick_training, monkeypatch):
    """Give settings of three epochs of two steps."""
    monkeypatch.setattr(settings, "EPOCH_STEPS", 2)
    return replace(quick_training, steps=6, batch=4)


def test_a_training_that_was_stopped_gives_the_weights_of_one_that_was_not(cells, three_epochs, tmp_path):
    whole = weights_of(train(cells, three_epochs, "training", Surroundings()))
    kept = Checkpoints(tmp_path, "key")
    # In the third of its epochs.
    with pytest.raises(Stopped):
        train(cells, three_epochs, "training", Surroundings(stop_at(5), kept))
    steps = []
    resumed = train(cells, three_epochs, "training", Surroundings(lambda _, done, of: steps.append((done, of)), kept))
    assert steps == [(5, 6), (6, 6)]
    assert np.array_equal(weights_of(resumed), whole)


def test_batches_come_in_the_same_order_after_an_interruption(cells, quick_training, tmp_path, monkeypatch):
    # Of two batches every other shuffle is none.
    monkeypatch.setattr(settings, "EPOCH_STEPS", 6)
    longer = replace(quick_training, steps=18, batch=4)
    whole = weights_of(train(cells, longer, "training", Surroundings()))
    kept = Checkpoints(tmp_path, "key")
    with pytest.raises(Stopped):
        train(cells, longer, "training", Surroundings(stop_at(14), kept))
    assert np.array_equal(weights_of(train(cells, longer, "training", Surroundings(checkpoints=kept))), whole)


def test_many_threads_that_make_batches_give_the_weights_of_one(cells, three_epochs, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "worker_count", lambda _: 1)
    one = weights_of(train(cells, three_epochs, "training", Surroundings()))
    monkeypatch.setattr(sampling, "worker_count", lambda _: 4)
    assert np.array_equal(weights_of(train(cells, three_epochs, "training", Surroundings())), one)
    kept = Checkpoints(tmp_path, "key")
    with pytest.raises(Stopped):
        train(cells, three_epochs, "training", Surroundings(stop_at(5), kept))
    resumed = train(cells, three_epochs, "training", Surroundings(checkpoints=kept))
    assert np.array_equal(weights_of(resumed), one)


def test_a_loss_that_is_no_number_names_the_pictures_whose_cells_were_in_the_batch(
    make_cells, quick_training, monkeypatch
):
    # A class a picture, so that a batch tells which ones it is of.
    cells = make_cells([(f"class {number}", "a", f"g{number}") for number in range(8)])
    original = Batches.__getitem__
    held = {}

    def poisoned(self, index):
        tiles, classes = original(self, index)
        # What Keras looks at beforehand is given again, in the order of training.
        held[index] = sorted(set(classes.argmax(axis=1).tolist()))
        return (tiles * np.nan if 5 in held[index] else tiles), classes

    monkeypatch.setattr(Batches, "__getitem__", poisoned)
    with pytest.raises(TrainingFailed) as failed:
        train(cells, replace(quick_training, steps=20, batch=2), "training", Surroundings())
    step = int(re.search(r"step (\d+)", str(failed.value))[1])
    assert 5 in held[step - 1]
    named = ", ".join(f"{number}.png" for number in held[step - 1])
    assert f"on cells of {named}." in str(failed.value)


def test_a_finished_training_is_not_done_again(cells, three_epochs, tmp_path):
    kept = Checkpoints(tmp_path, "key")
    first = weights_of(train(cells, three_epochs, "training", Surroundings(checkpoints=kept)))
    again = train(cells, three_epochs, "training", Surroundings(stop_at(1), kept))
    assert np.array_equal(weights_of(again), first)


def test_checkpoints_of_another_run_or_stage_are_not_taken_up(cells, three_epochs, tmp_path):
    train(cells, three_epochs, "training", Surroundings(checkpoints=Checkpoints(tmp_path, "key")))
    for key, stage in (("other", "training"), ("key", "fold 1 of 2")):
        with pytest.raises(Stopped):
            train(cells, three_epochs, stage, Surroundings(stop_at(1), Checkpoints(tmp_path, key)))


def test_no_two_stages_share_a_checkpoint():
    stages = [
        "without 北京",
        "without 上海",
        "without Site A",
        "without site-a",
        "without site a",
        "without ",
        "without",
    ]
    stems = [checkpoint.stem(stage) for stage in stages]
    assert len(set(stems)) == len(stages)
    assert all(re.fullmatch("[a-z0-9-]+", stem) for stem in stems)
    assert checkpoint.stem("fold 1 of 3") == "fold-1-of-3"


def test_a_damaged_checkpoint_is_left_aside(cells, three_epochs, tmp_path):
    kept = Checkpoints(tmp_path, "key")
    first = weights_of(train(cells, three_epochs, "training", Surroundings(checkpoints=kept)))
    (place,) = (tmp_path / FOLDER / "key").iterdir()
    place.write_bytes(place.read_bytes()[:1000])
    again = train(cells, three_epochs, "training", Surroundings(checkpoints=kept))
    assert np.array_equal(weights_of(again), first)


def test_a_full_disk_at_a_checkpoint_is_said_and_the_last_one_stays(cells, three_epochs, tmp_path):
    kept = Checkpoints(tmp_path, "key")
    with pytest.raises(Stopped):
        train(cells, three_epochs, "training", Surroundings(stop_at(3), kept))
    # What is written there comes to a device that is always full.
    (tmp_path / FOLDER / "key" / "part-training.2.weights.h5").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="goes on from the last epoch that was kept"):
        train(cells, three_epochs, "training", Surroundings(checkpoints=kept))
    assert (tmp_path / FOLDER / "key" / "training.1.weights.h5").exists()


def test_an_epoch_is_on_the_disk_before_the_one_before_it_is_removed(cells, three_epochs, tmp_path, monkeypatch):
    folder, synced = tmp_path / FOLDER / "key", []

    def fsync(descriptor):
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, {path.name for path in folder.iterdir()}))

    monkeypatch.setattr(os, "fsync", fsync)
    train(cells, three_epochs, "training", Surroundings(checkpoints=Checkpoints(tmp_path, "key")))
    first, second = (f"training.{epoch}.weights.h5" for epoch in (1, 2))
    assert (f"part-{second}", {first, f"part-{second}"}) in synced
    assert ("key", {first, second}) in synced


def test_a_full_disk_for_the_logs_is_not_taken_for_full_memory(cells, three_epochs, disk_of):
    disk = disk_of("4k")
    (disk / "full").write_bytes(bytes(4096))
    with pytest.raises(OutputError, match="No space left on device") as refused:
        train(cells, three_epochs, "training", Surroundings(logs=disk / "logs"))
    assert refused.value.exit_code == 50


def test_a_loss_that_is_no_number_names_step_and_pictures(cells, three_epochs):
    # Settings refuse such a rate: what a network blows up at without it cannot be told beforehand.
    much_too_fast = replace(three_epochs)
    object.__setattr__(much_too_fast, "learning_rate", 1e30)
    with pytest.raises(TrainingFailed, match=r"training, step \d: the loss is nan, on cells of \d\.png") as failed:
        train(cells, much_too_fast, "training", Surroundings())
    assert failed.value.exit_code == 61
    assert "--learning-rate" in failed.value.remedy


@pytest.fixture
def small_memory(monkeypatch):
    """Let no batch of more than three tiles fit: what is larger fails as TensorFlow does."""
    import tensorflow as tf

    original = keras.Model.train_on_batch

    def step(self, tiles, *others, **named):
        if len(tiles) > 3:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[8,32,32,3]")
        return original(self, tiles, *others, **named)

    def fit(self, batches, **_):
        return self.train_on_batch(batches[0][0])

    monkeypatch.setattr(keras.Model, "train_on_batch", step)
    monkeypatch.setattr(keras.Model, "fit", fit)


def test_out_of_memory_says_which_batch_would_fit(cells, quick_training, small_memory):
    with pytest.raises(OutOfMemory, match=r"a batch of 12 tiles: there is not enough memory\. 3 fit") as failed:
        train(cells, replace(quick_training, batch=12), "training", Surroundings())
    assert failed.value.exit_code == 62


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes."), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        # TensorFlow's words for a constant, and for a thread that makes batches.
        (ValueError("Cannot parse tensor from proto: dtype: DT_FLOAT"), True),
        (RuntimeError("_ArrayMemoryError: Unable to allocate 7.72 GiB for an array"), True),
        (ValueError("shapes do not fit"), False),
        # As TensorFlow says it of a file.
        (type("ResourceExhaustedError", (Exception,), {})("events.v2; No space left on device"), False),
    ],
)
def test_what_back_ends_say_of_memory_is_understood(error, expected):
    assert is_out_of_memory(error) is expected


def test_mixed_precision_gives_a_network_in_full_precision(cells, three_epochs):
    network = train(
        cells, replace(three_epochs, network="cell-dense", precision="mixed_bfloat16", steps=1), "t", Surroundings()
    )
    assert {str(layer.compute_dtype) for layer in network.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_gradients_too_small_for_16_bits_are_scaled_interrupted_or_not(cells, three_epochs, tmp_path):
    half = replace(three_epochs, precision="mixed_float16", stop_on=("a1", "b2"))
    scaled = [learning._learner(each, 2)[1].optimizer.scale_loss(1.0) for each in (half, three_epochs)]
    assert float(scaled[0]) > 1000 * float(scaled[1])
    whole = weights_of(train(cells, half, "training", Surroundings()))
    kept = Checkpoints(tmp_path, "key")
    with pytest.raises(Stopped):
        train(cells, half, "training", Surroundings(stop_at(5), kept))
    assert np.array_equal(weights_of(train(cells, half, "training", Surroundings(checkpoints=kept))), whole)


@pytest.mark.parametrize("wrong", [{"precision": "int4"}, {"tile_px": 33}, {"devices": 0}, {"devices": 3, "batch": 32}])
def test_settings_that_cannot_be_trained_with_are_refused_at_once(wrong):
    with pytest.raises(ConfigurationError):
        Settings(**wrong)


def test_more_devices_than_this_back_end_shares_are_refused():
    with pytest.raises(ConfigurationError, match="under jax only"), learning.shared(2):
        pass


def test_steps_are_whole_epochs():
    for steps, epochs, each in ((1, 1, 1), (100, 1, 100), (101, 2, 51), (1500, 15, 100)):
        found = Settings(steps=steps)
        assert (found.epochs, found.steps_per_epoch) == (epochs, each)


def test_settings_survive_a_file_and_a_wrong_file_is_said(tmp_path):
    chosen = Settings(learning_rate=0.002, augmentation=Augmentation(restain=0.9))
    (tmp_path / "best.json").write_bytes(msgspec.json.encode(chosen))
    assert settings.read(tmp_path / "best.json") == chosen
    (tmp_path / "best.json").write_text('{"learning_rate": "fast"}')
    with pytest.raises(ConfigurationError, match="Expected `float`"):
        settings.read(tmp_path / "best.json")
    (tmp_path / "best.json").write_bytes(b'{"name": "Pr\xe4parat"}')
    with pytest.raises(ConfigurationError, match="utf-8"):
        settings.read(tmp_path / "best.json")


KILLED = """
import os, signal, sys
from pathlib import Path
import tiny, trainer, trainer.settings
from trainer.networks import NETWORKS

NETWORKS["tiny"] = tiny.build
trainer.settings.EPOCH_STEPS = 2

def progress(stage, done, of):
    if stage.startswith("fold 1") and done == 4:
        os.kill(os.getpid(), signal.SIGKILL)

settings = trainer.Settings(network="tiny", steps=6, batch=2, tile_px=32)
trainer.fit([Path(sys.argv[1])], Path(sys.argv[2]), settings, folds=2, progress=progress)
"""


def test_a_run_that_was_killed_goes_on_at_the_epoch_it_had_reached(manifest_file, tmp_path, three_epochs):
    command = [sys.executable, "-c", KILLED, str(manifest_file), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / runs.DESCRIPTION).exists()
    steps = []

    def progress(stage, done, of):
        if stage.startswith("fold 1"):
            steps.append((done, of))
            raise Stopped

    with pytest.raises(Stopped):
        trainer.fit([manifest_file], tmp_path, replace(three_epochs, batch=2), folds=2, progress=progress)
    # Four steps were done, of which the two of the first epoch were kept.
    assert steps == [(3, 6)]
