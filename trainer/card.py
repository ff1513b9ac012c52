"""The model card: what the network is, what it was measured to do, and what must not be believed of it."""

from __future__ import annotations

from typing import Any

from edge import RESEARCH_USE_ONLY
from edge.model.run import Run
from edge.result import INDETERMINATE

PARTS = ("test", "cross-validated", "cross-validated, restained", "laboratories left out")

CONFOUNDING = (
    "Where a class comes from one laboratory only, class and laboratory cannot be told apart in these data: mean "
    "colour alone then separates the classes, and a figure for such a pair is not a clinical figure. The figures from "
    "mean colour alone, and from all but the nuclei, stand beside the network's; what they explain is not its merit."
)

WEIGHING = (
    "Accuracies of the most probable class weigh classes, and their laboratories, alike. What is decided, and of that "
    "rightly, the calibration error and the risk are of fields as they come: a class of many fields counts for more."
)

HOW_JUDGED = (
    "Cross-validated fields, and those of laboratories left out, are judged by a network that was not trained on them, "
    "and by a decision and a threshold of refusal that were fitted on other fields. These two are not wholly blind: "
    "the networks that judged those other fields were trained on them. Restained fields take the stains of "
    "laboratories that were trained on, and keep camera, focus and operator: they measure robustness to stains seen in "
    "training, and are no new laboratory."
)


def write(run: Run, report: dict[str, Any]) -> str:
    """Write the model card of a run.

    Parameters
    ----------
    run : Run
        The run.
    report : dict
        Its figures.

    Returns
    -------
    str
        Markdown.
    """
    held_out = f"Held out of training and calibration: {', '.join(run.training.held_out_groups) or 'nothing'}."
    if watched := report.get("settings", {}).get("stop_on"):
        held_out += f" Watched instead of trained on, and the epoch kept that did best there: {', '.join(watched)}."
    parts = [
        f"# {run.name} {run.version}",
        f"**{RESEARCH_USE_ONLY}** Licence: {run.training.licence}.",
        f"Tells {', '.join(run.classes)} apart in Romanowsky-stained bone marrow and blood, from tiles of "
        f"{run.tiling.tile_px} px at {run.um_per_px:g} um per px around each nucleus; abstains below a calibrated "
        f"probability of {run.decision.least_probability:g} and on what is unlike its training data.",
        "## Data\n\n" + "\n".join(f"- {entry}" for entry in run.training.data),
        held_out,
        f"## What must not be believed\n\n{CONFOUNDING}",
        f"## Figures\n\n{_opened(report)}",
    ]
    for name in PARTS:
        if name in report:
            parts.append(figures(name, report[name], run.classes))
    for control, of_parts in report["controls"].items():
        for name, found in of_parts.items():
            parts.append(figures(f"control: {control}, {name}", found, run.classes))
    parts.append(f"## How it was made\n\n    {run.training.command}\n\n" + _software(run.training.software))
    return "\n\n".join(parts) + "\n"


def figures(name: str, found: dict[str, Any], classes: tuple[str, ...]) -> str:
    """Write the figures of one part as a table.

    Parameters
    ----------
    name : str
        Name of the part.
    found : dict
        Its figures, see :func:`trainer.evaluate.figures`.
    classes : tuple of str
        Class names.

    Returns
    -------
    str
        Markdown.
    """
    columns = (*classes, INDETERMINATE)
    rows = [f"| class, laboratory | fields | {' | '.join(columns)} |", "|---|---" + "|---" * len(columns) + "|"]
    for origin, shares in found["verdicts"].items():
        cells = " | ".join(f"{100 * shares[column]:.1f}%" for column in columns)
        rows.append(f"| {origin} | {shares['fields']:.0f} | {cells} |")
    accuracy = f"- Accuracy of the most probable class: {_interval(found['accuracy'], 'share')}"
    listed = [accuracy, *(f"- AUROC {pair}: {_interval(figure, 'auroc')}" for pair, figure in found["pairs"].items())]
    parts = [f"### {name.capitalize()}", "\n".join(rows), "\n".join(listed)]
    decided = ""
    if "decided" in found:
        rightly = found["accuracy_of_decided"]
        decided = (
            f"decided {100 * found['decided']:.1f}% of {found['fields']} fields"
            f"{_without_nucleus(found['without_nucleus'])}"
            f"{'' if rightly is None else f', {100 * rightly:.1f}% of them rightly'}; "
        )
    parts.append(
        f"Of fields as they come: {decided}expected calibration error {found['calibration_error']:.3f}; "
        f"risk at 80% coverage {100 * found['risk_at_80_percent_coverage']:.1f}%."
    )
    return "\n\n".join(parts)


def _opened(report: dict[str, Any]) -> str:
    opened = "The test part was opened once, after everything had been decided. " if "test" in report else ""
    return (
        f"{opened}{WEIGHING} Intervals are from resampling whole groups, and left out where a class has a single one. "
        f"{HOW_JUDGED}"
    )


def _without_nucleus(fields: int) -> str:
    return f" (no nucleus was found in {fields}: these are indeterminate)" if fields else ""


def _interval(found: dict[str, Any], of: str) -> str:
    said = f"{found[of]:.3f}"
    if "low" in found:
        said += f" (95% interval over groups {found['low']:.3f} to {found['high']:.3f})"
    if beside := found.get("controls"):
        said += "; " + ", ".join(f"{name} {figure:.3f}" for name, figure in beside.items())
    if found.get("explained_by", ()) is None:
        said += "; no control was measured beside it"
    elif found.get("explained_by"):
        said += f"; **explained by a control: {', '.join(found['explained_by'])}**"
    return said


def _software(versions: dict[str, str]) -> str:
    return "Made with " + ", ".join(f"{name} {number}" for name, number in versions.items()) + "."
