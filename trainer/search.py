"""A search for settings by Optuna, on the honest split only: groups held out, and the same in foreign stains.

What is searched is kept in SQLite after every trial, so that a search that was stopped goes on; the test part is never
looked at.
"""

from __future__ import annotations

import math
import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from edge import durable
from edge.errors import OutputError
from trainer import dataset, figures, folder, split
from trainer.dataset import Dataset
from trainer.errors import DataError, TrainingFailed
from trainer.learning import Surroundings, shared
from trainer.settings import Settings
from trainer.split import Parts
from trainer.validation import cross_validate

STORAGE = "search.sqlite3"
BEST = "best.json"
_DIGEST, _BASE, _SPLIT = "data_sha256", "settings", "test part and folds"
_WHY = "why it failed"


class Found(NamedTuple):
    """What a search has found so far.

    Attributes
    ----------
    settings : Settings
        The best.
    loss : float
        Their loss, see :func:`loss`.
    trials : int
        Trials that are done, those that failed among them.
    failed : tuple of str
        Why trials failed, a line each.
    """

    settings: Settings
    loss: float
    trials: int
    failed: tuple[str, ...]


def search(
    manifests: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    trials: int = 20,
    relabel: Mapping[str, str] | None = None,
    hold_out: Sequence[str] = (),
    folds: int = 3,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Found:
    """Search for the settings whose networks do best on groups and stains that they did not see.

    Parameters
    ----------
    manifests : sequence of Path
        CSV files, see :mod:`trainer.manifest`.
    out : Path
        Folder of the search; one that is there goes on.
    settings : Settings
        What is not searched: network, scale, steps.
    trials : int
        Trials in all, those of earlier calls counted in, and those whose training failed.
    relabel : mapping of str to str, optional
        New names of labels.
    hold_out : sequence of str
        Groups or laboratories that are not looked at: the test part of ``trainer fit``.
    folds : int
        Folds of the cross-validation of each trial.
    progress : callable
        Called with a stage's name, how much is done, and of how much.

    Returns
    -------
    Found
        The best settings; ``best.json`` holds them for ``trainer fit --settings``.

    Raises
    ------
    DataError
        When the data cannot be trained on, or the folder holds a search of other data, settings, test part or folds,
        or one that is damaged.
    TrainingFailed
        When no trial had a loss that is a number.
    OutputError
        When the folder cannot be written.
    """
    sources, parts = dataset.split_up(manifests, relabel, hold_out, folds, settings.seed)
    split.require_watched(sources, parts, settings.stop_on)
    found = dataset.prepare(sources, parts, settings, progress)
    try:
        with folder.writing(out), folder.made(out), shared(settings.devices):
            _require_whole(out)
            study = _study(out, found, parts, settings)
            while (done := _done(study)) < trials:
                progress("trials", done, trials)
                trial = study.ask()
                try:
                    study.tell(trial, _measured(found, suggest(trial, settings)))
                except TrainingFailed as error:
                    trial.set_user_attr(_WHY, str(error))
                    # Not failed: the sampler keeps away from what was pruned, and forgets what failed.
                    study.tell(trial, state=TrialState.PRUNED)
                _write_best(out, study, settings)
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        # Optuna says something of its own, and SQLite's reason stands behind it.
        said = str(error.__cause__ or error).splitlines()[0]
        raise OutputError(f"search {out}", said, "Free some space, or choose another folder") from error
    progress("trials", trials, trials)
    best = _best(study, settings)
    if best is None:
        *_, last = _failed(study)
        raise TrainingFailed(f"search {out}", f"all {_done(study)} trials failed, the last: {last}")
    return best


def suggest(trial: optuna.trial.BaseTrial, settings: Settings) -> Settings:
    """Let a trial choose learning rate, label smoothing and the strength of the augmentation.

    Parameters
    ----------
    trial : optuna.trial.BaseTrial
        The trial; a frozen one chooses as it did.
    settings : Settings
        What is not searched.

    Returns
    -------
    Settings
        The settings to try.
    """
    augmentation = replace(
        settings.augmentation,
        restain=trial.suggest_float("restain", 0.5, 0.95),
        restain_least_mix=trial.suggest_float("restain_least_mix", 0.2, 0.9),
        density_jitter=trial.suggest_float("density_jitter", 0.05, 0.35),
        gamma=trial.suggest_float("gamma", 0.05, 0.4),
        gray=trial.suggest_float("gray", 0.0, 0.3),
        blur_px=trial.suggest_float("blur_px", 0.5, 2.0),
        zoom=trial.suggest_float("zoom", 0.05, 0.3),
    )
    return replace(
        settings,
        learning_rate=trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True),
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.1),
        augmentation=augmentation,
    )


