"""The page: figures as tables and drawings, fields as a contact sheet, and how to make it again."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import jinja2
import msgspec

from edge import RESEARCH_USE_ONLY
from edge.model.run import Run
from edge.result import INDETERMINATE
from trainer import card
from trainer.report import plots, sheet
from trainer.report.sheet import Shown

PAGE = "report.html"


@dataclass(frozen=True, slots=True)
class Material:
    """What a page shows besides figures.

    Attributes
    ----------
    parts : list of Shown
        Fields of each part as the networks saw them.
    um_per_px : float
        The model's scale.
    tile_px : int
        Side of its tiles.
    """

    parts: list[Shown]
    um_per_px: float
    tile_px: int


def page(run: Run, told: dict[str, Any], material: Material) -> str:
    """Write the page of a run.

    Parameters
    ----------
    run : Run
        The run.
    told : dict
        Its figures, as in ``report.json``.
    material : Material
        Fields to show.

    Returns
    -------
    str
        HTML, with all pictures and styles inside.
    """
    parts = {part.name: part for part in material.parts}
    sections = [
        {
            "name": name,
            "found": found,
            "verdicts": found["verdicts"],
            "plots": _drawings(found, parts.get(name)),
            "sheet": sheet.rows(parts[name], material.um_per_px, material.tile_px) if name in parts else [],
        }
        for name, found in told.items()
        if isinstance(found, dict) and "verdicts" in found
    ]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trainer.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}%"
    environment.filters["three"] = lambda number: f"{number:.3f}"
    environment.filters["inline"] = _inline
    return environment.get_template("page.html").render(
        run=run,
        warning=RESEARCH_USE_ONLY,
        confounding=card.CONFOUNDING,
        how_judged=card.HOW_JUDGED,
        columns=(*run.classes, INDETERMINATE),
        colours={label: plots.css(number) for number, label in enumerate(run.classes)},
        bar_um=sheet.BAR_UM,
        sections=sections,
        controls=told["controls"],
        told=told,
        settings=msgspec.json.format(msgspec.json.encode(told["settings"]), indent=2).decode(),
        card=card.write(run, told),
    )


def _drawings(found: dict[str, Any], part: Shown | None) -> list[tuple[str, str]]:
    reliability, risk = plots.reliability(found["reliability"]), plots.risk_coverage(found["risk_coverage"])
    drawn = [
        ("Reliability: confidence against accuracy; the larger, the more fields", reliability),
        ("Risk against coverage", risk),
    ]
    if part is not None:
        confusion = plots.confusion(part.judged, part.decided.probabilities)
        drawn.append(("Confusion: fields, and their share of the class", confusion))
        drawn.append(("ROC of each class against the rest", plots.roc(part.judged, part.decided.probabilities)))
    return drawn


def _inline(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
