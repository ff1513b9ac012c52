"""The paper's comparison in one run: every system, by every protocol, beside the controls; resumed where it stopped."""

from __future__ import annotations

import datetime
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigurationError
from trainer import folder, manifest
from trainer.errors import DataError
from trainer.paper import augmentation, fields, figures, lines, lineup, parts, tables
from trainer.paper.controls import CONTROLS, shuffled
from trainer.paper.fields import Pictures
from trainer.paper.protocols import PROTOCOLS, Fold
from trainer.paper.results import Comparison, DataSet, Outcome, Task
from trainer.paper.settings import Settings
from trainer.paper.systems import System

PARTS = "parts"
COMPARISON = "compare.json"

Progress = Callable[[str, int, int], None]
_FINE = 100


class _Contender(NamedTuple):
    name: str
    system: System
    is_control: bool = False
    shuffles: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A task with its pictures, labelled by its own classes; ``rows`` are theirs among the data set's."""

    task: Task
    pictures: Pictures
    rows: NDArray[np.int64]
    dealt: dict[str, list[Fold]]


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """A data set as it was read."""

    told: DataSet
    pictures: Pictures
    jobs: list[_Job]


def compare(
    manifests: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    classes: Sequence[tuple[str, ...]] = (),
    relabel: Mapping[str, str] | None = None,
    progress: Progress = lambda *_: None,
) -> Comparison:
    """Compare systems by protocols and write tables and figures.

    Parameters
    ----------
    manifests : sequence of Path
        CSV files, see :mod:`trainer.manifest`; each is a data set of its own, a line of Table 3.
    out : Path
        Folder of the comparison. What is finished in it is not done again when data and settings are the same.
    settings : Settings
        Systems, protocols, training.
    classes : sequence of tuple of str
        Classes to tell apart, positive first, a task each: ALL against MM, then ALL against normal, say. Each is taken
        from the manifests that have all of its classes. Without any, all classes of a manifest are one task.
    relabel : mapping of str to str, optional
        New names of labels.
    progress : callable
        Called with a stage's name, how much is done, and of how much.

    Returns
    -------
    Comparison
        What was found, as in ``compare.json``.

    Raises
    ------
    DataError
        When the data cannot be compared on.
    WeightsUnavailable
        When VGG-16 is asked for and its weights are not to be had.
    TrainingFailed
        When a loss is no number.
    OutOfMemory
        When a batch does not fit into memory; says which would.
    OutputError
        When the folder cannot be written.
    """
    asked = _tasks(manifests, classes, relabel)
    # Whether weights can be had, and anything written, shows now or after minutes.
    made = lineup.systems(
        settings.systems,
        settings.side_px,
        settings.steps,
        settings.batch,
        settings.best,
        settings.weights,
        settings.seed,
    )
    with folder.made(out / PARTS):
        return _compare(asked, made, out, settings, progress)


def _compare(
    asked: Sequence[tuple[list[manifest.LabelledField], list[Task]]],
    made: Mapping[str, System],
    out: Path,
    settings: Settings,
    progress: Progress,
) -> Comparison:
    with folder.writing(out):
        (out / COMPARISON).unlink(missing_ok=True)
    read = [_read(sources, tasks, settings, progress) for sources, tasks in asked]
    contenders = [_Contender(name, system) for name, system in made.items()]
    contenders += [_Contender(name, control.system, True, control.shuffles) for name, control in CONTROLS.items()]
    outcomes = [one for contender in contenders for one in _outcomes(contender, read, settings, out, progress)]
    tasks = [job.task for data in read for job in data.jobs]
    found = Comparison(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        software=parts.software(),
        settings=msgspec.to_builtins(settings),
        data=[data.told for data in read],
        tasks=tasks,
        rows=[lines.row(outcome, settings.seed) for outcome in _in_order(outcomes, tasks, settings)],
        inflation=lines.inflation(outcomes, settings.seed),
    )
    with folder.writing(out):
        pictures = figures.draw(outcomes, out / "figures", settings.seed)
        (out / "table2.csv").write_text(tables.table2_csv(found), encoding="utf-8")
        (out / "table3.csv").write_text(tables.table3_csv(found), encoding="utf-8")
        (out / "tables.md").write_text(tables.page(found), encoding="utf-8")
        (out / "figures.md").write_text(tables.gallery(pictures), encoding="utf-8")
        (out / COMPARISON).write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return found


def _in_order(outcomes: list[Outcome], tasks: list[Task], settings: Settings) -> list[Outcome]:
    """Order outcomes as the tables show them: by task, protocol, then systems before controls."""
    return sorted(outcomes, key=lambda one: (tasks.index(one.task), settings.protocols.index(one.protocol)))


