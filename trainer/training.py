"""From a manifest to a run: split, cut, train, calibrate, measure, write."""

from __future__ import annotations

import datetime
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.model import run as _run
from edge.model.description import Tiling, Training
from edge.model.run import Run
from trainer import calibrate, card, controls, dataset, evaluate, figures, folder, provenance, report, simulated, split
from trainer.cells import Cells
from trainer.checkpoint import Checkpoints
from trainer.data import duplicates
from trainer.dataset import Dataset
from trainer.evaluate import Judged
from trainer.learning import Surroundings, shared, train
from trainer.manifest import LabelledField
from trainer.report import Material, Shown
from trainer.sampling import weights
from trainer.settings import Settings
from trainer.validation import Validated, cross_validate, leave_out, with_shuffled_labels

MOST_HELD_OUT = 6000
"""Tiles of the test part that the run keeps for the converter's parity check, of whole fields."""

LOGS = "logs"


def fit(
    manifests: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    relabel: Mapping[str, str] | None = None,
    hold_out: Sequence[str] = (),
    folds: int = 3,
    leave_out_laboratories: bool = False,
    licence: str = "not stated",
    data: Sequence[str] = (),
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Run:
    """Train a network on labelled fields and write everything that the converter and a reader need.

    A run that is stopped is taken up again by the same call: at the epoch that it had reached.

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
        Groups or laboratories that neither training nor calibration sees; the test part, opened once, at the end.
    folds : int
        Folds of the cross-validation that the decision is fitted on; the final network sees all of them.
    leave_out_laboratories : bool
        Measure besides how each laboratory is judged by a network that never saw it, where classes are shared.
    licence : str
        What the network may be used for.
    data : sequence of str
        The data sets and their licences, for the model card.
    progress : callable
        Called with a stage's name, how much is done, and of how much.

    Returns
    -------
    Run
        What was written; its ``metrics`` are what ``trainer fit`` prints.

    Raises
    ------
    DataError
        When the data cannot be trained on.
    TrainingFailed
        When the loss is no number.
    OutOfMemory
        When a batch does not fit into memory.
    ConfigurationError
        When there are fewer devices than asked for.
    OutputError
        When the folder cannot be written.
    """
    sources, parts = dataset.split_up(manifests, relabel, hold_out, folds, settings.seed)
    laboratories = split.by_laboratory([source for source in sources if source.group in parts.training])
    left_out = [groups for _, groups in laboratories] if leave_out_laboratories else []
    split.require_watched(sources, parts, settings.stop_on, left_out)
    with folder.made(out):
        return _fit(sources, parts, out, settings, licence, data, leave_out_laboratories, progress)


def _fit(
    sources: Sequence[LabelledField],
    parts: split.Parts,
    out: Path,
    settings: Settings,
    licence: str,
    data: Sequence[str],
    leave_out_laboratories: bool,
    progress: Callable[[str, int, int], None],
) -> Run:
    with folder.writing(out):
        (out / _run.DESCRIPTION).unlink(missing_ok=True)
        # Whether anything can be written there shows now or after hours of training.
        tempfile.TemporaryFile(dir=out).close()
    # Not refused: the figures are then a little too good, and whoever reads them must know.
    parted = duplicates.between(
        sources, [parts.test, *parts.folds], lambda done: progress("looking for duplicates", done, len(sources))
    )
    found = dataset.prepare(sources, parts, settings, progress)
    checkpoints = Checkpoints(out, provenance.key(found, settings))
    if not checkpoints.found():
        shutil.rmtree(out / LOGS, ignore_errors=True)
    around = Surroundings(progress, checkpoints, out / LOGS)
    with shared(settings.devices):
        run, told, network, material, arrays = _learn(found, settings, around, licence, data, leave_out_laboratories)
    told["on_both_sides_of_the_split"] = parted
    with folder.writing(out):
        network.save(out / _run.NETWORK)
        for name, array in arrays.items():
            np.save(out / name, array, allow_pickle=False)
        (out / _run.REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2))
        (out / _run.CARD).write_text(card.write(run, told), encoding="utf-8")
        (out / report.PAGE).write_text(report.page(run, told, material), encoding="utf-8")
        _run.write(run, out)
        checkpoints.clear()
    return run


