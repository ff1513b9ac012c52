"""Training one network: schedule, weight averaging, checkpoints, logs, and what stops it."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.errors import ConfigurationError, OutputError
from trainer import memory, stopping
from trainer.cells import Cells
from trainer.checkpoint import GOES_ON, Checkpoints, stem
from trainer.errors import TrainingFailed, named
from trainer.networks import NETWORKS
from trainer.sampling import Batches
from trainer.settings import Settings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a training has to do with besides data and settings.

    Attributes
    ----------
    progress : callable
        Called with a stage's name, how much is done, and of how much.
    checkpoints : Checkpoints or None
        Where it goes on if it was stopped, and keeps each epoch; None: nowhere.
    logs : Path or None
        Folder of TensorBoard logs, a folder in it a network; None: no logs.
    """

    progress: Callable[[str, int, int], None] = lambda *_: None
    checkpoints: Checkpoints | None = None
    logs: Path | None = None


def train(cells: Cells, settings: Settings, stage: str, around: Surroundings) -> Any:
    """Train a network.

    Adam with decoupled weight decay; a warm-up, then a cosine; the weights that are kept are an exponential average
    over the steps (Polyak and Juditsky 1992), or with ``settings.stop_on`` that of the epoch that did best on what is
    watched.

    Parameters
    ----------
    cells : Cells
        All that it sees, and what of them is watched.
    settings : Settings
        How it is trained. The same settings, cells and processor give the same weights, interrupted or not.
    stage : str
        Which network of the run it is, for progress, checkpoints and logs.
    around : Surroundings
        Where progress, checkpoints and logs go.

    Returns
    -------
    keras.Model
        Tiles to logits and embedding, float32.

    Raises
    ------
    TrainingFailed
        When the loss is no number; says at which step, and on cells of which pictures. Or when that on what is watched
        never is.
    OutOfMemory
        When a batch does not fit; says which would.
    OutputError
        When a checkpoint cannot be written, or a log.
    """
    keras.utils.set_random_seed(settings.seed)
    network, learner = _learner(settings, len(cells.classes))
    seen, watched = stopping.split_off(cells, settings.stop_on)
    kept = around.checkpoints
    best = stopping.KeepBest(network, watched, seen, settings, stage, kept) if len(watched.labels) else None
    batches = Batches(
        seen, settings.tile_px, settings.batch, settings.steps_per_epoch, settings.augmentation, settings.seed
    )
    # An epoch is no use without the best of those before it.
    if kept and (best is None or best.restore(*_learner(settings, len(cells.classes)))):
        batches.epoch = kept.restore(learner, stage)
    # The best is kept before the epoch is: what is taken up again is never without it.
    callbacks: list[Any] = [*([best] if best else []), _Watch(settings, stage, batches, around)]
    # Keras writes these logs by TensorFlow, whichever back end computes.
    if around.logs and importlib.util.find_spec("tensorflow"):
        folder = around.logs / stem(stage)
        callbacks.append(keras.callbacks.TensorBoard(str(folder), write_graph=False))
    if batches.epoch < settings.epochs:
        epochs = {"initial_epoch": batches.epoch, "epochs": settings.epochs}
        try:
            # Keras would shuffle batches, which are random already, by what it drew in the epochs before: a training
            # that is taken up again would have others.
            learner.fit(batches, **epochs, shuffle=False, verbose=0, callbacks=callbacks)
        except Exception as error:
            # Each back end has an error of its own for this, and none of them a common base.
            if memory.FULL_DISK in str(error).lower() and not isinstance(error, OutputError):
                raise OutputError(f"logs {around.logs}", "No space left on device", GOES_ON) from error
            if not memory.is_out_of_memory(error):
                raise
            step = partial(_step, settings, len(cells.classes))
            raise memory.too_large(settings.batch, "tiles", step) from error
        if best:
            if not best.weights:
                raise TrainingFailed(
                    stage,
                    f"after no epoch was the loss on {', '.join(settings.stop_on)} a number",
                    "Lower --learning-rate, or train in --precision float32",
                )
            learner.set_weights(best.weights)
        if kept:
            kept.save(learner, stage, settings.epochs)
    return _in_full_precision(network, settings, len(cells.classes))


