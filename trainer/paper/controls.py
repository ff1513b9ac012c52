"""What readers of shortcuts alone achieve by the same protocols: whatever they explain is no merit of a network.

All but the first are random forests, since edge maps among the training pictures would bend a linear reader. They stand
beside the systems in every table. The deployed pipeline's own controls are in :mod:`trainer.controls`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from trainer import augment
from trainer.paper import features, selection
from trainer.paper.fields import Pictures
from trainer.paper.systems import Classical, System


@dataclass(frozen=True, slots=True)
class Control:
    """A reader that should find nothing, if it were the disease that is read.

    Attributes
    ----------
    system : System
        The reader.
    explanation : str
        What it is shown.
    shuffles : bool
        Whether it is trained and tested on labels dealt out at random.
    """

    system: System
    explanation: str
    shuffles: bool = False


def shuffled(pictures: Pictures, seed: int) -> NDArray[np.int64]:
    """Deal the labels out at random, one a field: a field's pictures keep sharing theirs.

    Parameters
    ----------
    pictures : Pictures
        Pictures, some of the same field.
    seed : int
        Seed of the deal.

    Returns
    -------
    ndarray
        Shape (n,), int64. As many fields have each label as before.
    """
    fields, first, members = np.unique(pictures.fields, return_index=True, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(len(fields))
    return pictures.labels[first][dealt][members]


def mean_colour(pictures: Pictures, row: int) -> NDArray[np.float32]:
    """Read the mean optical density of a picture and nothing else.

    Parameters
    ----------
    pictures : Pictures
        The pictures.
    row : int
        Which.

    Returns
    -------
    ndarray
        Shape (3,), float32: blue, green, red.
    """
    return np.asarray(augment.stain_statistics(pictures.pixels[row : row + 1])[0][0], np.float32)


def background_only(pictures: Pictures, row: int) -> NDArray[np.float32]:
    """Read the colours of a picture where there is neither nucleus nor rim of a cell.

    Parameters
    ----------
    pictures : Pictures
        The pictures.
    row : int
        Which.

    Returns
    -------
    ndarray
        Shape (96,), float32, see :func:`trainer.paper.features.colour_histogram`.
    """
    return features.colour_histogram(pictures.pixels[row], pictures.background[row])


def _everything(pictures: Pictures, row: int) -> NDArray[np.float32]:
    return features.describe(pictures.pixels[row])


def _nothing(pictures: Pictures, row: int) -> NDArray[np.float32]:  # noqa: ARG001 - that is its point
    return np.zeros(1, np.float32)


def _forest(seed: int, count: int, classes: int) -> Any:  # noqa: ARG001
    return selection.best(count, RandomForestClassifier(class_weight="balanced", random_state=seed))


def _most_frequent(seed: int, count: int, classes: int) -> Any:  # noqa: ARG001
    return make_pipeline(DummyClassifier(strategy="most_frequent"))


SHORTCUTS = ("colour", "background")
"""Controls that read something that is no disease; a system must beat them to have shown anything."""

CONTROLS: dict[str, Control] = {
    "frequency": Control(
        Classical("most frequent class", _most_frequent, _nothing), "nothing; it always calls the most frequent class"
    ),
    "colour": Control(Classical("mean colour only", _forest, mean_colour), "three numbers, the mean optical densities"),
    "background": Control(
        Classical("background only", _forest, background_only),
        "the colour histogram where there is no cell",
    ),
    "shuffled": Control(
        Classical("shuffled labels", _forest, _everything),
        "all features, with labels dealt out at random among the fields: what it has beyond chance is leaked from "
        "training to test",
        shuffles=True,
    ),
}
