"""The systems that the paper compares, behind one protocol, so that a protocol and a figure know nothing of them.

A system reads pictures in a way that learns nothing from them, once for all splits, and is then fitted to some of what
it read. That keeps every split honest: whatever is learned, scaling and feature selection too, is learned in ``fit``.
"""

from __future__ import annotations

import math
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from trainer import memory
from trainer.errors import TrainingFailed
from trainer.networks import vgg16
from trainer.paper.fields import Pictures

Inputs = NDArray[Any]
"""What a system read of pictures: shape (n, ...), a row a picture."""

Progress = Callable[[int, int], None]
"""Takes how much is done, and of how much."""

TRAININGS = 4
"""How often a network is trained at most until it calls more than one class of its own training pictures."""

_AT_ONCE = 128
_EACH_CLASS = 64
_NEXT_SEED = 1_000_003


class Diverged(TrainingFailed):
    """Raised when a loss is no number.

    Attributes
    ----------
    rows : ndarray
        Shape (batch,), int64, which of the inputs the step was made on.
    """

    def __init__(self, what: str, why: str, rows: NDArray[np.int64]) -> None:
        super().__init__(what, why)
        self.rows = rows


class Fitted(Protocol):
    """A system that has learned.

    Attributes
    ----------
    parameters : int
        Numbers that it keeps of its training.
    losses : tuple of float
        Training loss of each step; empty where there is none.
    restarts : int
        How often it was trained anew before that, since it called a single class of its own training pictures.
    """

    @property
    def parameters(self) -> int: ...  # noqa: D102

    @property
    def losses(self) -> tuple[float, ...]: ...  # noqa: D102

    @property
    def restarts(self) -> int: ...  # noqa: D102

    def scores(self, inputs: Inputs) -> NDArray[np.float64]:
        """Score each class of each picture, shape (n, classes): the highest is called, few are probabilities."""

    def size_bytes(self) -> int:
        """Size of the file that it is saved in."""


class System(Protocol):
    """A way to tell classes apart.

    Attributes
    ----------
    title : str
        For tables and figures.
    """

    @property
    def title(self) -> str: ...  # noqa: D102

    def read(self, pictures: Pictures, progress: Progress) -> Inputs:
        """Read pictures; learns nothing."""

    def fit(self, inputs: Inputs, labels: NDArray[np.int64], classes: int, seed: int, progress: Progress) -> Fitted:
        """Learn from what was read; ``labels`` of shape (n,) are 0 to ``classes`` - 1, each there at least once.

        Raises
        ------
        Diverged
            When a loss is no number.
        """


@dataclass(frozen=True, slots=True)
class Classical:
    """An estimator of scikit-learn.

    Attributes
    ----------
    title : str
        For tables and figures.
    make : callable
        Seed, number of features and number of classes to a pipeline of scikit-learn.
    describe : callable
        Pictures and a row to the features of that picture, float32.
    """

    title: str
    make: Callable[[int, int, int], Any]
    describe: Callable[[Pictures, int], NDArray[np.float32]]

    def read(self, pictures: Pictures, progress: Progress) -> Inputs:
        """Describe each picture by its features."""
        count = len(pictures.labels)
        rows = []
        for row in range(count):
            rows.append(self.describe(pictures, row))
            progress(row + 1, count)
        return np.stack(rows)

    def fit(self, inputs: Inputs, labels: NDArray[np.int64], classes: int, seed: int, progress: Progress) -> Fitted:
        """Fit the estimator."""
        estimator = self.make(seed, inputs.shape[1], classes).fit(inputs, labels)
        progress(1, 1)
        return _FittedEstimator(estimator, classes)


@dataclass(frozen=True, slots=True, eq=False)
class _FittedEstimator:
    estimator: Any
    classes: int
    losses: tuple[float, ...] = ()
    restarts: int = 0

    @property
    def parameters(self) -> int:
        return _kept(self.estimator[-1])

    def scores(self, inputs: Inputs) -> NDArray[np.float64]:
        scores = np.zeros((len(inputs), self.classes))
        if hasattr(self.estimator, "predict_proba"):
            found = self.estimator.predict_proba(inputs)
        else:
            margins = self.estimator.decision_function(inputs)
            found = np.column_stack([-margins, margins]) if margins.ndim == 1 else margins
        scores[:, self.estimator.classes_] = found
        return scores

    def size_bytes(self) -> int:
        return len(pickle.dumps(self.estimator))


def _kept(estimator: Any) -> int:
    """Count the numbers that an estimator keeps: of a tree two a question and a share of each class a leaf."""
    if hasattr(estimator, "estimators_"):
        return sum(map(_kept, estimator.estimators_))
    if hasattr(estimator, "tree_"):
        leaves = int(estimator.tree_.n_leaves)
        return 2 * (int(estimator.tree_.node_count) - leaves) + leaves * int(estimator.n_classes_)
    learned = ("support_vectors_", "dual_coef_", "coef_", "intercept_", "theta_", "var_", "class_prior_")
    # The coefficients of a support vector machine with an RBF kernel cannot be asked for.
    asked = [name for name in learned if not (name == "coef_" and hasattr(estimator, "dual_coef_"))]
    return sum(np.size(getattr(estimator, name)) for name in asked if hasattr(estimator, name))


