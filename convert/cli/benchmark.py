"""``convert benchmark``: how fast each type runs here."""

from __future__ import annotations

from pathlib import Path

import click

from edge.cli.options import json_option
from edge.cli.output import left, write, write_json

EXAMPLES = """
\b
Examples:
  convert benchmark marrow.wbc
  convert benchmark marrow.wbc --threads 1 --threads 2 --repeats 200 --json
"""


@click.command("benchmark", short_help="Time each type here.", epilog=EXAMPLES)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--threads", multiple=True, type=click.IntRange(1, 64), help="Repeatable.  [default: 1, 2]")
@click.option("--repeats", default=60, show_default=True, type=click.IntRange(1), help="Runs over 32 tiles.")
@json_option
def command(bundle: Path, threads: tuple[int, ...], repeats: int, as_json: bool) -> None:
    """Time each type of BUNDLE with each number of threads on each runtime, each in a process of its own.

    onnxruntime is measured beside the others when it is installed.
    """
    from convert import timing
    from edge.errors import InferenceFailed
    from edge.model import bundle as bundles

    found = bundles.read(bundle)
    if not as_json:
        write(f"{left('type', 8)}  {left('runtime', 24)} {'threads':>7} {'ms a tile':>10} {'peak, MB':>9}")
    failed = {}
    for each in timing.measure(found, threads or (1, 2), repeats):
        if each.problem and each.runtime != timing.ONNX:
            failed[each.kind] = each.problem
        if as_json:
            write_json(each)
            continue
        told = each.problem or f"{each.tile_ms:>10.3f} {each.peak_memory_mb:>9.0f}"
        write(f"{left(each.kind, 8)}  {left(each.runtime, 24)} {each.threads:>7} {told}")
    if failed:
        why = "; ".join(f"{kind} does not run here: {problem}" for kind, problem in failed.items())
        raise InferenceFailed(f"bundle {bundle}", why, f"`convert verify {bundle}` checks it")
