"""``convert keygen``: keys that sign bundles."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from edge.cli.options import json_option
from edge.cli.output import say, write, write_json

EXAMPLES = """
\b
Examples:
  convert keygen maker.key
  convert quantize runs/marrow --out marrow.wbc --sign maker.key
  wbc-edge config set "trusted_keys=$(cat maker.key.pub)"      (on each device)

The key is in OpenSSH's form; one of `ssh-keygen -t ed25519` without a passphrase will do
as well. Keep it where nobody else reads it: who has it makes models that your devices trust.
"""


@click.command("keygen", short_help="Make a key that signs bundles.", epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", help="Whose key it is.  [default: user@host]")
@json_option
def command(file: Path, name: str | None, as_json: bool) -> None:
    """Make an Ed25519 key: FILE, which only you can read, and FILE.pub, which devices list as trusted."""
    from convert import keys
    from edge.model import signature

    whose = " ".join((name or f"{os.environ.get('USER', 'user')}@{socket.gethostname()}").replace(",", " ").split())
    public = keys.make(file, whose)
    fingerprint = signature.fingerprint(public)
    if as_json:
        write_json({"private": str(file), "public": f"{file}.pub", "key": public, "fingerprint": fingerprint})
        return
    write(public)
    say(f"{file}: keep it secret; {file}.pub is for the devices. {fingerprint}")
