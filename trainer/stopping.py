"""Early stopping: of all epochs the one is kept that does best on laboratories and groups that are only watched.

What is watched is left out of training and judged after each epoch, half of it in stains of other laboratories, since
loss inside the laboratories at hand says little of others. Training goes on to its end: the learning rate is on a
schedule, and an early epoch is not known to be the best before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from edge import verdict
from trainer import evaluate
from trainer.cells import Cells
from trainer.checkpoint import Checkpoints
from trainer.sampling import weights
from trainer.settings import Settings


def split_off(cells: Cells, names: Sequence[str]) -> tuple[Cells, Cells]:
    """Part what is trained on from what is watched.

    Parameters
    ----------
    cells : Cells
        Both.
    names : sequence of str
        Groups and laboratories that are watched; those that are not there are passed over, since a fold may hold them.

    Returns
    -------
    tuple of Cells
        What is trained on, and what is watched; the latter may be empty.
    """
    watched = np.isin(cells.of("group"), names) | np.isin(cells.of("lab"), names)
    return cells.where(~watched), cells.where(watched)


class KeepBest(keras.callbacks.Callback):  # type: ignore[misc]
    """Remembers the weights of the epoch with the least loss on what is watched.

    Parameters
    ----------
    network : keras.Model
        Tiles to logits and embedding; shares its weights with the model that is trained.
    watched : Cells
        What is watched, at least one.
    seen : Cells
        What is trained on: the other stains are theirs.
    settings : Settings
        Tiles and seed.
    stage : str
        Which network of the run it is.
    checkpoints : Checkpoints or None
        Where the best is kept for a training that is stopped; None: nowhere.
    """

    def __init__(
        self,
        network: Any,
        watched: Cells,
        seen: Cells,
        settings: Settings,
        stage: str,
        checkpoints: Checkpoints | None,
    ) -> None:
        super().__init__()
        self._network, self._checkpoints, self._stage = network, checkpoints, f"best of {stage}"
        self._looks = [watched, evaluate.restained(watched, seen, settings.tile_px, settings.seed)]
        self._side_px = settings.tile_px
        self._shares = weights(watched)
        self._least = math.inf
        self.weights: list[Any] = []

    def restore(self, network: Any, learner: Any) -> bool:
        """Take up the best that was kept.

        Parameters
        ----------
        network, learner : keras.Model
            A network of the same shape and its compiled model, to be loaded into and thrown away.

        Returns
        -------
        bool
            False when none was kept, or it cannot be read.
        """
        if not self._checkpoints or not self._checkpoints.restore(learner, self._stage):
            return False
        self._least, self.weights = self._loss(network), learner.get_weights()
        return True

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Measure the weights that would be kept now, the averages where there are such, and go on with the others."""
        last = self.model.get_weights()
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        averaged = self.model.get_weights()
        # Copies: under jax weights and averages are one buffer now, and predicting gives it away.
        self.model.set_weights(averaged)
        loss = self._loss(self._network)
        if loss < self._least:
            self._least, self.weights = loss, averaged
            if self._checkpoints:
                self._checkpoints.save(self.model, self._stage, epoch + 1)
        self.model.set_weights(last)
        if logs is not None:
            # What TensorBoard calls it.
            logs["val_loss"] = loss

    def _loss(self, network: Any) -> float:
        return sum(self._loss_on(network, cells) for cells in self._looks) / len(self._looks)

    def _loss_on(self, network: Any, cells: Cells) -> float:
        total = 0.0
        for part in cells.parts():
            logits, _ = network.predict_on_batch(cells.middles(self._side_px, part).astype(np.float32))
            labels = cells.labels[part]
            likelihood = verdict.softmax(np.asarray(logits))[np.arange(len(labels)), labels]
            total -= float((self._shares[part] * np.log(likelihood + 1e-9)).sum())
        return total
