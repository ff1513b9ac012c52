"""``trainer ablate``: what each part of a recipe is worth on groups, laboratories and stains that were not seen."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from edge import RESEARCH_USE_ONLY
from edge.cli.options import json_option
from edge.cli.output import say, write, write_json
from edge.cli.program import only_our_lines
from trainer import backend
from trainer.cli.options import relabel_option

EXAMPLES = """
\b
Examples:
  trainer ablate fields.csv --hold-out slide-19 --out ablations/first
  trainer ablate fields.csv --variant no-restaining --variant stopped-early --stop-on slide-07 --out ablations/few
"""


@click.command("ablate", short_help="Train without each part of the recipe, and compare.", epilog=EXAMPLES)
@click.argument("manifests", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the ablation.")
@click.option(
    "--variant", "chosen", multiple=True, metavar="NAME", help="What is measured beside the recipe itself; repeatable."
)
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file of settings, the recipe; options that are given go before it.",
)
@relabel_option
@click.option("--hold-out", multiple=True, metavar="GROUP|LAB", help="The test part, not looked at; repeatable.")
@click.option("--stop-on", multiple=True, metavar="GROUP|LAB", help="What `stopped-early` watches; repeatable.")
@click.option("--folds", default=3, show_default=True, type=click.IntRange(2), help="Folds of each variant.")
@click.option("--steps", default=500, show_default=True, type=click.IntRange(1), help="Optimizer steps of a network.")
@click.option("--batch", default=96, show_default=True, type=click.IntRange(2), help="Tiles a step.")
@click.option("--simulate", default=0, show_default=True, type=click.IntRange(0), help="As of `trainer fit`.")
@click.option(
    "--seed",
    "seeds",
    multiple=True,
    type=click.IntRange(0),
    help="The first is that of all variants; with the others the recipe is trained again, to show what is noise.  "
    "[default: the recipe's own, and the next]",
)
@click.option("--verbose", is_flag=True, help="Show what TensorFlow says.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    manifests: tuple[Path, ...],
    out: Path,
    chosen: tuple[str, ...],
    settings_file: Path | None,
    relabel: dict[str, str],
    seeds: tuple[int, ...],
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Cross-validate variants of a recipe on MANIFESTS, each with one thing changed, by the same folds.

    A laboratory's only group falls into one fold: its network never saw that laboratory. Fields are judged as they are
    and in stains of other laboratories. A variant whose training fails stands in the table with its reason, and the
    others go on. An ablation that was stopped goes on when the same command is given again.
    """
    outside = {name: options.pop(name) for name in ("hold_out", "stop_on", "folds")}
    backend.require()
    # What TensorFlow's threads still say when the block below is over.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with only_our_lines(verbose) as terminal:
        from trainer.ablation.ablate import TABLE, ablate
        from trainer.ablation.measured import Failed
        from trainer.progress import shown
        from trainer.settings import Settings, read

        given = {
            name: value
            for name, value in options.items()
            if context.get_parameter_source(name) != ParameterSource.DEFAULT
        }
        settings = Settings(**options) if settings_file is None else replace(read(settings_file), **given)
        if seeds:
            settings = replace(settings, seed=seeds[0])
        with shown(terminal) as progress:
            found = ablate(
                manifests,
                out,
                settings,
                chosen=chosen,
                seeds=seeds[1:],
                relabel=relabel,
                progress=progress,
                **outside,
            )
    if as_json:
        for each in found:
            if isinstance(each, Failed):
                write_json({"variant": each.variant, "title": each.title, "failed": each.why})
                continue
            told = {"variant": each.variant, "title": each.title, "loss": each.loss}
            write_json({**told, "looks": msgspec.to_builtins(each.looks)})
    else:
        write((out / TABLE).read_text(encoding="utf-8"))
    say(f"{out}: {len(found)} variants. {RESEARCH_USE_ONLY}")
