"""``convert quantize``: turn a trained network into what a device runs."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge import RESEARCH_USE_ONLY
from edge.cli.options import json_option
from edge.cli.output import say, write, write_json
from edge.cli.program import only_our_lines

EXAMPLES = """
\b
Examples:
  convert quantize runs/marrow --out marrow.wbc
  convert quantize runs/marrow --out marrow.wbc --min-agreement 0.99 --json
"""


@click.command("quantize", short_help="Quantize a network to int8 and pack it.", epilog=EXAMPLES)
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The NAME.wbc to write.")
@click.option("--min-agreement", default=0.98, show_default=True, type=click.FloatRange(0, 1), help="With float.")
@click.option("--max-accuracy-drop", default=0.01, show_default=True, type=click.FloatRange(0, 1), help="Of float's.")
@click.option("--verbose", is_flag=True, help="Show what TensorFlow says.")
@json_option
def command(run: Path, out: Path, min_agreement: float, max_accuracy_drop: float, verbose: bool, as_json: bool) -> None:
    """Quantize the network of RUN to int8 and pack it as a bundle; refuse what lost its judgement."""
    if out.suffix != ".wbc":
        raise click.BadParameter(f"{out} does not end in .wbc", param_hint="--out")
    # What TensorFlow's threads still say when the block below is over.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with only_our_lines(verbose) as terminal:
        from convert.quantize import quantize

        bundle, parity = quantize(
            run,
            out,
            min_agreement=min_agreement,
            max_accuracy_drop=max_accuracy_drop,
            progress=lambda step: print(step, file=terminal, flush=True),
        )
    size_bytes = out.stat().st_size
    if as_json:
        told = {"bundle": str(out), "model": bundle.identity, "bytes": size_bytes, "tiles": parity.tiles}
        drop = parity.accuracy_float - parity.accuracy_quantized
        write_json({**told, "agreement": parity.agreement, "accuracy_drop": drop})
        return
    write(f"{out}: {bundle.identity}, {size_bytes} bytes")
    write(f"same decision as float on {100 * parity.agreement:.2f}% of {parity.tiles} tiles")
    say(RESEARCH_USE_ONLY)
