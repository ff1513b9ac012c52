"""``trainer data``: make manifests, and see what is wrong with a data set."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.cli.options import json_option
from edge.cli.output import printable, say, write, write_json
from trainer.cli.options import relabel_option

if TYPE_CHECKING:
    from trainer.data.check import Examined
    from trainer.manifest import LabelledField

PAIRS_SHOWN = 10

_folder = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False))
_manifests = click.argument(
    "manifests",
    metavar="MANIFEST...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
_out = click.option(
    "--out",
    metavar="CSV",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Manifest to write, with paths relative to its folder.  [default: standard output, absolute paths]",
)


@click.group("data", short_help="Make manifests and check data sets.")
def command() -> None:
    """Make manifests from folders of pictures, and see what is wrong with a data set.

    A manifest, the one form that everything else reads, is explained by `trainer fit --help`.
    """


@command.command(
    "snam",
    short_help="Make a manifest of SN-AM.",
    epilog="""
\b
Examples:
  trainer data snam SN-AM --out snam.csv
  trainer data snam SN-AM --um-per-px 0.048 --out snam.csv && trainer data check snam.csv
\b
The set (B-ALL and multiple myeloma, one laboratory) is fetched by its user from
The Cancer Imaging Archive, doi:10.7937/tcia.2019.of2w8lxr. Its pixel size is not
published; the default is an estimate, and `trainer data check` says how wide the
nuclei are that follow from it.
\b
Names of pictures      25_ALL_5.bmp, 15_MM.bmp, 5_also_ref_image_MM.bmp, ref_ALL.bmp
Names of their masks   25_ALL_5_nucleus_mask.bmp, _background_, _cytoplasm_ or _cyto_
                       beside them or in other folders
The group is the leading number within its class: 25 of ALL is not 25 of MM. Cells
whose centre is outside the nucleus mask are not taken for cells of the class.
Borders are left out by a region of interest.
""",
)
@_folder
@click.option("--um-per-px", type=float, help="Size of a pixel, micrometres.  [default: 0.05]")
@_out
def snam(folder: Path, um_per_px: float | None, out: Path | None) -> None:
    """Read the layout of SN-AM below DIR."""
    from trainer.data import snam as layout

    if um_per_px is None:
        um_per_px = layout.UM_PER_PX
        say(f"Pixel size {um_per_px:g} um, an estimate; --um-per-px corrects it")
    fields, left_out = layout.read(folder, um_per_px)
    _finish(fields, left_out, out)


@command.command(
    "folders",
    short_help="Make a manifest of a folder a class.",
    epilog="""
\b
Examples:
  trainer data folders slides/ --um-per-px 0.1 --out fields.csv
  trainer data folders slides/ --um-per-px 0.1 --lab clinic-a --group '^(P\\d+)_' --out fields.csv
\b
The folders in DIR are the classes. Without --group the folder below the class is
the group, as in slides/ALL/patient-7/3.png. With it, the regular expression is
searched in the path below the class, and its first parenthesis, or else all that
matches, is the group. The same group in two classes is one group. --group '.+'
makes each picture a group of its own: honest only when no two are of one slide.
\b
Pictures in folders called masks, and those named ..._mask, are left out; a mask
masks/17.png is taken for images/17.jpg. Borders are left out by a region of interest.
""",
)
@_folder
@click.option("--um-per-px", type=float, required=True, help="Size of a pixel, micrometres.")
@click.option("--lab", metavar="NAME", help="Laboratory or microscope.  [default: the name of DIR]")
@click.option("--group", metavar="REGEX", help="What in a picture's path is its slide or patient.")
@_out
def folders(folder: Path, um_per_px: float, lab: str | None, group: str | None, out: Path | None) -> None:
    """Read a folder a class in DIR."""
    from trainer.data import folders as layout

    try:
        pattern = re.compile(group) if group is not None else None
    except re.error as error:
        raise click.BadParameter(f"{group!r} is no regular expression: {error}", param_hint="--group") from error
    fields, left_out = layout.read(folder, um_per_px, lab or folder.resolve().name, pattern)
    _finish(fields, left_out, out)


@command.command(
    "borders",
    short_help="Leave the borders of pictures out.",
    epilog="""
\b
Example:
  trainer data borders fields.csv --out inside.csv
""",
)
@_manifests
@_out
def borders(manifests: tuple[Path, ...], out: Path | None) -> None:
    """Give pictures with bars of one colour around the field a region of interest without them."""
    from trainer import manifest

    fields = manifest.read(manifests)
    manifest.require_files(fields)
    _finish(fields, [], out)


@command.command(
    "check",
    short_help="Say what is wrong with a data set.",
    epilog="""
\b
Examples:
  trainer data check fields.csv
  trainer data check fields.csv extra.csv --relabel unlabelled=normal
  trainer data check fields.csv --json | jq '.findings[].said'
