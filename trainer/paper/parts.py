"""One system in one task by one protocol: fitted and tested fold by fold, kept, and found again by the next run."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge import durable
from trainer import provenance
from trainer.errors import TrainingFailed, named
from trainer.manifest import ORDER
from trainer.paper.fields import Pictures
from trainer.paper.protocols import Fold
from trainer.paper.results import Part, Task
from trainer.paper.settings import Settings
from trainer.paper.systems import Diverged, Fitted, Inputs, System

TIMED = 9
"""Pictures of which the median time is taken."""

_INDIFFERENT_TO = {"paper": ("best", "weights"), "cell-dense": ("best", "weights"), "vgg16": ("best",)}
"""Settings that a system does not look at, where it is no classical one."""


def fit(
    key: str,
    system: System,
    inputs: Inputs,
    labels: NDArray[np.int64],
    pictures: Pictures,
    dealt: Sequence[Fold],
    seed: int,
    tell: Callable[[float], None] = lambda _: None,
) -> Part:
    """Fit a system to the training pictures of each fold and score the others.

    Parameters
    ----------
    key : str
        From :func:`key`.
    system : System
        The system.
    inputs : ndarray
        Shape (n, ...), what it read of the pictures.
    labels : ndarray
        Shape (n,), int64, what it learns: the pictures' labels, or others in their place.
    pictures : Pictures
        The task's n pictures; of some the time is taken.
    dealt : sequence of Fold
        Who is trained on and who tested.
    seed : int
        Seed of the first fold; each has its own.
    tell : callable
        Called with the share done, 0 to 1.

    Returns
    -------
    Part
        Scores of all folds.

    Raises
    ------
    TrainingFailed
        When a loss is no number; says at which step, and on which pictures.
    """
    tested: list[int] = []
    scores: list[list[float]] = []
    losses: list[list[float]] = []
    restarts: list[int] = []
    started = time.perf_counter()
    for number, (training, test) in enumerate(dealt):
        tell_fold = partial(_tell_fold, tell, number, len(dealt))
        try:
            fitted = system.fit(inputs[training], labels[training], len(pictures.classes), seed + number, tell_fold)
        except Diverged as error:
            stage = f"{system.title}, part {number + 1} of {len(dealt)}"
            raise _named(error, stage, pictures.where(training[error.rows])) from error
        tested += test.tolist()
        scores += fitted.scores(inputs[test]).tolist()
        losses.append(list(fitted.losses))
        restarts.append(fitted.restarts)
    return Part(
        key=key,
        tested=tested,
        scores=scores,
        losses=losses,
        restarts=restarts,
        parameters=fitted.parameters,
        size_bytes=fitted.size_bytes(),
        ms_per_picture=_time(system, fitted, pictures),
        training_s=time.perf_counter() - started,
    )


def key(sha256: str, task: Task, protocol: str, system: str, settings: Settings) -> str:
    """Digest all that decides what a part finds.

    Parameters
    ----------
    sha256 : str
        Of the data.
    task : Task
        What is told apart.
    protocol, system : str
        By name.
    settings : Settings
        The comparison's.

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    deciding: dict[str, Any] = msgspec.to_builtins(settings)
    for indifferent in ("systems", "protocols", *_INDIFFERENT_TO.get(system, ("steps", "batch", "weights"))):
        del deciding[indifferent]
    weights = Path(settings.weights)
    if "weights" in deciding and weights.is_file():
        deciding["weights"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    told = msgspec.json.encode([ORDER, sha256, task.classes, protocol, system, deciding, software()])
    return hashlib.sha256(told).hexdigest()


def software() -> dict[str, str]:
    """Name what computes, with versions."""
    return provenance.software("scikit-learn")


def kept(path: Path, key: str) -> Part | None:
    """Read a part that an earlier run kept.

    Parameters
    ----------
    path : Path
        Its file.
    key : str
        What it must have been found with.

    Returns
    -------
    Part or None
        None when there is none, or one of other data or settings.
    """
    try:
        part = msgspec.json.decode(path.read_bytes(), type=Part)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError):
        return None
    return part if part.key == key else None


def keep(part: Part, path: Path) -> None:
    """Write a part, whole or not at all.

    Parameters
    ----------
    part : Part
        What was found.
    path : Path
        Its file.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    durable.write(path, msgspec.json.encode(part))


def _named(error: Diverged, stage: str, batch: Pictures) -> TrainingFailed:
    paths = list(dict.fromkeys(str(batch.sources[field].path) for field in batch.fields.tolist()))
    why = f"{error.why}, on {named(paths)}"
    return TrainingFailed(f"{stage}, {error.what}", why, "Are these pictures damaged?")


def _time(system: System, fitted: Fitted, pictures: Pictures) -> float:
    """Time one picture at a time, from its pixels to its scores, in milliseconds; the first is not counted."""
    times = []
    for row in range(min(TIMED + 1, len(pictures.labels))):
        one = pictures.where(np.array([row]))
        started = time.perf_counter()
        fitted.scores(system.read(one, lambda *_: None))
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[1:])


def _tell_fold(tell: Callable[[float], None], number: int, of: int, now: int, all_: int) -> None:
    tell((number + now / all_) / of)
