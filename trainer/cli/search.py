"""``trainer search``: look for settings on held-out groups and foreign stains."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from edge.cli.options import json_option
from edge.cli.output import say, write, write_json
from edge.cli.program import only_our_lines
from trainer import backend
from trainer.cli.options import devices_option, network_option, precision_option, relabel_option, stop_on_option

EXAMPLES = """
\b
Examples:
  trainer search fields.csv --hold-out slide-19 --trials 20 --out searches/first
  trainer fit fields.csv --hold-out slide-19 --settings searches/first/best.json --out runs/best
"""


@click.command("search", short_help="Search for settings, on held-out groups only.", epilog=EXAMPLES)
@click.argument("manifests", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the search.")
@click.option(
    "--trials", default=20, show_default=True, type=click.IntRange(1), help="In all, earlier, failed ones too."
)
@network_option
@relabel_option
@click.option("--hold-out", multiple=True, metavar="GROUP|LAB", help="The test part, not looked at; repeatable.")
@stop_on_option
@click.option("--folds", default=3, show_default=True, type=click.IntRange(2), help="Folds of each trial.")
@click.option("--steps", default=400, show_default=True, type=click.IntRange(1), help="Optimizer steps of a network.")
@click.option("--batch", default=64, show_default=True, type=click.IntRange(2), help="Tiles a step.")
@click.option("--tile", "tile_px", default=64, show_default=True, type=click.IntRange(16, 256), help="Side, pixels.")
@click.option("--um-per-px", default=0.5, show_default=True, type=float, help="Scale of the model.")
@click.option("--simulate", default=0, show_default=True, type=click.IntRange(0), help="As of `trainer fit`.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of search and networks.")
@precision_option
@devices_option
@click.option("--verbose", is_flag=True, help="Show what TensorFlow says.")
@json_option
def command(
    manifests: tuple[Path, ...], out: Path, relabel: dict[str, str], verbose: bool, as_json: bool, **options: Any
) -> None:
    """Search learning rate, label smoothing and augmentation on MANIFESTS.

    Each trial is a cross-validation by group; what counts is how likely held-out fields are, half of them in stains of
    other laboratories. A trial whose training fails is told and counts; the search goes on. A search that was stopped
    goes on when the same command is given again.
    """
    outside = {name: options.pop(name) for name in ("hold_out", "folds", "trials")}
    backend.require()
    # What TensorFlow's threads still say when the block below is over.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with only_our_lines(verbose) as terminal:
        from trainer.progress import shown
        from trainer.search import BEST, search
        from trainer.settings import Settings

        settings = Settings(**options)
        with shown(terminal) as progress:
            found = search(
                manifests,
                out,
                settings,
                relabel=relabel,
                progress=progress,
                **outside,
            )
    if as_json:
        told = {"loss": found.loss, "trials": found.trials, "failed": found.failed}
        write_json(told | {"settings": msgspec.to_builtins(found.settings)})
        return
    for line in found.failed:
        say(line)
    write(f"Best of {found.trials} trials: loss {found.loss:.4f}")
    write((out / BEST).read_text(encoding="utf-8"))
    say(f"`trainer fit --settings {out / BEST}` trains with them; give --steps and --batch as well")