@dataclass(frozen=True, slots=True)
class Network:
    """A Keras network that reads pixels.

    Attributes
    ----------
    title : str
        For tables and figures.
    build : callable
        Side and number of classes to a compiled network with one output.
    steps : int
        Optimizer steps.
    batch : int
        Pictures a step, classes alike.
    """

    title: str
    build: Callable[[int, int], Any]
    steps: int
    batch: int

    def read(self, pictures: Pictures, progress: Progress) -> Inputs:
        """Take the pixels as they are."""
        progress(len(pictures.labels), len(pictures.labels))
        return pictures.pixels

    def fit(self, inputs: Inputs, labels: NDArray[np.int64], classes: int, seed: int, progress: Progress) -> Fitted:
        """Train the network; anew from another seed while it ends at a single class, which shows in training alone."""
        for restarts in range(TRAININGS):
            own_seed = (seed + restarts * _NEXT_SEED) % 2**32
            # Else Keras counts on in the names of layers, and the file grows by what was built before.
            keras.utils.clear_session()
            keras.utils.set_random_seed(own_seed)
            network = self.build(inputs.shape[1], classes)
            losses = _train(network, inputs, labels, classes, self.steps, self.batch, own_seed, progress)
            fitted = _FittedNetwork(network, network, losses, restarts)
            shown = np.concatenate([np.flatnonzero(labels == label)[:_EACH_CLASS] for label in range(classes)])
            if len(np.unique(fitted.scores(inputs[shown]).argmax(axis=1))) > 1:
                break
        return fitted


@dataclass(frozen=True, slots=True, eq=False)
class Transferred:
    """VGG-16 whose convolutions stay as they came, see :mod:`trainer.networks.vgg16`.

    Attributes
    ----------
    title : str
        For tables and figures.
    convolutions : keras.Model
        Pictures to embeddings.
    steps : int
        Optimizer steps.
    batch : int
        Pictures a step, classes alike.
    """

    title: str
    convolutions: Any
    steps: int
    batch: int

    def read(self, pictures: Pictures, progress: Progress) -> Inputs:
        """Run the convolutions."""
        return _run(self.convolutions, pictures.pixels, progress)

    def fit(self, inputs: Inputs, labels: NDArray[np.int64], classes: int, seed: int, progress: Progress) -> Fitted:
        """Train the head."""
        keras.utils.set_random_seed(seed)
        scaling = keras.layers.Normalization(name="scaling")
        scaling.adapt(inputs)
        head = vgg16.head(classes)
        scaled = keras.ops.convert_to_numpy(scaling(inputs))
        losses = _train(head, scaled, labels, classes, self.steps, self.batch, seed, progress)
        embedding = keras.Input((inputs.shape[1],))
        scaled_head = keras.Model(embedding, head(scaling(embedding)))
        whole = keras.Model(self.convolutions.input, scaled_head(self.convolutions.output))
        return _FittedNetwork(scaled_head, whole, losses)


@dataclass(frozen=True, slots=True, eq=False)
class _FittedNetwork:
    network: Any
    whole: Any
    losses: tuple[float, ...]
    restarts: int = 0

    @property
    def parameters(self) -> int:
        return int(self.whole.count_params())

    def scores(self, inputs: Inputs) -> NDArray[np.float64]:
        return _run(self.network, inputs).astype(np.float64)

    def size_bytes(self) -> int:
        # As it would be deployed: without the optimizer's memory.
        bare = keras.models.clone_model(self.whole)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.keras"
            bare.save(path)
            return path.stat().st_size


def _run(network: Any, inputs: Inputs, progress: Progress = lambda *_: None) -> NDArray[np.float32]:
    parts = []
    for start in range(0, len(inputs), _AT_ONCE):
        parts.append(network.predict_on_batch(inputs[start : start + _AT_ONCE].astype(np.float32)))
        progress(min(start + _AT_ONCE, len(inputs)), len(inputs))
    return np.concatenate([np.asarray(part) for part in parts])


def _train(
    network: Any,
    inputs: Inputs,
    labels: NDArray[np.int64],
    classes: int,
    steps: int,
    batch: int,
    seed: int,
    progress: Progress,
) -> tuple[float, ...]:
    # Otherwise the first step makes its variables, and TensorFlow traces and compiles that step all over again.
    network.optimizer.build(network.trainable_variables)
    chance = np.cumsum(1 / np.bincount(labels, minlength=classes)[labels])
    wanted = np.eye(classes, dtype=np.float32)
    losses = []

    def draw(step: int, count: int) -> NDArray[np.int64]:
        at = np.random.default_rng((seed, step)).random(count) * chance[-1]
        return np.asarray(np.minimum(np.searchsorted(chance, at), len(labels) - 1), np.int64)

    def learn(step: int, count: int) -> float:
        drawn = draw(step, count)
        return float(network.train_on_batch(inputs[drawn].astype(np.float32), wanted[labels[drawn]]))

    # Step by step: what `fit` does besides takes longer than a step of networks as small as these.
    for step in range(steps):
        try:
            loss = learn(step, batch)
        except Exception as error:
            # Each back end has an error of its own for this, and none of them a common base.
            if not memory.is_out_of_memory(error):
                raise
            raise memory.too_large(batch, "pictures", partial(learn, step)) from error
        if not math.isfinite(loss):
            raise Diverged(f"step {step + 1}", f"the loss is {loss}", draw(step, batch))
        losses.append(loss)
        # Or Keras tells the mean over all steps.
        network.reset_metrics()
        progress(step + 1, steps)
    return tuple(losses)
