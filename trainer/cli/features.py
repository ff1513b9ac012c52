"""``trainer features``: what the paper's classical systems read of fields, and which of it tells the classes apart."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from edge.cli.options import json_option
from edge.cli.output import say, write, write_json
from trainer.cli.options import relabel_option

SHOWN = 10


@click.command(
    "features",
    short_help="Colour histogram and Fourier features, ranked by chi-square.",
    epilog="""
\b
Examples:
  trainer features fields.csv
  trainer features fields.csv --best 20 --out features.csv
\b
A row a field in --out: path, label, group, lab, and the features, best first, as shares
of levels (blue_64: levels 64 to 71) and logarithms of magnitudes (dft_0_1: no period
down, one across). Select on training fields only: a table ranked on all fields leaks
into any test made from it.
""",
)
@click.argument(
    "manifests",
    metavar="MANIFEST...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@relabel_option
@click.option("--best", type=click.IntRange(1), help="Features kept.  [default: all]")
@click.option("--size", "side_px", default=96, show_default=True, type=click.IntRange(48, 512), help="Side, pixels.")
@click.option(
    "--um-per-px", type=float, help="Bring fields to this scale and take the middle.  [default: resize whole fields]"
)
@click.option("--out", metavar="CSV", type=click.Path(path_type=Path, dir_okay=False), help="File for the features.")
@json_option
def command(
    manifests: tuple[Path, ...],
    best: int | None,
    side_px: int,
    um_per_px: float | None,
    relabel: dict[str, str],
    out: Path | None,
    as_json: bool,
) -> None:
    """Describe the fields of MANIFESTS and rank the features by the chi-square statistic."""
    import numpy as np
    from sklearn.preprocessing import MinMaxScaler

    from edge.errors import OutputError
    from trainer import manifest
    from trainer.paper import features, fields, selection

    sources = manifest.read(manifests, relabel)
    pictures = fields.read(sources, manifest.classes(sources), side_px, um_per_px)
    for line in pictures.unreadable:
        say(f"left out: {line}")
    described = np.stack([features.describe(pixels) for pixels in pictures.pixels])
    scores = selection.chi_square(MinMaxScaler().fit_transform(described), pictures.labels)
    names = features.names()
    ranked = np.argsort(-scores, kind="stable")[:best].tolist()
    if out is not None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["path", "label", "group", "lab", *(names[index] for index in ranked)])
        for source, row in zip(pictures.sources, described[:, ranked].tolist(), strict=True):
            writer.writerow([source.path, source.label, source.group, source.lab, *row])
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text.getvalue(), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{out}", error.strerror or str(error), "Choose another --out") from error
    if as_json:
        for index in ranked:
            write_json({"feature": names[index], "chi_square": scores[index]})
    else:
        for index in ranked[:SHOWN]:
            write(f"{names[index]:<12}{scores[index]:10.2f}")
    say(f"{len(pictures.labels)} fields, {len(ranked)} features" + (f" in {out}" if out else ""))
