"""The model card: what the network is, what it was measured to do, and what must not be believed of it."""

from __future__ import annotations

from typing import Any

from edge import RESEARCH_USE_ONLY
from edge.model.run import Run
from edge.result import INDETERMINATE

CONFOUNDING = (
    "Where a class comes from one laboratory only, class and laboratory cannot be told apart in these data: mean "
    "colour alone then separates the classes, and a figure for such a pair is not a clinical figure. The figures from "
    "mean colour alone stand beside the network's; what they explain is not the network's merit."
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
    parts = [
        f"# {run.name} {run.version}",
        f"**{RESEARCH_USE_ONLY}** Licence: {run.training.licence}.",
        f"Tells {', '.join(run.classes)} apart in Romanowsky-stained bone marrow and blood, from tiles of "
        f"{run.tiling.tile_px} px at {run.um_per_px:g} um per px around each nucleus; abstains below a calibrated "
        f"probability of {run.decision.least_probability:g} and on what is unlike its training data.",
        "## Data\n\n" + "\n".join(f"- {entry}" for entry in run.training.data),
        f"Held out of training and calibration: {', '.join(run.training.held_out_groups) or 'nothing'}.",
        f"## What must not be believed\n\n{CONFOUNDING}",
        "## Figures",
    ]
    for name in ("test", "cross-validated", "cross-validated, restained"):
        if name in report:
            parts.append(figures(name, report[name], run.classes))
    for name, control in report["controls"]["mean colour"].items():
        parts.append(figures(f"control: mean colour only, {name}", control, run.classes))
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
    parts = [f"### {name.capitalize()}", "\n".join(rows), _pairs(found["pairs"])]
    if found.get("accuracy_of_decided") is not None:
        parts.append(
            f"Decided: {100 * found['decided']:.1f}% of {found['fields']} fields, "
            f"{100 * found['accuracy_of_decided']:.1f}% of them rightly; "
            f"expected calibration error {found['calibration_error']:.3f}."
        )
    return "\n\n".join(part for part in parts if part)


def _pairs(pairs: dict[str, dict[str, float]]) -> str:
    return "\n".join(
        f"- AUROC {name}: {found['auroc']:.3f}"
        + (f" (95% interval over groups {found['low']:.3f} to {found['high']:.3f})" if "low" in found else "")
        for name, found in pairs.items()
    )


def _software(versions: dict[str, str]) -> str:
    return "Made with " + ", ".join(f"{name} {number}" for name, number in versions.items()) + "."
