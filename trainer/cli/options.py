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

network_option = click.option(
    "--network", default="cell-dense", show_default=True, help="Or cell-dense-light: half the time."
)
stop_on_option = click.option(
    "--stop-on",
    multiple=True,
    metavar="GROUP|LAB",
    help="Do not train on it but watch it, and keep the epoch that does best on it; repeatable.",
)
precision_option = click.option(
    "--precision",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "mixed_float16", "mixed_bfloat16"]),
    help="Of the activations while training; 16 bits are for GPUs.",
)
devices_option = click.option(
    "--devices",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Accelerators that share a batch; needs jax.",
)
