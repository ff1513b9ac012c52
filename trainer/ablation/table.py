"""The table of an ablation, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.ablation.measured import Failed, Figure, Measured

BOTH = "log loss, both"

_NO_SHARES = ("AUROC", "log loss", "calibration error")
"""Figures that are no shares: three decimals instead of percent."""


def write(measured: Sequence[Measured | Failed]) -> str:
    """Write a table for each look: a row a variant, beside each figure how far it is from the first variant's.

    Parameters
    ----------
    measured : sequence of Measured or Failed
        The given recipe first; of those that could not be trained there is the reason in place of figures.

    Returns
    -------
    str
        Markdown.
    """
    given = measured[0]
    assert isinstance(given, Measured)  # for the type checker
    lines: list[str] = []
    for look, figures in given.looks.items():
        columns = ["variant", *figures, BOTH]
        lines += [f"Fields {look}:", "", _row(columns), _row(["---"] * len(columns))]
        own = {**figures, BOTH: Figure(value=given.loss)}
        for each in measured:
            if isinstance(each, Failed):
                why = each.why.replace("|", "\\|")
                lines.append(_row([each.title, f"failed: {why}", *[""] * (len(own) - 1)]))
                continue
            found = {**each.looks[look], BOTH: Figure(value=each.loss)}
            cells = [_cell(name, found[name], None if each is given else own[name]) for name in own]
            lines.append(_row([each.title, *cells]))
        lines.append("")
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(name: str, figure: Figure, given: Figure | None) -> str:
    is_share = not name.startswith(_NO_SHARES)
    scale, digits, unit = (100, 1, "%") if is_share else (1, 3, "")
    text = f"{scale * figure.value:.{digits}f}{unit}"
    if figure.low is not None and figure.high is not None:
        text += f" ({scale * figure.low:.{digits}f} to {scale * figure.high:.{digits}f})"
    if given is not None:
        difference = round(scale * figure.value, digits) - round(scale * given.value, digits)
        text += f", {difference:+.{digits}f}"
    return text
