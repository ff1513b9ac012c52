"""``wbc-edge doctor``: whether this device is fit for work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli import options
from edge.cli.output import painted, printable, write, write_json

if TYPE_CHECKING:
    from edge.model import Execution

EXAMPLES = """
\b
Examples:
  wbc-edge doctor
  wbc-edge doctor --json | jq 'select(.state == "problem")'

The exit code is 1 when there is a problem; warnings leave it 0.
"""

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command("doctor", short_help="Check this device.", epilog=EXAMPLES)
@options.model_option
@options.execution_options
@options.journal_option
@options.json_option
@click.pass_context
def command(
    context: click.Context, model: str | None, execution: Execution, journal: str | None, as_json: bool
) -> None:
    """Check software, model, cameras, disk, journal, clock and temperature, and say what to do about each problem."""
    from edge.doctor import examine
    from edge.journal import default_path
    from edge.model.store import Store

    options.set_threads(execution.threads)
    problems = 0
    findings = examine(
        Path(journal or default_path()),
        lambda: options.find_model(model),
        Store(options.model_folder()),
        execution=execution,
        trusted_keys=options.trusted_keys(),
    )
    for finding in findings:
        problems += finding.state == "problem"
        if as_json:
            write_json(finding)
            continue
        write(f"{painted(f'{finding.state:<8}', _COLOURS[finding.state])} {printable(finding.what)}")
        if finding.remedy:
            write(f"{'':<8} -> {printable(finding.remedy)}")
    context.exit(1 if problems else 0)
