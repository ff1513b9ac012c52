"""Which systems are compared: the paper's six, and the deployed network beside them when it is asked for.

The paper's two classes are nearly alike in number (90 and 100 fields). Here every system sees its classes alike too:
networks in their batches, the others by weights. All read the same pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from edge.errors import ConfigurationError
from trainer.networks import cell_dense, paper, vgg16
from trainer.paper import selection
from trainer.paper.features import describe
from trainer.paper.fields import Pictures
from trainer.paper.systems import Classical, Network, System, Transferred

PAPER = "paper"
SIX = (PAPER, "vgg16", "svm", "bayes", "tree", "forest")
"""The systems of the paper's Table 2."""

NAMES = (*SIX, "cell-dense")

DEPLOYED_RATE = 4e-3


def systems(
    names: Sequence[str], side_px: int, steps: int, batch: int, best: int, weights: str, seed: int
) -> dict[str, System]:
    """Make the systems to be compared.

    Parameters
    ----------
    names : sequence of str
        Of :data:`NAMES`.
    side_px : int
        Side of the pictures.
    steps : int
        Optimizer steps of each network, 1,000 in the paper.
    batch : int
        Pictures a step.
    best : int
        Features kept by chi-square.
    weights : str
        Of VGG-16: ``"imagenet"``, ``"none"``, or a file; see :func:`trainer.networks.vgg16.convolutions`.
    seed : int
        Seed of random weights of VGG-16.

    Returns
    -------
    dict of str to System
        By name, in the order asked for.

    Raises
    ------
    ConfigurationError
        When a name is unknown.
    WeightsUnavailable
        When VGG-16 is asked for and its weights are not to be had.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ConfigurationError(f"system {unknown[0]!r}", f"unknown; there are {', '.join(NAMES)}")
    return {name: _make(name, side_px, steps, batch, best, weights, seed) for name in dict.fromkeys(names)}


def _make(name: str, side_px: int, steps: int, batch: int, best: int, weights: str, seed: int) -> System:
    if name == PAPER:
        return Network("network of the paper", paper.build, steps, batch)
    if name == "cell-dense":
        return Network("deployed network", _deployed, steps, batch)
    if name == "vgg16":
        title = "VGG-16, UNTRAINED convolutions" if weights == vgg16.UNTRAINED else "VGG-16, transferred"
        return Transferred(title, vgg16.convolutions(side_px, weights, seed), steps, batch)
    title, make = _ESTIMATORS[name]

    def chosen(seed: int, count: int, classes: int) -> Any:
        return selection.best(min(best, count), make(seed, classes))

    return Classical(title, chosen, _described)


_ESTIMATORS: dict[str, tuple[str, Any]] = {
    "svm": ("SVM, RBF kernel", lambda _, __: SVC(kernel="rbf", class_weight="balanced")),
    "bayes": ("Gaussian naive Bayes", lambda _, classes: GaussianNB(priors=np.full(classes, 1 / classes))),
    "tree": ("decision tree", lambda seed, _: DecisionTreeClassifier(class_weight="balanced", random_state=seed)),
    "forest": ("random forest", lambda seed, _: RandomForestClassifier(class_weight="balanced", random_state=seed)),
}


def _described(pictures: Pictures, row: int) -> NDArray[np.float32]:
    return describe(pictures.pixels[row])


def _deployed(side_px: int, classes: int) -> Any:
    whole = cell_dense.build(side_px, classes)
    network = keras.Model(whole.input, whole.outputs[0], name="deployed")
    network.compile(
        optimizer=keras.optimizers.Adam(DEPLOYED_RATE), loss=keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    return network
