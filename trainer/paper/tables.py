"""Tables 2 and 3, for people and as CSV, with what must be said beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge import RESEARCH_USE_ONLY
from trainer.card import CONFOUNDING
from trainer.networks import vgg16
from trainer.paper import lineup
from trainer.paper.controls import CONTROLS
from trainer.paper.lines import AUROC, explained
from trainer.paper.measures import MEASURES, Figure
from trainer.paper.protocols import PROTOCOLS
from trainer.paper.results import Comparison, DataSet, Inflation, Task

COLUMNS = (*MEASURES, AUROC)

UNTRAINED = (
    "**VGG-16 is not transferred here**: run with `--weights none`, its convolutions are random and only its last two "
    "layers were trained. Its lines say what random convolutions are good for, not what ImageNet's are."
)
ONE_SCALE = (
    "Fields were brought to {um_per_px:g} um per pixel and white balance by the device's own preparation, and the "
    "{side_px} px in their middle were read."
)
WHOLE = (
    "Whole fields were resized to {side_px} px, as in the paper: where laboratories differ in magnification, squeeze "
    "and sharpness, those tell the laboratory too."
)


def table2_csv(found: Comparison) -> str:
    """Write Table 2 of all tasks and protocols as CSV, a line a system; shares are 0 to 1.

    Parameters
    ----------
    found : Comparison
        The comparison.

    Returns
    -------
    str
        CSV.
    """
    bounds = [part for name in COLUMNS for part in (name, f"{name} low", f"{name} high")]
    columns = ["data", "classes", "protocol", "system", "control", "tested", *bounds]
    columns += ["accuracy as taken", "parameters", "bytes", "ms per picture"]
    rows = []
    for one in found.rows:
        intervals = [part for name in COLUMNS for part in one.figures[name]]
        start = [one.task.data, " ".join(one.task.classes), one.protocol, one.title, one.is_control, one.tested]
        rows.append(
            [*start, *intervals, one.accuracy_as_taken, one.parameters, one.size_bytes, round(one.ms_per_picture, 3)]
        )
    return _csv(columns, rows)


def table3_csv(found: Comparison) -> str:
    """Write Table 3 as CSV: accuracy of every system and control on every task by every protocol; 0 to 1.

    Parameters
    ----------
    found : Comparison
        The comparison.

    Returns
    -------
    str
        CSV, a line a task and system, a column a protocol.
    """
    protocols = found.settings["protocols"]
    rows = [
        [task.data, " ".join(task.classes), title, *(values[protocol].value for protocol in protocols)]
        for task in found.tasks
        for title, values in _accuracies(found, task).items()
    ]
    return _csv(["data", "classes", "system", *protocols], rows)


def gallery(pictures: Mapping[str, str]) -> str:
    """Write the page of the figures.

    Parameters
    ----------
    pictures : mapping of str to str
        Figures, relative paths, to what each shows in words.

    Returns
    -------
    str
        Markdown.
    """
    shown = (f"![{words}]({path})\n\n{words}" for path, words in pictures.items())
    return "\n\n".join(
        ["# Figures", "What must not be believed of them stands beside [the tables](tables.md).", *shown, ""]
    )


def page(found: Comparison) -> str:
    """Write the page of the tables, with what must not be believed; it needs nothing beside it.

    Parameters
    ----------
    found : Comparison
        The comparison.

    Returns
    -------
    str
        Markdown.
    """
    parts = [
        "# The paper's comparison, by three protocols" if len(found.settings["protocols"]) == 3 else "# The comparison",
        f"{found.created[:10]}. **{RESEARCH_USE_ONLY}**",
        f"    {found.command}",
        _summary(found),
        "## What must not be believed",
        f"{CONFOUNDING}\n\n" + "\n".join(_confounded(found)),
        _preparation(found),
        "## How fields were dealt out",
        "\n".join(
            f"- *{PROTOCOLS[name].title}*: {PROTOCOLS[name].explanation}." for name in found.settings["protocols"]
        ),
        f"Each of {found.settings['folds']} parts is tested in turn by systems that learned from the others. Intervals "
        "are of 95%, from resampling whole groups. Times are of one picture, from its pixels to its scores, on the "
        "machine of this run; sizes are of the pickled or Keras file. **†**: no better than a reader of mean colour or "
        "of the background alone (balanced accuracy within or below its interval), so the figure shows nothing of the "
        "disease.",
        "Controls: "
        + "; ".join(f"*{control.system.title}* is shown {control.explanation}" for control in CONTROLS.values())
        + ".",
        _restarted(found),
    ]
    for task in found.tasks:
        parts.append(f"## Table 2. {task.title}")
        if len(task.classes) == 2:
            parts.append(f"Precision, recall, specificity and F1 are of {task.classes[0]}.")
        else:
            parts.append(
                "Precision, recall, specificity, F1 and AUROC are means over the classes, each against the rest."
            )
        for protocol in found.settings["protocols"]:
            parts.append(f"### {PROTOCOLS[protocol].title.capitalize()}\n\n" + _table2(found, task, protocol))
        parts.append(_inflations(found, task))
    parts += ["## Table 3. Accuracy by data set", _table3(found)]
    parts += ["## Data", "\n".join(map(_data, found.data)), _made_with(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(found: Comparison) -> str:
    """Say the one thing that the side-by-side is for, in a sentence a task."""
    lines = []
    for task in found.tasks:
        for one in found.inflation:
            if one.task == task and one.system == lineup.PAPER and one.protocol != "paper":
                if said := _did_not_learn(found, one):
                    lines.append(f"- {task.title}: the network of the paper {said}.")
                    break
                values = _accuracies(found, task)[one.title]
                lines.append(
                    f"- {task.title}: the network of the paper has an accuracy of {_percent(values['paper'])} as in "
                    f"the paper and {_percent(values[one.protocol])} {PROTOCOLS[one.protocol].title}: "
                    f"**{_points(one.points)} points**; {_points(one.as_taken)} on pictures as taken."
                )
    return "\n".join(lines)


def _did_not_learn(found: Comparison, one: Inflation) -> str:
    """Say that a system, or one of its trainings, did not learn, if so; what noise lost says nothing."""
    if one.one_class_only:
        return f"{one.one_class_only} of its trainings called one class only; no inflation can be read from it"
    balanced = next(
        row.figures["balanced accuracy"]
        for row in found.rows
        if (row.task, row.system, row.protocol) == (one.task, one.system, "paper")
    )
    low = balanced.value if balanced.low is None else balanced.low
    if low > 1 / len(one.task.classes):
        return ""
    return f"did not learn (balanced accuracy {_percent(balanced)}); no inflation can be read from it"


def _restarted(found: Comparison) -> str:
    restarts: dict[str, int] = {}
    for one in found.rows:
        restarts[one.title] = restarts.get(one.title, 0) + one.restarts
    return " ".join(
        f"Trainings of the {title} that ended at a single class of their own training pictures, and were begun anew "
        f"from another seed: {count}."
        for title, count in restarts.items()
        if count
    )


def _preparation(found: Comparison) -> str:
    said = (WHOLE if found.settings["um_per_px"] is None else ONE_SCALE).format(**found.settings)
    if "vgg16" in found.settings["systems"] and found.settings["weights"] == vgg16.UNTRAINED:
        said += f"\n\n{UNTRAINED}"
    return said


def _confounded(found: Comparison) -> list[str]:
    homes = {(data.name, label): set(labs) for data in found.data for label, labs in data.laboratories.items()}
    return [f"- {task.title}: {_whence([homes[task.data, name] for name in task.classes])}" for task in found.tasks]


def _whence(homes: Sequence[set[str]]) -> str:
    """Say whether the classes, each with its laboratories, come from the same ones."""
    shared, every = set.intersection(*homes), set.union(*homes)
    if not shared:
        where = "the classes come from **different laboratories**"
        return f"{where}, so no figure of this task is one of the disease alone."
    if shared == every:
        same = "one laboratory" if len(shared) == 1 else f"the same {len(shared)} laboratories"
        return f"the classes come from **{same}**."
    only = ", ".join(sorted(every - shared))
    return (
        f"all classes come from **{', '.join(sorted(shared))}, but not all from {only}**: there what tells the "
        "laboratory tells the class, so the figures of this task are not of the disease alone."
    )


def _table2(found: Comparison, task: Task, protocol: str) -> str:
    lines = [
        f"| system | {' | '.join(COLUMNS)} | parameters | size | ms |",
        "|---" * (len(COLUMNS) + 1) + "|---:|---:|---:|",
    ]
    for one in found.rows:
        if (one.task, one.protocol) != (task, protocol):
            continue
        cells = [_percent(one.figures[name]) for name in MEASURES] + [_share(one.figures[AUROC])]
        costs = [f"{one.parameters:,}", _size(one.size_bytes), f"{one.ms_per_picture:.1f}"]
        title = f"*control: {one.title}*" if one.is_control else one.title
        if not one.is_control and explained(found, one):
            title += " †"
        lines.append(f"| {title} | {' | '.join(cells + (['', '', ''] if one.is_control else costs))} |")
    return "\n".join(lines)


def _inflations(found: Comparison, task: Task) -> str:
    ours = [one for one in found.inflation if one.task == task]
    if not ours:
        return ""
    others = list(dict.fromkeys(one.protocol for one in ours))
    heads = [f"minus {PROTOCOLS[name].title}" for name in others]
    lines = [
        "### What the paper's protocol adds to accuracy, in points",
        "",
        f"| system | {' | '.join(heads)} | {' | '.join(f'{head}, pictures as taken' for head in heads)} |",
        "|---" * (1 + 2 * len(others)) + "|",
    ]
    for title in dict.fromkeys(one.title for one in ours):
        by = {one.protocol: one for one in ours if one.title == title}
        if said := next(filter(None, (_did_not_learn(found, one) for one in by.values())), ""):
            lines.append(f"| {title} | {said} |{' |' * (2 * len(others) - 1)}")
            continue
        cells = [_points(by[name].points) for name in others] + [_points(by[name].as_taken) for name in others]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _table3(found: Comparison) -> str:
    protocols = found.settings["protocols"]
    lines = [
        f"| data, classes | system | {' | '.join(PROTOCOLS[name].title for name in protocols)} |",
        "|---" * (2 + len(protocols)) + "|",
    ]
    for task in found.tasks:
        controls = {one.title for one in found.rows if one.is_control}
        for title, values in _accuracies(found, task).items():
            cells = " | ".join(_percent(values[name]) for name in protocols)
            lines.append(f"| {task.title} | {f'*control: {title}*' if title in controls else title} | {cells} |")
    return "\n".join(lines)


def _accuracies(found: Comparison, task: Task) -> dict[str, dict[str, Figure]]:
    """Give the accuracy of each system and control by protocol."""
    values: dict[str, dict[str, Figure]] = {}
    for one in found.rows:
        if one.task == task:
            values.setdefault(one.title, {})[one.protocol] = one.figures["accuracy"]
    return values


def _data(data: DataSet) -> str:
    counts = ", ".join(
        f"{fields} {name} in {data.groups[name]} groups ({', '.join(data.laboratories[name])})"
        for name, fields in data.fields.items()
    )
    unreadable = f"; not readable {len(data.unreadable)}: {'; '.join(data.unreadable)}" if data.unreadable else ""
    return f"- {data.name}: {counts}; {data.pictures} pictures after augmentation{unreadable}. SHA-256 {data.sha256}"


def _made_with(found: Comparison) -> str:
    software = ", ".join(f"{name} {number}" for name, number in found.software.items())
    settings = ", ".join(
        f"{name} {value}" for name, value in found.settings.items() if not isinstance(value, list | tuple)
    )
    return f"Made with {software}. Settings: {settings}."


def _percent(figure: Figure) -> str:
    return _interval(figure, lambda value: f"{100 * value:.1f}", "%")


def _share(figure: Figure) -> str:
    return _interval(figure, lambda value: f"{value:.3f}", "")


def _points(figure: Figure) -> str:
    return _interval(figure, lambda value: f"{100 * value:+.1f}", "")


def _interval(figure: Figure, write: Any, unit: str) -> str:
    if not np.isfinite(figure.value):
        return "–"
    bounds = "" if figure.low is None or figure.high is None else f" ({write(figure.low)} to {write(figure.high)})"
    return f"{write(figure.value)}{unit}{bounds}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([columns, *rows])
    return text.getvalue()