def _learn(
    found: Dataset,
    settings: Settings,
    around: Surroundings,
    licence: str,
    data: Sequence[str],
    leave_out_laboratories: bool,
) -> tuple[Run, dict[str, Any], Any, Material, dict[str, NDArray[Any]]]:
    training, test, side_px = found.training, found.test, settings.tile_px
    real = training.where(~found.always)
    validated = cross_validate(training, found.always, found.folds, found.empty, settings, around)
    network = train(training, settings, "training", around)
    judged = evaluate.judge(network, real, side_px)
    mean, whitening = calibrate.fit_novelty(judged.embeddings, judged.cell_weights)
    whitening = (whitening / validated.thresholds()[1]).astype(np.float32)
    decision = validated.decision()
    in_turn = figures.decided(validated.held_out, validated.novelty, validated.decisions)
    told: dict[str, Any] = {"cross-validated": figures.figures(validated.held_out, in_turn, settings.seed)}
    if validated.restained is not None:
        elsewhere = figures.decided(validated.restained, validated.restained_novelty, validated.decisions)
        told["cross-validated, restained"] = figures.figures(validated.restained, elsewhere, settings.seed)
    laboratories = found.laboratories if leave_out_laboratories else []
    if laboratories:
        told["laboratories left out"] = _left_out(found, laboratories, validated, settings, around)
    shown = [Shown("cross-validated", validated.held_out, in_turn, validated.networks, validated.folds, real.sources)]
    if len(test.labels):
        # The test part is looked at here, once: nothing is decided after it.
        tested = evaluate.with_empty(
            evaluate.judge(network, test, side_px),
            [source for source in found.empty if source.group in found.held_out_groups],
        )
        last = figures.decided(tested, tested.distances(mean, whitening), [decision] * len(tested.labels))
        told["test"] = figures.figures(tested, last, settings.seed)
        only = np.zeros(len(tested.labels), np.int64)
        shown.append(Shown("test", tested, last, (network,), only, test.sources))
    told["controls"] = _controls(found, laboratories, real, settings, around)
    figures.mark_explained(told)
    now = datetime.datetime.now(datetime.UTC)
    run = Run(
        name=settings.name,
        version=now.strftime("%Y.%m.%d"),
        created=now.isoformat(timespec="seconds"),
        classes=training.classes,
        um_per_px=settings.um_per_px,
        tiling=Tiling(strategy="nuclei", tile_px=side_px),
        decision=decision,
        training=Training(
            data=tuple(data) or tuple(sorted({source.lab for source in real.sources if source.lab != simulated.LAB})),
            licence=licence,
            held_out_groups=tuple(sorted(found.held_out_groups)),
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            software=provenance.software(),
        ),
        metrics=figures.headline(told),
    )
    told |= {
        "weighing": card.WEIGHING,
        "test_part_opened": int("test" in told),
        "data_sha256": found.digest,
        "unreadable": found.unreadable,
        "parameters": int(network.count_params()),
        "settings": msgspec.to_builtins(settings),
    }
    arrays = _arrays(real, test, settings) | {_run.NOVELTY: np.vstack([mean[None], whitening])}
    return run, told, network, Material(shown, settings.um_per_px, side_px), arrays


def _left_out(
    found: Dataset,
    laboratories: Sequence[tuple[str, frozenset[str]]],
    validated: Validated,
    settings: Settings,
    around: Surroundings,
) -> dict[str, Any]:
    """Measure each laboratory by a network that never saw it, and a decision that was fitted without its fields.

    The decision is not wholly blind to it: what it was fitted on is what networks of the cross-validation said, which
    were trained on that laboratory, of fields of others, some of them in its stain.
    """
    parts = leave_out(found.training, found.always, laboratories, found.empty, settings, around)
    decisions, novelty = [], []
    for (judged, distances), (_, groups) in zip(parts, laboratories, strict=True):
        own = np.isin(validated.held_out.groups, sorted(groups))
        decisions += [validated.decision(own)] * len(judged.labels)
        novelty.append(distances / validated.thresholds(own)[1])
    together = evaluate.joined([judged for judged, _ in parts])
    return figures.figures(together, figures.decided(together, np.concatenate(novelty), decisions), settings.seed)


def _controls(
    found: Dataset,
    laboratories: Sequence[tuple[str, frozenset[str]]],
    real: Cells,
    settings: Settings,
    around: Surroundings,
) -> dict[str, dict[str, dict[str, Any]]]:
    told = {
        name: controls.read(look, real, found.test, found.folds, laboratories, settings.tile_px, settings.seed)
        for name, look in controls.shortcuts(settings.um_per_px).items()
    }
    knowing_nothing = with_shuffled_labels(found.training, found.always, found.folds[0], settings, around)
    told["shuffled labels"] = {"fold 1": _of_network(knowing_nothing, settings)}
    return told


def _of_network(judged: Judged, settings: Settings) -> dict[str, Any]:
    """Measure a network without a decision: the shares of its tiles are its probabilities."""
    cells = np.array([evidence.cells for evidence in judged.evidence])
    return figures.plain(cells / cells.sum(axis=1, keepdims=True), judged, settings.seed)


def _arrays(training: Cells, test: Cells, settings: Settings) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(settings.seed)
    representative = rng.choice(len(training.labels), min(400, len(training.labels)), p=weights(training))
    held_out = test if len(test.labels) else training
    shuffled = rng.permutation(np.unique(held_out.fields))
    enough = np.cumsum(np.bincount(held_out.fields)[shuffled]) <= MOST_HELD_OUT
    enough[0] = True
    fields = np.sort(shuffled[enough])
    kept = np.isin(held_out.fields, fields)
    return {
        _run.CALIBRATION: training.middles(settings.tile_px, representative),
        _run.HELD_OUT_TILES: held_out.middles(settings.tile_px, kept),
        _run.HELD_OUT_LABELS: held_out.labels[kept],
        _run.HELD_OUT_FIELDS: np.searchsorted(fields, held_out.fields[kept]),
        _run.HELD_OUT_SOURCES: np.array([_origin(held_out.sources[field]) for field in fields]),
    }


def _origin(source: LabelledField) -> tuple[str, str, str]:
    return source.label, source.group, source.lab
