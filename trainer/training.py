"""From a manifest to a run: split, cut, train, calibrate, measure, write."""

from __future__ import annotations

import datetime
import math
import platform
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.errors import ConfigurationError, OutputError
from edge.model import run as _run
from edge.model.description import NAME, Tiling, Training
from edge.model.run import Run
from edge.vision import scale
from trainer import calibrate, card, controls, evaluate, manifest, simulated, split
from trainer.augment import Augmentation
from trainer.cells import Cells, extract, together
from trainer.errors import TrainingFailed
from trainer.evaluate import Judged
from trainer.manifest import LabelledField
from trainer.networks import NETWORKS
from trainer.sampling import Batches, weights

MARGIN = 1.5
"""Tiles are cut so much larger than the network's, so that they can be turned and zoomed without an empty corner."""

MOST_HELD_OUT = 6000
"""Tiles of the test part that the run keeps for the converter's parity check, of whole fields."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what a run makes, besides the data.

    Attributes
    ----------
    name : str
        Name of the model: letters, digits and ``._-``.
    network : str
        One of :data:`trainer.networks.NETWORKS`.
    um_per_px : float
        Scale of the model.
    tile_px : int
        Side of a tile.
    steps : int
        Optimizer steps.
    batch : int
        Tiles a step.
    learning_rate : float
        Highest learning rate of the cosine schedule.
    label_smoothing : float
        Share of each label given to all classes alike.
    background_class : str or None
        Class of cells outside a field's mask.
    simulate : int
        Number of fields of each kind to draw and train on besides, see :mod:`trainer.simulated`; 0 is none.
    least_probability : float
        Frames less certain are indeterminate.
    seed : int
        Seed of weights, batches and augmentation.
    augmentation : Augmentation
        How strongly tiles are varied.

    Raises
    ------
    ConfigurationError
        When the name is none that a bundle may have, or the network is unknown.
    ScaleError
        When the scale is none of a microscope.
    """

    name: str = "model"
    network: str = "cell-dense"
    um_per_px: float = 0.5
    tile_px: int = 64
    steps: int = 1500
    batch: int = 96
    learning_rate: float = 4e-3
    label_smoothing: float = 0.05
    background_class: str | None = "normal"
    simulate: int = 0
    least_probability: float = 0.7
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Refuse now what would be refused after hours of training."""
        if not re.fullmatch(NAME, self.name):
            raise ConfigurationError(f"name {self.name!r}", "a model's is made of letters, digits and ._-")
        if self.network not in NETWORKS:
            raise ConfigurationError(f"network {self.network!r}", f"unknown; there are {', '.join(NETWORKS)}")
        scale.check(self.um_per_px)


def fit(
    manifests: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    relabel: Mapping[str, str] | None = None,
    hold_out: Sequence[str] = (),
    folds: int = 3,
    licence: str = "not stated",
    data: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Run:
    """Train a network on labelled fields and write everything that the converter and a reader need.

    Parameters
    ----------
    manifests : sequence of Path
        CSV files, see :mod:`trainer.manifest`.
    out : Path
        Folder of the run; made, its old content replaced. It is no finished run before the last file is written.
    settings : Settings
        Network, scale, training.
    relabel : mapping of str to str, optional
        New names of labels.
    hold_out : sequence of str
        Groups or laboratories that neither training nor calibration sees; the test part.
    folds : int
        Folds of the cross-validation that the decision is fitted on; the final network sees all of them.
    licence : str
        What the network may be used for.
    data : sequence of str
        The data sets and their licences, for the model card.
    progress : callable
        Called with a stage's name, how much is done, and of how much.

    Returns
    -------
    Run
        What was written.

    Raises
    ------
    DataError
        When the data cannot be trained on.
    TrainingFailed
        When the loss is no number.
    OutputError
        When the folder cannot be written.
    """
    sources = manifest.read(manifests, relabel)
    classes = manifest.classes(sources)
    parts = split.by_group(sources, hold_out, folds, settings.seed)
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / _run.DESCRIPTION).unlink(missing_ok=True)
        # Whether anything can be written there shows now or after hours of training.
        tempfile.TemporaryFile(dir=out).close()
    larger = round(settings.tile_px * MARGIN / 2) * 2
    cells = extract(
        sources,
        classes,
        settings.um_per_px,
        larger,
        settings.background_class if settings.background_class in classes else None,
        lambda done: progress("reading fields", done, len(sources)),
    )
    digest = manifest.fingerprint(cells.sources)
    groups = cells.of("group")
    training, test = (cells.where(np.isin(groups, sorted(part))) for part in (parts.training, parts.test))
    # Fields without a nucleus are in no fold.
    dealt = [fold for fold in parts.folds if np.isin(groups, sorted(fold)).any()]
    del cells
    drawn = _draw(classes, larger, settings, progress) if settings.simulate else None
    validated = _cross_validate(training, drawn, dealt, settings, progress)
    network = _train(_with(training, drawn), settings, "training", progress)
    judged = evaluate.judge(network, training, settings.tile_px)
    mean, whitening = calibrate.fit_novelty(judged.embeddings, judged.cell_weights)
    whitening = (whitening / validated.refuses).astype(np.float32)
    decision = calibrate.fit_decision(
        validated.held_out, validated.restained, settings.least_probability, validated.warns / validated.refuses
    )
    report: dict[str, Any] = {
        "cross-validated": evaluate.figures(validated.held_out, validated.novelty, decision, settings.seed),
        "cross-validated, restained": evaluate.figures(validated.restained, None, decision, settings.seed),
    }
    if len(test.labels):
        tested = evaluate.judge(network, test, settings.tile_px)
        report["test"] = evaluate.figures(tested, tested.distances(mean, whitening), decision, settings.seed)
    report["controls"] = {"mean colour": controls.mean_colour(training, test, dealt, settings.tile_px)}
    now = datetime.datetime.now(datetime.UTC)
    run = Run(
        name=settings.name,
        version=now.strftime("%Y.%m.%d"),
        created=now.isoformat(timespec="seconds"),
        classes=classes,
        um_per_px=settings.um_per_px,
        tiling=Tiling(strategy="nuclei", tile_px=settings.tile_px),
        decision=decision,
        training=Training(
            data=tuple(data) or tuple(sorted({source.lab for source in sources})),
            licence=licence,
            held_out_groups=tuple(sorted(parts.test)),
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            software={
                "wbc-edge": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in ("keras", "tensorflow", "numpy")},
            },
        ),
        metrics=evaluate.headline(report),
    )
    report |= {"data_sha256": digest, "settings": msgspec.to_builtins(settings)}
    arrays = _arrays(training, test, settings) | {_run.NOVELTY: np.vstack([mean[None], whitening])}
    with _writing(out):
        network.save(out / _run.NETWORK)
        for name, array in arrays.items():
            np.save(out / name, array, allow_pickle=False)
        (out / _run.REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
        (out / _run.CARD).write_text(card.write(run, report), encoding="utf-8")
        _run.write(run, out)
    return run


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"folder {out}", error.strerror or str(error), "Free some space, or choose another"
        ) from error


@dataclass(frozen=True, slots=True, eq=False)
class _Validated:
    held_out: Judged
    restained: Judged
    novelty: NDArray[np.float64]
    warns: float
    refuses: float


def _draw(
    classes: tuple[str, ...], side_px: int, settings: Settings, progress: Callable[[str, int, int], None]
) -> Cells:
    return simulated.cells(
        classes,
        settings.background_class or "",
        settings.simulate,
        settings.um_per_px,
        side_px,
        settings.seed,
        lambda done: progress("drawing fields", done, simulated.KINDS * settings.simulate),
    )


def _with(cells: Cells, drawn: Cells | None) -> Cells:
    return cells if drawn is None else together(cells, drawn)


def _cross_validate(
    training: Cells,
    drawn: Cells | None,
    folds: Sequence[frozenset[str]],
    settings: Settings,
    progress: Callable[[str, int, int], None],
) -> _Validated:
    groups, labs = training.of("group"), training.of("lab")
    held_out, restained, known, foreign, distances = [], [], [], [], []
    for number, fold in enumerate(folds, start=1):
        outside = np.isin(groups, sorted(fold))
        seen, unseen = training.where(~outside), training.where(outside)
        network = _train(_with(seen, drawn), settings, f"fold {number} of {len(folds)}", progress)
        judged = evaluate.judge(network, seen, settings.tile_px)
        mean, whitening = calibrate.fit_novelty(judged.embeddings, judged.cell_weights)
        held_out.append(evaluate.judge(network, unseen, settings.tile_px))
        dressed = evaluate.restained(unseen, seen, settings.tile_px, settings.seed)
        restained.append(evaluate.judge(network, dressed, settings.tile_px))
        distance = held_out[-1].distances(mean, whitening)
        is_known = np.isin(held_out[-1].labs, np.unique(labs[~outside]))
        known.append(distance[is_known])
        foreign.append(distance[~is_known])
        distances.append(distance)
    warns, refuses = calibrate.novelty_thresholds(np.concatenate(known), np.concatenate(foreign))
    return _Validated(
        evaluate.joined(held_out), evaluate.joined(restained), np.concatenate(distances) / refuses, warns, refuses
    )


def _train(training: Cells, settings: Settings, stage: str, progress: Callable[[str, int, int], None]) -> Any:
    keras.utils.set_random_seed(settings.seed)
    network = NETWORKS[settings.network](settings.tile_px, len(training.classes))
    logits_only = keras.Model(network.input, network.outputs[0])
    warm_up = max(1, settings.steps // 12)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, settings.steps - warm_up), warmup_target=settings.learning_rate, warmup_steps=warm_up, alpha=0.01
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-3, use_ema=True, ema_momentum=0.99)
    # Otherwise the first step makes its variables, and TensorFlow traces and compiles that step all over again.
    optimizer.build(logits_only.trainable_variables)
    logits_only.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=settings.label_smoothing),
    )
    batches = Batches(training, settings.tile_px, settings.batch, settings.steps, settings.augmentation, settings.seed)
    logits_only.fit(batches, epochs=1, verbose=0, callbacks=[_Watch(settings.steps, stage, progress)])
    return network


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, steps: int, stage: str, progress: Callable[[str, int, int], None]) -> None:
        super().__init__()
        self._steps, self._stage, self._progress = steps, stage, progress

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Report progress; stop at a loss that is no number."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingFailed(f"training, step {batch + 1}", f"the loss is {loss}", "Lower --learning-rate")
        self._progress(self._stage, batch + 1, self._steps)


def _arrays(training: Cells, test: Cells, settings: Settings) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(settings.seed)
    representative = rng.choice(len(training.labels), min(400, len(training.labels)), p=weights(training))
    held_out = test if len(test.labels) else training
    shuffled = rng.permutation(np.unique(held_out.fields))
    enough = np.cumsum(np.bincount(held_out.fields)[shuffled]) <= MOST_HELD_OUT
    enough[0] = True
    fields = np.sort(shuffled[enough])
    kept = np.isin(held_out.fields, fields)
    margin = (training.tiles.shape[1] - settings.tile_px) // 2
    middle = slice(margin, margin + settings.tile_px)
    return {
        _run.CALIBRATION: training.tiles[representative][:, middle, middle],
        _run.HELD_OUT_TILES: held_out.tiles[kept][:, middle, middle],
        _run.HELD_OUT_LABELS: held_out.labels[kept],
        _run.HELD_OUT_FIELDS: np.searchsorted(fields, held_out.fields[kept]),
        _run.HELD_OUT_SOURCES: np.array([_origin(held_out.sources[field]) for field in fields]),
    }


def _origin(source: LabelledField) -> tuple[str, str, str]:
    return source.label, source.group, source.lab
