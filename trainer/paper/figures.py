"""The paper's figures, each with what it shows in words; drawn without a display.

Colours are those of Okabe and Ito (2008), which colour-blind people tell apart, and never alone: lines differ in their
dashes, bars in their hatching, and cells of matrices have their numbers written in them. Controls are grey lines,
and bars on grey ground.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from trainer.networks import paper
from trainer.paper import lineup, measures
from trainer.paper.controls import SHORTCUTS
from trainer.paper.protocols import PROTOCOLS
from trainer.paper.results import Outcome, Task

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (6, 3)), (0, (2, 4)))
HATCHES = ("", "///", "...", "xx")
BARS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
SMOOTHED_STEPS = 20
DOTS_PER_INCH = 110


def draw(outcomes: Sequence[Outcome], folder: Path, seed: int) -> dict[str, str]:
    """Draw the figures of every task.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of all systems and controls by all protocols.
    folder : Path
        Where the PNG files go; made.
    seed : int
        Seed of the resampling, as of the tables.

    Returns
    -------
    dict of str to str
        Path of each file, relative to the folder's parent, to what it shows in words.

    Raises
    ------
    OSError
        When they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    told = {}
    for task in dict.fromkeys(one.task for one in outcomes):
        ours = [one for one in outcomes if one.task == task]
        for name, (figure, words) in _of_task(task, ours, seed):
            path = folder / f"{task.slug}-{name}.png"
            figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Description": words, "Title": task.title})
            told[f"{folder.name}/{path.name}"] = words
    return told


def _of_task(task: Task, outcomes: list[Outcome], seed: int) -> Iterator[tuple[str, tuple[Figure, str]]]:
    systems = [one for one in outcomes if not one.is_control]
    # No curve of those that read nothing, or what was dealt out at random: these are at chance.
    told_apart = [one for one in outcomes if not one.is_control or one.system in SHORTCUTS]
    yield "accuracy", bars(task, outcomes, seed)
    yield "confusion", matrices(task, systems)
    yield "roc", curves(task, told_apart, "ROC")
    yield "precision-recall", curves(task, told_apart, "precision-recall")
    if any(one.part.losses[0] for one in systems):
        yield "loss", losses(task, systems)


def bars(task: Task, outcomes: Sequence[Outcome], seed: int) -> tuple[Figure, str]:
    """Draw accuracy of systems and controls, a bar a protocol, with 95% intervals.

    Parameters
    ----------
    task : Task
        What was told apart.
    outcomes : sequence of Outcome
        Of that task.
    seed : int
        Seed of the resampling.

    Returns
    -------
    tuple of Figure and str
        The figure, and what it shows.
    """
    protocols, titles = _protocols(outcomes), list(dict.fromkeys(one.title for one in outcomes))
    controls = {one.title for one in outcomes if one.is_control}
    figure, axes = _figure(10.5, 5.5)
    # Controls come last.
    axes.axvspan(len(titles) - len(controls) - 0.5, len(titles) - 0.5, color="0.9")
    axes.set_xlim(-0.5, len(titles) - 0.5)
    width = 0.8 / len(protocols)
    for number, protocol in enumerate(protocols):
        figures_ = [
            measures.with_intervals(one.confusions, seed)["accuracy"]
            for title in titles
            for one in outcomes
            if one.title == title and one.protocol == protocol
        ]
        heights = np.array([100 * one.value for one in figures_])
        bounds = np.array([[one.value if bound is None else bound for bound in one[1:]] for one in figures_]).T * 100
        axes.bar(
            np.arange(len(titles)) + (number - (len(protocols) - 1) / 2) * width,
            heights,
            width,
            label=PROTOCOLS[protocol].title,
            color=BARS[number],
            hatch=HATCHES[number],
            edgecolor="black",
            linewidth=0.7,
            yerr=np.abs(bounds - heights),
            error_kw={"elinewidth": 1.2, "capsize": 2.5},
        )
    axes.set_xticks(
        range(len(titles)),
        [_folded(f"control: {title}" if title in controls else title) for title in titles],
        fontsize=8,
    )
    axes.set_ylim(0, 105)
    axes.set_ylabel("accuracy, %")
    axes.set_title(f"{task.title}: accuracy with 95% intervals")
    axes.grid(axis="y", alpha=0.4)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=len(protocols))
    return figure, f"{task.title}. Accuracy of each system and control by protocol; values are those of Table 2."


def matrices(task: Task, outcomes: Sequence[Outcome]) -> tuple[Figure, str]:
    """Draw confusion matrices, a row a system, a column a protocol.

    Parameters
    ----------
    task : Task
        What was told apart.
    outcomes : sequence of Outcome
        Of that task.

    Returns
    -------
    tuple of Figure and str
        The figure, and what it shows.
    """
    protocols, titles = _protocols(outcomes), list(dict.fromkeys(one.title for one in outcomes))
    figure = Figure(figsize=(2.9 * len(protocols) + 0.6, 2.2 * len(titles) + 0.7), layout="constrained")
    grid = figure.subplots(len(titles), len(protocols), squeeze=False)
    for one in outcomes:
        axes = grid[titles.index(one.title), protocols.index(one.protocol)]
        counts = one.confusions.sum(axis=0)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (truth, called), count in np.ndenumerate(counts):
            dark = shares[truth, called] > 0.6
            axes.text(
                called,
                truth,
                f"{count}\n{100 * shares[truth, called]:.1f}%",
                ha="center",
                va="center",
                color="white" if dark else "black",
                fontsize=9,
            )
        ticks = range(len(task.classes))
        axes.set_xticks(ticks, task.classes, fontsize=8)
        axes.set_yticks(ticks, task.classes, fontsize=8, rotation=90, va="center")
        axes.set_title(f"{_folded(one.title, 30)}\n{PROTOCOLS[one.protocol].title}", fontsize=8)
    figure.supxlabel("called", fontsize=10)
    figure.supylabel("true class", fontsize=10)
    figure.suptitle(task.title, fontsize=11)
    words = f"{task.title}. Confusion matrices: true classes in rows, classes called in columns"
    return figure, f"{words}; by the paper's protocol, augmented pictures are tested too."