@contextmanager
def shared(devices: int) -> Iterator[None]:
    """Share the batches of whatever is trained in the block among several accelerators (``keras.distribution``).

    Parameters
    ----------
    devices : int
        How many; 1 shares nothing.

    Raises
    ------
    ConfigurationError
        When there are fewer, or the back end cannot.
    """
    if devices == 1:
        yield
        return
    if keras.backend.backend() != "jax":
        raise ConfigurationError(
            f"{devices} devices", f"Keras shares batches under jax only, not {keras.backend.backend()}", "KERAS_BACKEND"
        )
    found = keras.distribution.list_devices()
    if len(found) < devices:
        raise ConfigurationError(f"{devices} devices", f"there are {len(found)}: {', '.join(found)}")
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=found[:devices]))
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def _learner(settings: Settings, classes: int) -> tuple[Any, Any]:
    """Build the network, and the model of its logits that is trained."""
    network = _built(settings, classes, settings.precision)
    learner = keras.Model(network.input, network.outputs[0])
    steps = settings.epochs * settings.steps_per_epoch
    warm_up = max(1, steps // 12)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=settings.learning_rate, warmup_steps=warm_up, alpha=0.01
    )
    average = {"use_ema": settings.weight_averaging > 0, "ema_momentum": settings.weight_averaging}
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3, **average)
    if settings.precision == "mixed_float16":
        # Keras does it itself only for a model that is made under that policy; small gradients would be rounded to 0.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    # Otherwise the first step makes its variables, and TensorFlow traces and compiles that step all over again.
    optimizer.build(learner.trainable_variables)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing)
    learner.compile(optimizer=optimizer, loss=loss)
    # Builds the loss: under jax and torch Keras would take the first batch for that, and where several threads make
    # batches give the others of that epoch to the next ones.
    even = np.full((1, classes), 1 / classes, np.float32)
    learner.compute_loss(y=even, y_pred=even)
    return network, learner


def _built(settings: Settings, classes: int, precision: str) -> Any:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return NETWORKS[settings.network](settings.tile_px, classes)
    finally:
        keras.config.set_dtype_policy(before)


def _in_full_precision(network: Any, settings: Settings, classes: int) -> Any:
    if settings.precision == "float32":
        return network
    full = _built(settings, classes, "float32")
    full.set_weights(network.get_weights())
    return full


def _step(settings: Settings, classes: int, batch: int) -> None:
    tiles = np.zeros((batch, settings.tile_px, settings.tile_px, 3), np.float32)
    _learner(settings, classes)[1].train_on_batch(tiles, np.eye(classes, dtype=np.float32)[[0] * batch])


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells progress, keeps epochs, and stops at a loss that is no number."""

    def __init__(self, settings: Settings, stage: str, batches: Batches, around: Surroundings) -> None:
        super().__init__()
        self._settings, self._stage, self._batches, self._around = settings, stage, batches, around
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Begin each epoch with randomness of its own: dropout is then the same after an interruption."""
        self._epoch = epoch
        if keras.backend.backend() == "torch":
            # Dropout draws from torch's own state there, and not by its layer's generator.
            keras.utils.set_random_seed(int(np.random.SeedSequence((self._settings.seed, epoch)).generate_state(1)[0]))
        for number, layer in enumerate(self.model.layers):
            if generator := getattr(layer, "seed_generator", None):
                seed = np.random.SeedSequence((self._settings.seed, epoch, number)).generate_state(2)
                generator.state.assign(seed.astype(generator.state.dtype))

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Report progress; stop at a loss that is no number."""
        loss = float((logs or {}).get("loss", 0.0))
        step = self._epoch * self._settings.steps_per_epoch + batch + 1
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"{self._stage}, step {step}",
                f"the loss is {loss}, on cells of {named(self._batches.pictures(batch))}",
                "Lower --learning-rate; if it fails on the same pictures, look at them",
            )
        self._around.progress(self._stage, step, self._settings.epochs * self._settings.steps_per_epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Keep the network, but for the last epoch: its average is kept when it is made."""
        if self._around.checkpoints and epoch + 1 < self._settings.epochs:
            self._around.checkpoints.save(self.model, self._stage, epoch + 1)
