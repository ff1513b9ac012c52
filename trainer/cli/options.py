"""The options that commands share."""

from __future__ import annotations

import click


def _by_old_name(_context: click.Context, _option: click.Parameter, entries: tuple[str, ...]) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in entries]
    if any(not old or not new for old, _, new in pairs):
        raise click.BadParameter("give OLD=NEW", param_hint="--relabel")
    if len({old for old, _, _ in pairs}) < len(pairs):
        raise click.BadParameter("a label is renamed twice", param_hint="--relabel")
    return {old: new for old, _, new in pairs}


relabel_option = click.option(
    "--relabel", multiple=True, metavar="OLD=NEW", callback=_by_old_name, help="Rename a label; repeatable."
)
"""``--relabel``: the command is given new names by the old ones."""
