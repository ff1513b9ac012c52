"""``convert inspect``: the network of a bundle as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge.cli.options import json_option
from edge.cli.output import left, write, write_json

EXAMPLES = """
\b
Examples:
  convert inspect marrow.wbc
  convert inspect marrow.wbc --type float16 --profile
"""


@click.command("inspect", short_help="Show a network as a table.", epilog=EXAMPLES)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--type", "kind", help="Type of network.  [default: the first]")
@click.option("--profile", is_flag=True, help="Time each layer here.")
@json_option
def command(bundle: Path, kind: Any, profile: bool, as_json: bool) -> None:
    """Show each layer of BUNDLE's network: shape, type, parameters, multiply-accumulates, share of time."""
    import msgspec

    from convert import graph
    from convert.profile import shares
    from edge.errors import NetworkNotFound
    from edge.model import bundle as bundles
    from edge.model import trial

    found = bundles.read(bundle)
    chosen = kind or next(iter(found.networks))
    if chosen not in found.networks:
        raise NetworkNotFound(f"bundle {bundle}", f"has no {kind} network", f"It has {', '.join(found.networks)}")
    network = found.networks[chosen]
    layers = graph.layers(network)
    if profile:
        trial.run(bundle, kind=chosen)
    times = shares(network, found.selftest_tiles) if profile else [None] * len(layers)
    if as_json:
        for layer, share in zip(layers, times, strict=True):
            write_json({**msgspec.to_builtins(layer), **({} if share is None else {"share": share})})
        return
    write(
        f"{left('layer', 40)}  {left('operation', 18)} {'shape':>18} {'type':>8} {'parameters':>11} {'MACs':>11}  time"
    )
    for layer, share in zip(layers, times, strict=True):
        shape = "x".join("n" if side < 0 else str(side) for side in layer.shape)
        told = f"{left(layer.name, 40)}  {left(layer.operation, 18)} {shape:>18} {layer.dtype:>8}"
        time = "" if share is None else f"{100 * share:4.1f}%"
        write(f"{told} {layer.parameters:>11,} {layer.macs:>11,}  {time}".rstrip())
    size = graph.size(network)
    write(
        f"{found.identity}, {chosen}: {size.bytes:,} bytes, {size.operations} operations, "
        f"{size.parameters:,} parameters, {size.macs:,} multiply-accumulates a tile, "
        f"at least {size.arena_bytes:,} bytes of arena"
    )
    if chosen != "int8" and (lacking := graph.not_accelerated(network)):
        write(f"A GPU does not run {', '.join(lacking)}")
