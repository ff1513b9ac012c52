"""Command line of the workstation's half; each command is a module of its own."""

from __future__ import annotations

import click

from edge import RESEARCH_USE_ONLY, __version__
from edge.cli.program import Commands
from trainer.allocation import keep_freed_memory

EXAMPLES = """
\b
Examples:
  trainer data folders slides/ --um-per-px 0.1 --out fields.csv
  trainer data check fields.csv
  trainer fit fields.csv --out runs/first
  trainer search fields.csv --hold-out slide-19 --out searches/first
  trainer ablate fields.csv --hold-out slide-19 --out ablations/first
  trainer compare fields.csv --out comparison
  trainer fit fields.csv extra.csv --relabel unlabelled=normal --hold-out slide-19 --out runs/marrow
"""


@click.command(
    "trainer",
    cls=Commands,
    package="trainer.cli",
    names=("data", "fit", "search", "ablate", "compare", "features"),
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "TRAINER"},
    epilog=f"{EXAMPLES}\n{RESEARCH_USE_ONLY}",
)
@click.version_option(__version__, prog_name="trainer")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
def main(debug: bool) -> None:
    """Train the networks that wbc-edge runs."""
    # Program.invoke reads the option, since it is about what commands raise.
    del debug
    keep_freed_memory()