def _tasks(
    manifests: Sequence[Path], classes: Sequence[tuple[str, ...]], relabel: Mapping[str, str] | None
) -> list[tuple[list[manifest.LabelledField], list[Task]]]:
    """Read the manifests, one data set each, and choose what is to be told apart in each."""
    for wanted in classes:
        if len(set(wanted)) < 2 or len(set(wanted)) != len(wanted):
            raise ConfigurationError(f"classes {','.join(wanted)}", "two different classes at least are needed")
    asked = []
    unused = list(classes)
    for path, name in zip(manifests, _names(manifests), strict=True):
        sources = manifest.read([path], relabel)
        there = {source.label for source in sources}
        fitting = [wanted for wanted in dict.fromkeys(classes) if set(wanted) <= there]
        sets = fitting if classes else [manifest.classes(sources)]
        unused = [wanted for wanted in unused if wanted not in sets]
        if not sets:
            raise DataError(f"manifest {path}", "has not all classes of any --classes", f"It has {_list(there)}")
        tasks = []
        for wanted in sets:
            manifest.classes([source for source in sources if source.label in wanted])
            tasks.append(Task(name, tuple(wanted)))
        kept = {label for wanted in sets for label in wanted}
        asked.append(([source for source in sources if source.label in kept], tasks))
    if unused:
        raise DataError(f"--classes {','.join(unused[0])}", "no manifest has all of them")
    return asked


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _names(manifests: Sequence[Path]) -> list[str]:
    """Name data sets after their files, or their folders where files are named alike."""
    stems = [path.stem for path in manifests]
    if len(set(stems)) < len(stems):
        stems = [f"{path.resolve().parent.name}-{path.stem}" for path in manifests]
    if len(set(stems)) < len(stems):
        stems = [f"{number}-{path.stem}" for number, path in enumerate(manifests, start=1)]
    return stems


def _read(sources: list[manifest.LabelledField], tasks: list[Task], settings: Settings, progress: Progress) -> _Data:
    classes = tuple(sorted({source.label for source in sources}))
    stage = f"reading {tasks[0].data}"
    taken = fields.read(
        sources, classes, settings.side_px, settings.um_per_px, lambda done: progress(stage, done, len(sources))
    )
    pictures = augmentation.expand(taken, seed=settings.seed)
    told = DataSet(
        name=tasks[0].data,
        sha256=manifest.fingerprint(taken.sources),
        fields={name: int((taken.labels == index).sum()) for index, name in enumerate(classes)},
        groups={name: len(set(taken.groups[taken.labels == index])) for index, name in enumerate(classes)},
        laboratories={
            name: sorted(set(taken.labs[taken.labels == index].tolist())) for index, name in enumerate(classes)
        },
        pictures=len(pictures.labels),
        unreadable=taken.unreadable,
    )
    jobs = []
    for task in tasks:
        numbers = [classes.index(name) for name in task.classes]
        rows = np.flatnonzero(np.isin(pictures.labels, numbers))
        own = np.array([numbers.index(label) for label in pictures.labels[rows].tolist()], np.int64)
        shown = replace(pictures.where(rows), labels=own, classes=task.classes)
        # All of them now: what cannot be split shows before anything is trained.
        dealt = {name: PROTOCOLS[name].deal(shown, settings.folds, settings.seed) for name in settings.protocols}
        jobs.append(_Job(task, shown, rows, dealt))
    return _Data(told, pictures, jobs)


def _outcomes(
    contender: _Contender, read: list[_Data], settings: Settings, out: Path, progress: Progress
) -> Iterator[Outcome]:
    """Fit and test one system in all tasks by all protocols; what an earlier run left finished is taken."""
    name, system = contender.name, contender.system
    for data in read:
        stage = f"{system.title}, {data.told.name}"
        inputs = cache(partial(system.read, data.pictures, partial(progress, f"{stage}: reading")))
        steps = list(product(data.jobs, settings.protocols))
        for done, (job, protocol) in enumerate(steps):
            dealt = job.dealt[protocol]
            labels = shuffled(job.pictures, settings.seed) if contender.shuffles else job.pictures.labels
            path = out / PARTS / f"{job.task.slug}--{protocol}--{name}.json"
            key = parts.key(data.told.sha256, job.task, protocol, name, settings)
            part = parts.kept(path, key)
            if part is None:
                tell = partial(_tell, progress, stage, done, len(steps))
                part = parts.fit(key, system, inputs()[job.rows], labels, job.pictures, dealt, settings.seed, tell)
                with folder.writing(out):
                    parts.keep(part, path)
            progress(stage, _FINE * (done + 1), _FINE * len(steps))
            tested = np.array(part.tested)
            yield Outcome(
                task=job.task,
                protocol=protocol,
                system=name,
                title=system.title,
                is_control=contender.is_control,
                labels=labels[tested],
                scores=np.array(part.scores),
                groups=job.pictures.groups[tested],
                taken=job.pictures.variants[tested] == fields.AS_TAKEN,
                folds=np.repeat(np.arange(len(dealt)), [len(fold.test) for fold in dealt]),
                part=part,
            )


def _tell(progress: Progress, stage: str, done: int, of: int, share: float) -> None:
    progress(stage, round(_FINE * (done + share)), _FINE * of)