\b
Exit code: 60 when something refuses training, 0 when there are warnings at most.
""",
)
@_manifests
@relabel_option
@json_option
def check(manifests: tuple[Path, ...], relabel: dict[str, str], as_json: bool) -> None:
    """Look at every picture and mask of MANIFESTS, taken together as one data set.

    Missing and unreadable files, classes that cannot be learned, pixel sizes that cannot be right, borders, duplicates
    and near-duplicates within and across groups and classes, and what tells the classes apart besides the disease.
    """
    from trainer import manifest
    from trainer.data.check import examine
    from trainer.errors import DataError
    from trainer.progress import shown

    fields = manifest.read(manifests, relabel)
    with shown(sys.stderr) as progress:
        examined = examine(fields, lambda done: progress("looking at fields", done, len(fields)))
    if as_json:
        write_json(_object(examined))
    else:
        _show(examined)
    if examined.refused:
        first = examined.refused[0]
        others = f", and {len(examined.refused) - 1} more" if len(examined.refused) > 1 else ""
        raise DataError("the data set cannot be trained on", f"{first.said}{others}", first.remedy)


def _finish(fields: Sequence[LabelledField], left_out: Sequence[Path], out: Path | None) -> None:
    from trainer import manifest
    from trainer.data import borders
    from trainer.progress import shown

    with shown(sys.stderr) as progress:
        inside = borders.remove(fields, lambda done: progress("looking for borders", done, len(fields)))
    if out is None:
        write(manifest.to_csv(inside).rstrip("\n"))
    else:
        manifest.save(inside, out)
    found = len([1 for before, after in zip(fields, inside, strict=True) if after.roi != before.roi])
    groups, labels = len({field.group for field in inside}), sorted({field.label for field in inside})
    say(f"{len(inside)} fields in {groups} groups; classes {', '.join(labels)}; borders found on {found}")
    if left_out:
        more = ", …" if len(left_out) > 3 else ""
        say(f"Left out {len(left_out)} pictures: {', '.join(map(str, left_out[:3]))}{more}")


def _object(examined: Examined) -> dict[str, Any]:
    """Describe a data set to a program; the keys are part of the command line's contract."""
    return {
        "fields": examined.fields,
        "groups": examined.groups,
        "classes": examined.classes,
        "laboratories": examined.laboratories,
        "gives_away": examined.gives_away,
        "duplicates": [
            {
                "first": str(pair.first.path),
                "second": str(pair.second.path),
                "bits": pair.bits,
                "identical": pair.identical,
                "across_groups": pair.across_groups,
                "across_classes": pair.across_labels,
            }
            for pair in examined.pairs
        ],
        "findings": examined.findings,
        "trainable": not examined.refused,
    }


def _show(examined: Examined) -> None:
    labs = examined.laboratories
    write(f"{examined.fields} fields in {examined.groups} groups, laboratories: {len(labs)}\n")
    rows = [("class", *labs)]
    for label in examined.classes:
        counts = [(lab.fields.get(label, 0), lab.groups.get(label, 0)) for lab in labs.values()]
        rows.append((label, *(f"{fields} in {groups}" if fields else "–" for fields, groups in counts)))
    _table([*rows, ("", *("" for _ in labs))])
    rows = [("laboratory", "um per px", "pictures, px", "nuclei, um")]
    for name, lab in labs.items():
        sizes = [f"{size} ({count})" for size, count in lab.sizes_px.items()]
        shown = ", ".join(sizes[:2]) + (f", {len(sizes) - 2} other sizes" if len(sizes) > 2 else "")
        diameter = "–" if lab.nuclear_diameter_um is None else f"{lab.nuclear_diameter_um:.1f}"
        rows.append((name, ", ".join(f"{scale:g}" for scale in lab.um_per_px), shown, diameter))
    _table(rows)
    write("\nTells of the class (0 no more than chance, 1 all it could):")
    _table([(f"  {name}", f"{value:.2f}") for name, value in examined.gives_away.items()])
    if examined.pairs:
        across = sum(pair.across_groups for pair in examined.pairs)
        write(
            f"\nNear-duplicates: {len(examined.pairs)} pairs, {across} of them across groups (bits of 256 that differ)"
        )
        first = sorted(examined.pairs, key=lambda pair: not pair.across_groups)[:PAIRS_SHOWN]
        _table([(f"  {pair.bits}", str(pair.first.path), str(pair.second.path)) for pair in first])
        if len(examined.pairs) > PAIRS_SHOWN:
            write(f"  and {len(examined.pairs) - PAIRS_SHOWN} more, see --json")
    write("")
    for finding in examined.findings:
        write(printable(f"{'refused' if finding.refuses else 'warning'}: {finding}"))
    if not examined.findings:
        write("Nothing wrong was found.")


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(printable(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        write("  ".join(printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
