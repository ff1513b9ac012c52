"""Drawings of a report, as SVG text that stands in a page."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from sklearn.metrics import auc, confusion_matrix, roc_curve

from edge.vision.overlay import COLOURS_BGR
from trainer.evaluate import Origins

_SIZE = (3.4, 3.2)
_MARGIN = 0.03
_DASHES = ("-", "--", "-.", ":")


def css(label: int) -> str:
    """Give the colour of a class on pictures as a page writes it, such as ``#dc2828``."""
    blue, green, red = COLOURS_BGR[label % len(COLOURS_BGR)]
    return f"#{red:02x}{green:02x}{blue:02x}"


def reliability(bins: list[dict[str, float]]) -> str:
    """Draw a reliability diagram from the bins of :func:`trainer.statistics.reliability`."""
    figure, axes = _axes("confidence", "accuracy")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.scatter(
        [row["confidence"] for row in bins],
        [row["accuracy"] for row in bins],
        s=[10 + 300 * row["share"] for row in bins],
        alpha=0.7,
        clip_on=False,
    )
    _unit_square(axes)
    return _svg(figure)


def risk_coverage(curve: dict[str, list[float]]) -> str:
    """Draw the curve of :func:`trainer.statistics.risk_coverage`."""
    figure, axes = _axes("fields judged, the most certain first", "of them wrong")
    axes.plot(curve["coverage"], curve["risk"], clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, max(0.02, 1.1 * max(curve["risk"]))))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return _svg(figure)


def confusion(origins: Origins, probabilities: NDArray[np.float64]) -> str:
    """Draw how many fields of each class are called what, and which share of the class they are.

    Parameters
    ----------
    origins : Origins
        The fields.
    probabilities : ndarray
        Shape (fields, classes).

    Returns
    -------
    str
        SVG.
    """
    classes = range(len(origins.classes))
    counts = confusion_matrix(origins.labels, probabilities.argmax(axis=1), labels=list(classes))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _axes("most probable class", "true class")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(classes, origins.classes)
    axes.set_yticks(classes, origins.classes)
    for (row, column), count in np.ndenumerate(counts):
        shade = "white" if shares[row, column] > 0.5 else "black"
        share = f"{100 * shares[row, column]:.1f}%"
        axes.text(column, row, f"{count}\n{share}", ha="center", va="center", color=shade, fontsize=9)
    return _svg(figure)


def roc(origins: Origins, probabilities: NDArray[np.float64]) -> str:
    """Draw the ROC curve of each class against the rest, in the colour that the class has on pictures.

    Parameters
    ----------
    origins : Origins
        The fields.
    probabilities : ndarray
        Shape (fields, classes).

    Returns
    -------
    str
        SVG.
    """
    figure, axes = _axes("false positive rate", "true positive rate")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for label, name in enumerate(origins.classes):
        positive = origins.labels == label
        if positive.any() and not positive.all():
            false, true, _ = roc_curve(positive, probabilities[:, label])
            axes.plot(
                false,
                true,
                label=f"{name}, area {auc(false, true):.3f}",
                color=css(label),
                linestyle=_DASHES[label % len(_DASHES)],
                clip_on=False,
            )
    _unit_square(axes)
    # The diagonal has no name, and alone says nothing.
    if len(axes.lines) > 1:
        axes.legend(loc="lower right", frameon=False)
    return _svg(figure)


def _axes(across: str, up: str) -> tuple[Figure, Any]:
    # Not pyplot, which would look for a screen and keep every figure.
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _unit_square(axes: Any) -> None:
    axes.set(xlim=(-_MARGIN, 1 + _MARGIN), ylim=(-_MARGIN, 1 + _MARGIN), aspect="equal")


def _svg(figure: Figure) -> str:
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]
