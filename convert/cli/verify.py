"""``convert verify``: whether a bundle is still what it was when it was made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from edge.cli.options import Number, json_option
from edge.cli.output import say, write, write_json
from edge.cli.program import only_our_lines

EXAMPLES = """
\b
Examples:
  convert verify marrow.wbc
  convert verify marrow.wbc --data held-out.csv --min-agreement 0.99
"""


@click.command("verify", short_help="Repeat a bundle's checks here.", epilog=EXAMPLES)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Manifest of labelled fields on which its types are compared.",
)
@click.option("--min-agreement", default=0.98, show_default=True, type=Number(0, 1), help="Of its types, with --data.")
@click.option("--max-accuracy-drop", default=0.01, show_default=True, type=Number(0, 1), help="The same, of accuracy.")
@json_option
@click.pass_context
def command(context: click.Context, /, bundle: Path, data: Path | None, as_json: bool, **budget: Any) -> None:
    """Check every part of BUNDLE and its signature, and run the self-test of each type on each runtime here."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from convert import fields, report, verify
    from convert.parity import Budget
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
    if found.parity and not as_json:
        made = report.decode(found.parity)
        for kind in made.packed:
            whole = made.types[kind].comparison.whole
            write(f"{kind} when made: same verdict on {100 * whole.agreement:.2f}% of {whole.fields} fields")
    if data is not None:
        with only_our_lines():
            cut = fields.cut(manifest.read([data]), found.description)
            compared = verify.on_fields(found, cut)
        for kind, comparison in compared.items():
            if as_json:
                write_json(
                    {"kind": kind, **{name: getattr(comparison, name) for name in ("whole", "by_class", "by_lab")}}
                )
                continue
            whole = comparison.whole
            write(
                f"{kind} on {whole.fields} fields of {data}: same verdict as {next(iter(compared))} on "
                f"{100 * whole.agreement:.2f}%, accuracy {100 * whole.accuracy:.2f}%"
            )
        if refused := verify.refusal(compared, Budget(**budget)):
            raise refused
    context.exit(next((each.exit_code for each in checked if each.exit_code), 0))
