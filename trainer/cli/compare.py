"""``trainer compare``: the paper's systems on labelled fields, by its protocol and by honest ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from edge import RESEARCH_USE_ONLY
from edge.cli.options import json_option
from edge.cli.output import printable, say, write, write_json
from edge.cli.program import only_our_lines
from trainer import backend
from trainer.cli.options import relabel_option

EXAMPLES = """
\b
Examples:
  trainer compare snam.csv --out comparison
  trainer compare fields.csv --classes ALL,MM --classes ALL,normal --weights none --out comparison
  trainer compare snam.csv lymphoma.csv oct.csv --weights vgg16.h5 --out table3
  trainer compare fields.csv --system paper --system forest --by lab --json --out comparison
"""

WRITTEN = """
\b
Written to --out:
  tables.md                 Table 2 of each task by each protocol, Table 3, what they do not show
  table2.csv, table3.csv    the same figures; compare.json: all of them, the settings, the data
  figures.md, figures/      accuracy, confusion matrices, ROC, precision-recall, loss
  parts/                    what each system did; the same command goes on after it stopped
\b
Protocols: as in the paper (augmented, then split at random), by field, by group or
laboratory. Augmenting before the split exists in the first only, to show what it does.
Each manifest is a data set of its own, a line of Table 3. `trainer fit --help`
explains manifests.
"""


@click.command("compare", short_help="Compare the paper's systems.", epilog=f"{WRITTEN}\n{EXAMPLES}")
@click.argument(
    "manifests",
    metavar="MANIFEST...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the comparison."
)
@click.option(
    "--classes",
    multiple=True,
    metavar="A,B",
    help="Classes to tell apart, positive first; repeatable, a task each.  [default: all of a manifest]",
)
@relabel_option
@click.option(
    "--system",
    "systems",
    multiple=True,
    type=click.Choice(["paper", "vgg16", "svm", "bayes", "tree", "forest", "cell-dense"]),
    help="System to compare; repeatable.  [default: the paper's six; cell-dense is the deployed network]",
)
@click.option(
    "--by", default="group", show_default=True, type=click.Choice(["group", "lab"]), help="The third protocol."
)
@click.option("--size", "side_px", default=96, show_default=True, type=click.IntRange(48, 512), help="Side, pixels.")
@click.option(
    "--um-per-px", type=float, help="Bring fields to this scale and take the middle.  [default: resize whole fields]"
)
@click.option(
    "--folds", default=4, show_default=True, type=click.IntRange(2), help="Parts, each tested in turn; 4: 75/25."
)
@click.option("--steps", default=1000, show_default=True, type=click.IntRange(1), help="Optimizer steps of a network.")
@click.option("--batch", default=16, show_default=True, type=click.IntRange(2), help="Pictures a step.")
@click.option("--best", default=100, show_default=True, type=click.IntRange(1), help="Features kept by chi-square.")
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    metavar="imagenet|none|FILE",
    help="Of VGG-16: downloaded by Keras, random, or a file without the top layers.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of everything drawn.")
@click.option("--verbose", is_flag=True, help="Show what TensorFlow says.")
@json_option
def command(
    manifests: tuple[Path, ...],
    out: Path,
    classes: tuple[str, ...],
    relabel: dict[str, str],
    systems: tuple[str, ...],
    by: str,
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare the systems of the paper on the fields of each MANIFEST, beside readers of shortcuts alone."""
    sets = [tuple(name.strip() for name in entry.split(",")) for entry in classes]
    if any(len(names) < 2 or len(set(names)) < len(names) or not all(names) for names in sets):
        raise click.BadParameter("give two classes or more, as in ALL,MM", param_hint="--classes")
    backend.require()
    # What TensorFlow's threads still say when the block below is over.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with only_our_lines(verbose) as terminal:
        from trainer.paper.compare import compare
        from trainer.paper.lineup import SIX
        from trainer.paper.settings import Settings
        from trainer.progress import shown

        settings = Settings(systems=systems or SIX, protocols=("paper", "field", by), **options)
        with shown(terminal) as progress:
            found = compare(
                manifests,
                out,
                settings,
                classes=sets,
                relabel=relabel,
                progress=progress,
            )
    if as_json:
        for row in found.rows:
            write_json(row)
    else:
        write((out / "tables.md").read_text(encoding="utf-8"))
    for data in found.data:
        for line in data.unreadable:
            say(f"left out: {line}")
    if "vgg16" in settings.systems and settings.weights == "none":
        say("VGG-16 was NOT transferred: --weights none leaves its convolutions random")
    say(printable(f"{out}: {len(found.rows)} lines of Table 2, {len(found.tasks)} tasks. {RESEARCH_USE_ONLY}"))
