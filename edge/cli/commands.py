"""Which commands there are: each is a module of its own, imported when it is called."""

from __future__ import annotations

import click

from edge import RESEARCH_USE_ONLY, __version__
from edge.cli.program import Commands


@click.command(
    "wbc-edge",
    cls=Commands,
    package="edge.cli",
    names=(
        "capture",
        "classify",
        "log",
        "model",
        "bench",
        "doctor",
        "config",
        "run",
        "status",
        "trigger",
        "sample",
        "calibrate",
    ),
    context_settings={"auto_envvar_prefix": "WBC_EDGE", "help_option_names": ["-h", "--help"]},
    epilog=f"""
\b
Try it:  wbc-edge capture --classify --camera sim --count 3
\b
Settings: `wbc-edge config set um_per_px=0.1` sets an option for good, and
WBC_EDGE_UM_PER_PX=0.1 in the environment goes over it. NO_COLOR=1 turns colours off.
\b
Completion:  eval "$(_WBC_EDGE_COMPLETE=bash_source wbc-edge)"   (zsh_source, fish_source)

{RESEARCH_USE_ONLY}
""",
)
@click.version_option(__version__, prog_name="wbc-edge")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
def command_line(debug: bool) -> None:
    """From a microscope camera's frame to a logged verdict, beside the microscope."""
    # Program.invoke reads the option, since it is about what other commands raise.
    del debug
