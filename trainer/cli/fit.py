"""``trainer fit``: train a network on labelled fields."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edge import RESEARCH_USE_ONLY
from edge.cli.options import Number, json_option
from edge.cli.output import say, write, write_json
from edge.cli.program import only_our_lines
from trainer import backend
from trainer.cli.options import devices_option, network_option, precision_option, relabel_option, stop_on_option

EXAMPLES = """
\b
Examples:
  trainer fit fields.csv --out runs/first
  trainer fit fields.csv extra.csv --relabel unlabelled=normal --hold-out slide-19 --out runs/marrow
"""

MANIFEST = """
\b
A manifest is a CSV file in UTF-8 with a row a field and the columns
  path       of the picture, relative to the manifest's folder
  label      class of the field
  group      slide or patient: never split between training and testing
  lab        laboratory, microscope, or both
  um_per_px  size of a pixel, micrometres
  mask       optional; a picture that is not black where cells of the label are
  roi        optional; x,y,width,height in pixels: nothing outside is looked at
  nucleus_mask, cytoplasm_mask, background_mask   optional; pictures as well
`trainer data` makes one from folders, and says what is wrong with one.
"""


@click.command("fit", short_help="Train a network on labelled fields.", epilog=f"{MANIFEST}\n{EXAMPLES}")
@click.argument("manifests", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file of settings, as `trainer search` writes it; options that are given go before it.",
)
@click.option("--name", default="model", show_default=True, help="Name of the model.")
@network_option
@relabel_option
@click.option("--hold-out", multiple=True, metavar="GROUP|LAB", help="Neither train nor calibrate on it; repeatable.")
@click.option("--folds", default=3, show_default=True, type=click.IntRange(2), help="Folds of the cross-validation.")
@click.option(
    "--leave-out-laboratories",
    is_flag=True,
    help="Measure too how each laboratory is judged by a network that never saw it; a training each.",
)
@click.option("--steps", default=1500, show_default=True, type=click.IntRange(1), help="Optimizer steps.")
@click.option("--batch", default=96, show_default=True, type=click.IntRange(2), help="Tiles a step.")
@click.option("--tile", "tile_px", default=64, show_default=True, type=click.IntRange(16, 256), help="Side, pixels.")
@click.option("--um-per-px", default=0.5, show_default=True, type=float, help="Scale of the model.")
@click.option(
    "--learning-rate",
    default=4e-3,
    show_default=True,
    type=Number(0, 1, min_open=True),
    help="Highest rate of the schedule.",
)
@stop_on_option
@click.option(
    "--background-class",
    default="normal",
    show_default=True,
    help="Class of cells outside a field's mask; they are left out when the data have no such class.",
)
@click.option(
    "--simulate",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Fields of each kind to draw and train on besides; for the classes ALL, MM and the background class.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of weights, batches and augmentation."
)
@precision_option
@devices_option
@click.option("--licence", default="not stated", show_default=True, help="What the network may be used for.")
@click.option("--data", multiple=True, metavar="TEXT", help="A data set and its licence, for the card; repeatable.")
@click.option("--verbose", is_flag=True, help="Show what TensorFlow says.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    manifests: tuple[Path, ...],
    out: Path,
    settings_file: Path | None,
    relabel: dict[str, str],
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a network on the labelled fields of MANIFESTS and write a run for `convert quantize`.

    The run holds report.html, one page with all figures, and the same figures in report.json. A training that was
    stopped goes on, at the epoch that it had reached, when the same command is given again. KERAS_BACKEND chooses what
    computes: tensorflow, jax or torch.
    """
    outside = {name: options.pop(name) for name in ("hold_out", "folds", "leave_out_laboratories", "licence", "data")}
    backend.require()
    # What TensorFlow's threads still say when the block below is over.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with only_our_lines(verbose) as terminal:
        import trainer
        from trainer.progress import shown
        from trainer.settings import read

        if settings_file is None:
            settings = trainer.Settings(**options)
        else:
            given = {name for name in options if context.get_parameter_source(name) != ParameterSource.DEFAULT}
            settings = replace(read(settings_file), **{name: options[name] for name in given})
        with shown(terminal) as progress:
            run = trainer.fit(
                manifests,
                out,
                settings,
                relabel=relabel,
                progress=progress,
                **outside,
            )
    if as_json:
        told = {"run": str(out), "name": run.name, "version": run.version, "classes": run.classes}
        write_json({**told, "held_out_groups": run.training.held_out_groups, "metrics": run.metrics})
        return
    write((out / "card.md").read_text(encoding="utf-8"))
    say(f"{out}: {run.name}, {len(run.classes)} classes. {RESEARCH_USE_ONLY}")
