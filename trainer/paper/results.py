"""What a comparison finds, as it is kept in ``compare.json`` and between runs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer.paper.measures import Figure, confusions


class Task(NamedTuple):
    """Classes of a data set to be told apart.

    Attributes
    ----------
    data : str
        Name of the data set.
    classes : tuple of str
        Its classes; of two the first is the positive one.
    """

    data: str
    classes: tuple[str, ...]

    @property
    def title(self) -> str:
        """As in a table: ``fields: ALL against MM``."""
        return f"{self.data}: {' against '.join(self.classes)}"

    @property
    def slug(self) -> str:
        """As in a file's name: no two tasks alike, whatever stands in their names."""
        parts = (self.data, *self.classes)
        plain = "-".join(re.sub(r"[^\w.-]+", "-", part) for part in parts)
        if all(re.fullmatch(r"[\w.]+", part) for part in parts):
            return plain
        return f"{plain}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"


class Part(msgspec.Struct, frozen=True):
    """What one system did in one task by one protocol.

    Attributes
    ----------
    key : str
        Digest of all that decides it, so that it is not done twice.
    tested : list of int
        Pictures of the task that were tested, by fold.
    scores : list of list of float
        Score of each class of each.
    losses : list of list of float
        Training loss of each step of each fold.
    restarts : list of int
        How often each fold's training was begun anew, see :class:`trainer.paper.systems.Fitted`.
    parameters : int
        Numbers that the system keeps of its training.
    size_bytes : int
        Size of its file.
    ms_per_picture : float
        Median time of a picture, from its pixels to its scores, one at a time.
    training_s : float
        Time of fitting and testing all folds.
    """

    key: str
    tested: list[int]
    scores: list[list[float]]
    losses: list[list[float]]
    restarts: list[int]
    parameters: int
    size_bytes: int
    ms_per_picture: float
    training_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A part with what it was tested on; one row a tested picture.

    Attributes
    ----------
    task : Task
        What was told apart.
    protocol, system : str
        By name.
    title : str
        The system's, for tables and figures.
    is_control : bool
        Whether it is a reader of a shortcut.
    labels : ndarray
        Shape (n,), int64, index into the task's classes.
    scores : ndarray
        Shape (n, classes), float64.
    groups : ndarray
        Shape (n,), str.
    taken : ndarray
        Shape (n,), bool, False for what augmentation made.
    folds : ndarray
        Shape (n,), int64, in which fold each was tested.
    part : Part
        As it is kept.
    """

    task: Task
    protocol: str
    system: str
    title: str
    is_control: bool
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    groups: NDArray[np.str_]
    taken: NDArray[np.bool_]
    folds: NDArray[np.int64]
    part: Part

    @property
    def called(self) -> NDArray[np.int64]:
        """Class called, shape (n,)."""
        return np.asarray(self.scores.argmax(axis=1))

    @property
    def one_class_only(self) -> int:
        """How many of its trainings called a single class, where several were tested: those learned nothing."""
        own = [self.folds == fold for fold in np.unique(self.folds)]
        return sum(len(np.unique(self.called[fold])) < 2 <= len(np.unique(self.labels[fold])) for fold in own)

    @property
    def confusions(self) -> NDArray[np.int64]:
        """Counts of each group, see :func:`trainer.paper.measures.confusions`."""
        return confusions(self.labels, self.called, self.groups, len(self.task.classes))


class DataSet(msgspec.Struct, frozen=True):
    """A data set.

    Attributes
    ----------
    name : str
        After its file.
    sha256 : str
        Of its pictures, masks and labels.
    fields, groups : dict
        How many of each class.
    laboratories : dict
        Where each class comes from.
    pictures : int
        How many there are after augmentation.
    unreadable : tuple of str
        Pictures that could not be read, a line each.
    """

    name: str
    sha256: str
    fields: dict[str, int]
    groups: dict[str, int]
    laboratories: dict[str, list[str]]
    pictures: int
    unreadable: tuple[str, ...]


class Row(msgspec.Struct, frozen=True):
    """A line of Table 2.

    Attributes
    ----------
    task : Task
        What was told apart.
    protocol, system, title : str
        Which, and the system's title.
    is_control : bool
        Whether it is a reader of a shortcut.
    tested : int
        Pictures tested.
    figures : dict
        Of :data:`trainer.paper.measures.MEASURES` and ``"AUROC"``.
    accuracy_as_taken : float
        Accuracy on the pictures that augmentation did not make.
    confusion : list of list of int
        True class, class called.
    last_loss : float or None
        Mean training loss of the last 50 steps of all folds.
    restarts : int
        How many trainings were begun anew, over all folds.
    parameters, size_bytes, ms_per_picture, training_s
        See :class:`Part`.
    """

    task: Task
    protocol: str
    system: str
    title: str
    is_control: bool
    tested: int
    figures: dict[str, Figure]
    accuracy_as_taken: float
    confusion: list[list[int]]
    last_loss: float | None
    restarts: int
    parameters: int
    size_bytes: int
    ms_per_picture: float
    training_s: float


class Inflation(msgspec.Struct, frozen=True):
    """Accuracy of one system by the paper's protocol minus its accuracy by another, 1 being 100 points.

    Attributes
    ----------
    task : Task
        What was told apart.
    system, title : str
        Which, and its title.
    protocol : str
        The other protocol.
    points : Figure
        The difference.
    as_taken : Figure
        The same on pictures that augmentation did not make: the fields are then the same ones.
    one_class_only : int
        How many of the trainings by both protocols called a single class: the difference is then theirs.
    """

    task: Task
    system: str
    title: str
    protocol: str
    points: Figure
    as_taken: Figure
    one_class_only: int = 0


class Comparison(msgspec.Struct, frozen=True):
    """A comparison.

    Attributes
    ----------
    created : str
        When, ISO 8601.
    command : str
        How.
    software : dict
        Versions.
    settings : dict
        See :class:`trainer.paper.compare.Settings`.
    data : list of DataSet
        The data sets.
    tasks : list of Task
        What was told apart.
    rows : list of Row
        Table 2 of each task by each protocol.
    inflation : list of Inflation
        What the paper's protocol adds.
    """

    created: str
    command: str
    software: dict[str, str]
    settings: dict[str, Any]
    data: list[DataSet]
    tasks: list[Task]
    rows: list[Row]
    inflation: list[Inflation]
