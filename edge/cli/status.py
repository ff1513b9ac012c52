"""``wbc-edge status``: how the service is."""

from __future__ import annotations

import click

from edge.cli import options
from edge.cli.output import printable, write, write_json

EXAMPLES = """
\b
Examples:
  wbc-edge status
  wbc-edge status --json | jq -r .state

The exit code is 1 while the service is degraded, and 55 when none answers.
"""


@click.command("status", short_help="Say how the service is.", epilog=EXAMPLES)
@options.json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Ask the service how it is: state, camera, model, frames, failures, disk, temperature."""
    from edge.daemon.control import ask, location

    report = ask(location(), {"ask": "status"})
    if as_json:
        write_json(report)
    else:
        for name, value in report.items():
            if value not in ("", None):
                write(printable(f"{name:<16}  {value}"))
    context.exit(1 if report["state"] == "degraded" else 0)
