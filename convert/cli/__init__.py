"""Command line that turns trained networks into what a device runs; each command is a module of its own."""

from __future__ import annotations

import click

from edge import RESEARCH_USE_ONLY, __version__
from edge.cli.program import Commands

EXAMPLES = """
\b
Examples:
  convert quantize runs/marrow --out marrow.wbc
  convert quantize runs/marrow --out marrow.wbc --type int8 --type float16 --min-agreement 0.99
  convert verify marrow.wbc --data held-out.csv
  convert inspect marrow.wbc --profile
  convert export marrow.wbc --format tflite --out marrow.tflite
"""


@click.command(
    "convert",
    cls=Commands,
    package="convert.cli",
    names=("quantize", "verify", "inspect", "benchmark", "compare", "export", "keygen"),
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "CONVERT"},
    epilog=f"{EXAMPLES}\n{RESEARCH_USE_ONLY}",
)
@click.version_option(__version__, prog_name="convert")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
def main(debug: bool) -> None:
    """Turn trained networks into bundles that wbc-edge runs."""
    # Program.invoke reads the option, since it is about what commands raise.
    del debug
