"""``convert export``: a bundle in forms that other programs read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from edge import RESEARCH_USE_ONLY
from edge.cli.options import json_option
from edge.cli.output import say, write, write_json
from edge.cli.program import only_our_lines

EXAMPLES = """
\b
Examples:
  convert export marrow.wbc --format tflite --out marrow.tflite     (MediaPipe, Netron)
  convert export marrow.wbc --format onnx --type float32 --out marrow.onnx
  convert export marrow.wbc --format bioimageio --out marrow.zip

A tflite takes RGB tiles and gives probabilities; an onnx takes BGR tiles and gives logits
and embedding, as the network in the bundle. Scale, white balance and tiling stay yours to do.
"""


@click.command("export", short_help="Write a network for other programs.", epilog=EXAMPLES)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--format", "form", required=True, type=click.Choice(["tflite", "onnx", "bioimageio"]))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["int8", "float16", "float32", "dynamic"]),
    help="Type of network.  [default: int8 for tflite, float32 for the others, or what there is]",
)
@click.option("--verbose", is_flag=True, help="Show what libraries say.")
@json_option
def command(bundle: Path, form: str, out: Path, kind: Any, verbose: bool, as_json: bool) -> None:
    """Write the network of BUNDLE in another form."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with only_our_lines(verbose):
        from convert import export
        from edge.model import bundle as bundles

        found = bundles.read(bundle)
        written = export.export(found, form, out, kind)
    if as_json:
        write_json({"file": str(out), "format": form, "type": written, "bytes": out.stat().st_size})
        return
    write(f"{out}: {form} of the {written} network of {found.identity}, {out.stat().st_size} bytes")
    say(RESEARCH_USE_ONLY)
