"""``wbc-edge sample``: what is under the microscope of the service."""

from __future__ import annotations

import click

from edge.cli import options
from edge.cli.output import printable, say, write, write_json
from edge.errors import ConfigurationError


@click.group("sample")
def command() -> None:
    """Begin and finish samples of the service."""


@command.command(
    "start",
    epilog="""
\b
Example:
  wbc-edge sample start S-17
""",
)
@click.argument("identifier", metavar="ID")
@options.json_option
def start(identifier: str, as_json: bool) -> None:
    """Begin a sample, or continue one; the one before is finished."""
    from edge.daemon.control import ask, location

    if not identifier.strip():
        raise ConfigurationError("sample start", "the name is empty", "Name the sample, such as S-17")
    reply = ask(location(), {"ask": "start", "sample": options.sample_name(identifier)})
    if as_json:
        write_json(reply)
    else:
        say(f"sample {reply['sample']} is open")


@command.command(
    "finish",
    epilog="""
\b
Example:
  wbc-edge sample finish --json | jq .verdict
""",
)
@options.json_option
def finish(as_json: bool) -> None:
    """Finish the sample that is open, and show its verdict."""
    from edge import RESEARCH_USE_ONLY
    from edge.daemon.control import ask, location

    reply = ask(location(), {"ask": "finish"})
    if as_json:
        write_json(reply)
        return
    verdict = f"{reply['verdict']} ({reply['reason']})" if reply["reason"] else reply["verdict"]
    write(printable(f"sample {reply['sample']}: {verdict}, {reply['frames']} frames"))
    say(RESEARCH_USE_ONLY)