def loss(found: Dataset, settings: Settings, around: Surroundings) -> float:
    """Measure settings: mean negative log-likelihood of held-out fields, as they are and restained.

    Classes weigh alike, and in a class laboratories. Half of it is of restained fields where there are several
    laboratories, because validation inside the laboratories at hand ranks recipes backwards.

    Parameters
    ----------
    found : Dataset
        The data set; its test part is not looked at.
    settings : Settings
        What is measured.
    around : Surroundings
        Where progress goes.

    Returns
    -------
    float
        At least 0, lower is better.
    """
    validated = cross_validate(found.training, found.always, found.folds, found.empty, settings, around)
    looks = validated.looks
    losses = [figures.log_loss(figures.decided(look, None, validated.decisions), look) for look in looks]
    return sum(losses) / len(losses)


def _measured(found: Dataset, tried: Settings) -> float:
    value = loss(found, tried, Surroundings())
    if not math.isfinite(value):
        raise TrainingFailed("the cross-validation", f"the loss of held-out fields is {value}")
    return value


def _require_whole(out: Path) -> None:
    if not (out / STORAGE).exists():
        return
    try:
        with closing(sqlite3.connect(out / STORAGE)) as storage:
            ((found, *_), *_) = storage.execute("PRAGMA quick_check(1)")
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise DataError(f"search {out}", f"{STORAGE} is damaged: {found}", "Choose another folder")


def _study(out: Path, found: Dataset, parts: Parts, settings: Settings) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Not by its address: in that a question mark in a folder's name would end the path.
    storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(out / STORAGE)})
    study = optuna.create_study(storage=storage, study_name="settings", load_if_exists=True)
    # Another seed each time it goes on: with the same it would try again what it has tried.
    study.sampler = optuna.samplers.TPESampler(seed=(settings.seed + len(study.get_trials(deepcopy=False))) % 2**32)
    decides = {
        _DIGEST: found.digest,
        _BASE: msgspec.json.encode(settings).decode(),
        # What was chosen on groups that are now the test part would let the test part choose.
        _SPLIT: [sorted(groups) for groups in (parts.test, *parts.folds)],
    }
    has_trials = bool(study.get_trials(deepcopy=False))
    for name, value in decides.items():
        if has_trials and study.user_attrs.get(name) != value:
            raise DataError(f"search {out}", f"is of other {name}", "Choose another folder")
        study.set_user_attr(name, value)
    for trial in _of(study, TrialState.RUNNING):
        # What was running when the search was stopped.
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _of(study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=states)


def _done(study: optuna.Study) -> int:
    return len(_of(study, TrialState.COMPLETE, TrialState.PRUNED))


def _failed(study: optuna.Study) -> tuple[str, ...]:
    return tuple(f"trial {trial.number}: {trial.user_attrs[_WHY]}" for trial in _of(study, TrialState.PRUNED))


def _best(study: optuna.Study, settings: Settings) -> Found | None:
    if not _of(study, TrialState.COMPLETE):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        fixed = optuna.trial.FixedTrial(study.best_params)
    return Found(suggest(fixed, settings), study.best_value, _done(study), _failed(study))


def _write_best(out: Path, study: optuna.Study, settings: Settings) -> None:
    if best := _best(study, settings):
        durable.write(out / BEST, msgspec.json.format(msgspec.json.encode(best.settings), indent=2))
