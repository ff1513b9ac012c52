"""``convert compare``: what changed between two bundles."""

from __future__ import annotations

from pathlib import Path

import click

from edge.cli.options import json_option
from edge.cli.output import write, write_json

EXAMPLES = """
\b
Example:
  convert compare old.wbc new.wbc
"""


@click.command("compare", short_help="Say what changed between two bundles.", epilog=EXAMPLES)
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@json_option
def command(one: Path, other: Path, as_json: bool) -> None:
    """Say what changed from ONE bundle to the OTHER: description, networks, decisions, novelty, report."""
    from convert.difference import differences
    from edge.model import bundle as bundles

    first, second = bundles.read(one), bundles.read(other)
    found = list(differences(first, second))
    for what, before, after in found:
        if as_json:
            write_json({"what": what, "before": before, "after": after})
        else:
            write(f"{what}: {before} -> {after}")
    if not found and not as_json:
        write(f"{first.identity} and {second.identity} have the same content")
