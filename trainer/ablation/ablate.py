"""An ablation: the same folds again and again, with one thing changed at a time.

The test part is never looked at. What is measured of each variant is kept in a file of its own, so that an ablation
that was stopped goes on; the table is made from these files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import msgspec

from edge import durable
from edge.errors import ConfigurationError
from trainer import dataset, folder, provenance, split
from trainer.ablation import measured, morphology, table
from trainer.ablation.measured import Failed, Measured
from trainer.ablation.morphology import READERS, Reader, Shapes
from trainer.ablation.variants import GIVEN, STOPPED, Variant, lineup, seeded
from trainer.checkpoint import Checkpoints
from trainer.dataset import Dataset
from trainer.errors import DataError, TrainingFailed
from trainer.learning import Surroundings, shared
from trainer.settings import Settings
from trainer.validation import cross_validate

TABLE = "table.md"

_Outcome = TypeVar("_Outcome", Measured, Failed)


def ablate(
    manifests: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    chosen: Sequence[str] = (),
    seeds: Sequence[int] = (),
    stop_on: Sequence[str] = (),
    relabel: Mapping[str, str] | None = None,
    hold_out: Sequence[str] = (),
    folds: int = 3,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Measured | Failed]:
    """Cross-validate variants of a recipe by the same folds, as the fields are and restained.

    Parameters
    ----------
    manifests : sequence of Path
        CSV files, see :mod:`trainer.manifest`.
    out : Path
        Folder of the ablation; one that is there goes on.
    settings : Settings
        The given recipe.
    chosen : sequence of str
        Names of variants besides the given recipe, which is always measured; none: all.
    seeds : sequence of int
        Seeds that the given recipe is trained with besides its own, whatever is chosen; none: the next one, as a
        variant that may be chosen.
    stop_on : sequence of str
        See :func:`lineup`.
    relabel : mapping of str to str, optional
        New names of labels.
    hold_out : sequence of str
        Groups or laboratories that are not looked at: the test part of ``trainer fit``.
    folds : int
        Folds of each cross-validation.
    progress : callable
        Called with a stage's name, how much is done, and of how much.

    Returns
    -------
    list of Measured or Failed
        The given recipe first, then what else could be trained, and what could not. ``table.md`` in the folder has
        them all.

    Raises
    ------
    ConfigurationError
        When there is no such variant.
    DataError
        When the data cannot be trained on, or the folder holds an ablation of other data, folds, settings or software.
    TrainingFailed
        When the given recipe cannot be trained: there is nothing to compare with.
    OutputError
        When the folder cannot be written.
    """
    variants, readers = _choose(settings, seeds, stop_on, chosen, out)
    sources, parts = dataset.split_up(manifests, relabel, hold_out, folds, settings.seed)
    for variant in variants:
        split.require_watched(sources, parts, variant.change(settings).stop_on)
    found = dataset.prepare(sources, parts, settings, progress)
    shapes = cache(lambda: morphology.measure(found, settings, progress))
    done: list[Measured | Failed] = []

    def measure(name: str, key: str, how: Callable[[], Measured | Failed]) -> None:
        done.append(_kept(out, name, key, how))
        durable.write(out / TABLE, table.write(done).encode())

    with folder.writing(out), folder.made(out):
        with shared(settings.devices):
            for variant in variants:
                key = provenance.key(found, variant.change(settings))
                checkpoints = Checkpoints(out, key)
                measure(variant.name, key, partial(_train, variant, key, found, settings, checkpoints, progress))
        given = done[0]
        assert isinstance(given, Measured)  # for the type checker: where it fails there is nothing to compare with
        for reader in readers:
            measure(reader.name, given.key, partial(_read, reader, given, shapes))
        # Not before: those of a variant that was stopped lie beside those of the finished ones.
        checkpoints.clear()
    return done


def _choose(
    settings: Settings, seeds: Sequence[int], stop_on: Sequence[str], chosen: Sequence[str], out: Path
) -> tuple[list[Variant], list[Reader]]:
    # What was measured by an earlier call stays in the table.
    files = [path.name.partition(".")[0] for path in out.glob("*.json")]
    before = [int(named[1]) for name in files if (named := re.fullmatch(seeded(r"(\d+)"), name))]
    if not stop_on and _place(out, STOPPED).exists():
        stop_on = _read_kept(_place(out, STOPPED), Measured).settings.stop_on
    again = list(dict.fromkeys(seed for seed in (*seeds, *sorted(before)) if seed != settings.seed))
    given, *others = lineup(again or [settings.seed + 1], stop_on)
    names = [variant.name for variant in (given, *others)] + [reader.name for reader in READERS]
    if unknown := sorted(set(chosen) - set(names)):
        raise ConfigurationError(f"variant {unknown[0]!r}", f"there are {', '.join(names)}")
    asked = {*chosen, *map(seeded, seeds)}

    def wanted(name: str) -> bool:
        return not chosen or name in asked or _place(out, name).exists() or _place_of_failure(out, name).exists()

    # What the given recipe does not have cannot be taken away.
    changed = [variant for variant in others if variant.change(settings) != settings]
    variants = [given, *(variant for variant in changed if wanted(variant.name))]
    return variants, [reader for reader in READERS if wanted(reader.name)]


def _place(out: Path, name: str) -> Path:
    return out / f"{name}.json"


def _place_of_failure(out: Path, name: str) -> Path:
    return out / f"{name}.failed.json"


def _kept(out: Path, name: str, key: str, measure: Callable[[], Measured | Failed]) -> Measured | Failed:
    """Read what came of a variant before, or measure and keep it."""
    kept: Measured | Failed
    if (place := _place(out, name)).exists():
        kept = _read_kept(place, Measured)
    elif (place := _place_of_failure(out, name)).exists():
        kept = _read_kept(place, Failed)
    else:
        kept = measure()
        place = _place_of_failure(out, name) if isinstance(kept, Failed) else _place(out, name)
        durable.write(place, msgspec.json.encode(kept))
    if kept.key != key:
        raise DataError(f"ablation {place}", "is of other data, folds, settings or software", "Choose another --out")
    return kept


def _read_kept(place: Path, kind: type[_Outcome]) -> _Outcome:
    try:
        return msgspec.json.decode(place.read_bytes(), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"ablation {place}", f"is damaged: {error}", "Remove that file") from error


def _train(
    variant: Variant,
    key: str,
    found: Dataset,
    given: Settings,
    checkpoints: Checkpoints,
    progress: Callable[[str, int, int], None],
) -> Measured | Failed:
    settings = variant.change(given)
    around = Surroundings(lambda stage, done, of: progress(f"{variant.title}, {stage}", done, of), checkpoints)
    # The drawn fields are those of the given recipe: a variant has them or has them not.
    used = ~found.always | (settings.simulate > 0)
    cells, always = found.training.where(used), found.always[used]
    try:
        validated = cross_validate(cells, always, found.folds, found.empty, settings, around)
        result = measured.of_validated(variant.name, variant.title, key, settings, validated)
        if not math.isfinite(result.loss):
            raise TrainingFailed("the cross-validation", f"the loss of held-out fields is {result.loss}")
    except TrainingFailed as error:
        if variant.name == GIVEN:
            raise
        return Failed(variant=variant.name, title=variant.title, key=key, why=str(error))
    return result


def _read(reader: Reader, given: Measured, shapes: Callable[[], Shapes]) -> Measured:
    return morphology.read(reader, given, shapes())