def curves(task: Task, outcomes: Sequence[Outcome], kind: str) -> tuple[Figure, str]:
    """Draw the curves of systems, and of controls in grey, a panel a protocol.

    Parameters
    ----------
    task : Task
        What was told apart.
    outcomes : sequence of Outcome
        Of that task.
    kind : str
        ``"ROC"`` or ``"precision-recall"``.

    Returns
    -------
    tuple of Figure and str
        The figure, and what it shows.
    """
    protocols, titles = _protocols(outcomes), list(dict.fromkeys(one.title for one in outcomes))
    figure = Figure(figsize=(4.2 * len(protocols), 5.6), layout="compressed")
    panels = figure.subplots(1, len(protocols), squeeze=False)[0]
    for panel, protocol in zip(panels, protocols, strict=True):
        shown = {one.title: one for one in outcomes if one.protocol == protocol}
        positive = next(iter(shown.values()))
        for number, title in enumerate(titles):
            truth, score = _positive(shown[title])
            if kind == "ROC":
                along, up, _ = roc_curve(truth, score)
            else:
                up, along, _ = precision_recall_curve(truth, score)
            colour, width = ("0.5", 1.2) if shown[title].is_control else (COLOURS[number], 1.8)
            panel.plot(
                along,
                up,
                color=colour,
                linestyle=DASHES[number % len(DASHES)],
                linewidth=width,
                label=_titled(shown[title]),
            )
        chance = float(_positive(positive)[0].mean())
        ends = ((0, 1), (0, 1)) if kind == "ROC" else ((0, 1), (chance, chance))
        panel.plot(*ends, color="0.7", linewidth=0.8, label="chance")
        panel.set_title(PROTOCOLS[protocol].title)
        panel.set_xlabel("1 - specificity" if kind == "ROC" else "recall")
        panel.set_ylabel("recall" if kind == "ROC" else "precision")
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        panel.grid(alpha=0.4)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, handlelength=3.5)
    of = task.classes[0] if len(task.classes) == 2 else "all classes, each against the rest"
    figure.suptitle(f"{task.title}: {kind} curves of {of}")
    name = f"{kind[0].upper()}{kind[1:]}"
    return figure, f"{task.title}. {name} curves of {of}, the scores of all parts together."


def losses(task: Task, outcomes: Sequence[Outcome]) -> tuple[Figure, str]:
    """Draw the training loss of each network by step, a line a protocol.

    Parameters
    ----------
    task : Task
        What was told apart.
    outcomes : sequence of Outcome
        Of that task.

    Returns
    -------
    tuple of Figure and str
        The figure, and what it shows.
    """
    trained = [one for one in outcomes if one.part.losses[0]]
    titles = list(dict.fromkeys(one.title for one in trained))
    figure = Figure(figsize=(5.2 * len(titles), 4.6), layout="constrained")
    panels = figure.subplots(1, len(titles), squeeze=False)[0]
    for panel, title in zip(panels, titles, strict=True):
        shown = [one for one in trained if one.title == title]
        for number, one in enumerate(shown):
            mean = _smoothed(np.array(one.part.losses).mean(axis=0))
            panel.plot(
                np.arange(len(mean)) + len(one.part.losses[0]) - len(mean) + 1,
                mean,
                color=COLOURS[number],
                linestyle=DASHES[number],
                label=PROTOCOLS[one.protocol].title,
            )
        if shown[0].system == lineup.PAPER:
            least = paper.least_loss(len(task.classes))
            panel.axhline(least, color="gray", linewidth=0.9, label=f"least there is, {least:.4f}")
        panel.set(xlabel="step", ylabel="training loss", title=title)
        panel.grid(alpha=0.4)
        panel.legend(fontsize=9, handlelength=3.5)
    figure.suptitle(f"{task.title}: loss in training")
    words = f"{task.title}. Training loss by step, mean of the folds and of {SMOOTHED_STEPS} steps"
    least = paper.least_loss(len(task.classes))
    return figure, f"{words}; the loss of the paper's network cannot fall below {least:.4f}."


def _protocols(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(one.protocol for one in outcomes))


def _titled(outcome: Outcome) -> str:
    return f"control: {outcome.title}" if outcome.is_control else outcome.title


def _positive(outcome: Outcome) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Give truth and score: of two classes of the first, of more of each against the rest."""
    if len(outcome.task.classes) == 2:
        return outcome.labels == 0, outcome.scores[:, 0] - outcome.scores[:, 1]
    truth = outcome.labels[:, None] == np.arange(len(outcome.task.classes))
    return truth.ravel(), outcome.scores.ravel()


def _smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = min(SMOOTHED_STEPS, 1 + len(values) // 10)
    return np.convolve(values, np.full(steps, 1 / steps), "valid")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _folded(text: str, most: int = 13) -> str:
    lines = [""]
    for word in text.split():
        fits = len(lines[-1]) + len(word) < most
        lines[-1:] = [f"{lines[-1]} {word}".strip()] if fits or not lines[-1] else [lines[-1], word]
    return "\n".join(lines)
