"""``convert verify``: whether a bundle is still what it was when it was made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from convert.cli.budget import budget_options
from edge.cli.options import json_option
from edge.cli.output import say, write, write_json
from edge.cli.program import only_our_lines

if TYPE_CHECKING:
    from convert.errors import QuantizationRefused
    from convert.parity import Comparison
    from convert.report import Parity
    from edge.model.description import Kind

EXAMPLES = """
\b
Examples:
  convert verify marrow.wbc
  convert verify marrow.wbc --data held-out.csv --max-accuracy-drop 0.02
  convert verify both.wbc --data held-out.csv --min-agreement 0.99

Types are compared with the most exact one in BUNDLE. A type that is alone has none to agree with:
its accuracy is told beside the one when it was made, and --max-accuracy-drop, where given, holds for that.
"""


@click.command("verify", short_help="Repeat a bundle's checks here.", epilog=EXAMPLES)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Manifest of labelled fields on which its types are compared, once they pass.",
)
@budget_options
@json_option
@click.pass_context
def command(context: click.Context, /, bundle: Path, data: Path | None, as_json: bool, **budget: Any) -> None:
    """Check every part of BUNDLE and its signature, and run the self-test of each type on each runtime here."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from convert import fields, report, verify
    from edge import manifest
    from edge.model import bundle as bundles
    from edge.model import signature

    found = bundles.read(bundle)
    checked = list(verify.selftests(found))
    for each in checked:
        if as_json:
            write_json(each)
        elif each.problem:
            say(f"convert: {each.problem}")
        else:
            exactly = "exactly" if each.difference == 0 else f"to {each.difference:.3g}"
            write(f"{each.kind} on {each.runtime}: decides {exactly} as where it was made")
    if not as_json:
        write(f"{found.identity}: whole; {signature.described(found.signature, ())}")
    made = report.of(found)
    if made is not None and not as_json:
        for kind in made.packed:
            whole = made.types[kind].comparison.whole
            write(f"{kind} when made: same verdict on {100 * whole.agreement:.2f}% of {whole.fields} fields")
    exit_code = next((each.exit_code for each in checked if each.exit_code), 0)
    if data is not None and exit_code:
        say(f"convert: not compared on {data}, as not every type passes its self-test")
    elif data is not None:
        if len(found.networks) == 1:
            _refuse_what_cannot_fail(context, made)
        with only_our_lines():
            cut = fields.cut(manifest.read([data]), found.description)
            compared = verify.on_fields(found, cut)
        for why in cut.unreadable:
            say(f"left out: {why}")
        _tell(compared, made, data, as_json)
        if refused := _refusal(context, compared, made, budget):
            raise refused
    context.exit(exit_code)


def _is_given(context: click.Context, option: str) -> bool:
    return context.get_parameter_source(option) is not ParameterSource.DEFAULT


def _refuse_what_cannot_fail(context: click.Context, made: Parity | None) -> None:
    """Refuse a budget that a bundle of one type would keep whatever it decides."""
    for option in ("min_agreement", "max_auroc_drop", "max_calibration_drop"):
        if _is_given(context, option):
            hint = f"--{option.replace('_', '-')}"
            raise click.BadParameter("the bundle holds one type: nothing to agree with", param_hint=hint)
    if _is_given(context, "max_accuracy_drop") and made is None:
        raise click.BadParameter(
            "the bundle holds one type and no report of its conversion: nothing to compare with",
            param_hint="--max-accuracy-drop",
        )


def _tell(compared: dict[Kind, Comparison], made: Parity | None, data: Path, as_json: bool) -> None:
    from convert import report

    for kind, comparison in compared.items():
        if as_json:
            write_json({"kind": kind, **{name: getattr(comparison, name) for name in ("whole", "by_class", "by_lab")}})
            continue
        whole = comparison.whole
        said = f"{kind} on {whole.fields} fields of {data}: accuracy {100 * whole.accuracy:.2f}%"
        said += f", {report.share(whole.novel)} novel"
        if len(compared) > 1:
            said += f", same verdict as {next(iter(compared))} on {100 * whole.agreement:.2f}%"
        elif made is None:
            said += "; one type, nothing to compare with"
        else:
            then = made.types[kind].comparison.whole.accuracy
            said += f"; {100 * then:.2f}% when made, on {report.fields(made)}"
        write(said)


def _refusal(
    context: click.Context, compared: dict[Kind, Comparison], made: Parity | None, budget: dict[str, float]
) -> QuantizationRefused | None:
    from convert import verify
    from convert.parity import Budget

    if len(compared) > 1:
        return verify.refusal(compared, Budget(**budget))
    if made is None or not _is_given(context, "max_accuracy_drop"):
        return None
    ((kind, comparison),) = compared.items()
    promised = made.types[kind].comparison.whole
    return verify.broken_promise(kind, comparison.whole, promised, budget["max_accuracy_drop"])
