"""``wbc-edge trigger``: ask the service for a frame."""

from __future__ import annotations

import click

from edge.cli import options
from edge.cli.output import printable, write, write_json

EXAMPLES = """
\b
Examples:
  wbc-edge trigger
  wbc-edge trigger --sample S-17 --json | jq .verdict
"""


@click.command("trigger", short_help="Ask the service for a frame.", epilog=EXAMPLES)
@click.option("--sample", metavar="ID", help="Sample to begin or to continue.  [default: the one that is open]")
@options.json_option
def command(sample: str | None, as_json: bool) -> None:
    """Have the service capture, judge and log one frame, and say what came of it."""
    from edge.daemon.control import ask, location

    reply = ask(location(), {"ask": "frame", "sample": options.sample_name(sample) if sample is not None else None})
    if as_json:
        write_json(reply)
        return
    verdict = f"{reply['verdict']} ({reply['reason']})" if reply["reason"] else reply["verdict"]
    write(printable(f"record {reply['record']}, sample {reply['sample']}: {verdict}"))
