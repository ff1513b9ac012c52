"""``convert quantize``: turn a trained network into what a device runs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from convert.cli.budget import budget_options
from edge import RESEARCH_USE_ONLY
from edge.cli.options import Number, json_option
from edge.cli.output import say, write, write_json
from edge.cli.program import only_our_lines
from edge.errors import ConfigurationError, OutputError

if TYPE_CHECKING:
    from convert.report import Parity
    from convert.subject import Foreign, Subject

EXAMPLES = """
\b
Examples:
  convert quantize runs/marrow --out marrow.wbc
  convert quantize runs/marrow --out marrow.wbc --type int8 --type float16 --sign maker.key
  convert quantize runs/marrow --out marrow.wbc --min-agreement 0.99 --no-mend --json
  convert quantize other.keras --out other.wbc --classes ALL,MM,normal --um-per-px 0.5 \\
    --rgb --mean 127.5 --scale 127.5 --calibration training.csv --data held-out.csv

The report of what the conversion did to the network goes beside the bundle, as
marrow.parity.html. A network that loses more than is allowed is mended, if it can be:
better ranges, worst layers in float32, fine-tuning; or refused, and no bundle is written.
"""

_KINDS = ("int8", "float16", "float32", "dynamic")
_OF_ELSEWHERE = ("classes", "um_per_px", "name", "licence", "scale", "mean", "rgb", "strategy")
"""Parameters that a network from elsewhere has, and a run has in itself."""

_MANIFEST = click.Path(path_type=Path, exists=True, dir_okay=False)


def _classes(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:  # noqa: ARG001
    return tuple(name.strip() for name in value.split(",")) if value else ()


def _mean(context: click.Context, option: click.Parameter, value: str) -> tuple[float, ...]:  # noqa: ARG001
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)):
        raise click.BadParameter("give one number, or three separated by commas")
    return numbers


@click.command("quantize", short_help="Convert a network, prove it, and pack it.", epilog=EXAMPLES)
@click.argument("source", metavar="RUN|MODEL", type=click.Path(path_type=Path, exists=True))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The NAME.wbc to write.")
@click.option(
    "--type",
    "kinds",
    multiple=True,
    type=click.Choice(_KINDS),
    help="Type of network; repeatable, the device takes what it runs best.  [default: int8]",
)
@click.option(
    "--calibration", type=_MANIFEST, help="Manifest that int8 is calibrated by.  [default: the run's own part]"
)
@click.option("--data", type=_MANIFEST, help="Manifest of held-out fields to compare on.  [default: the run's own]")
@budget_options
@click.option(
    "--mend",
    multiple=True,
    type=click.Choice(["calibration", "mixed", "fine-tuning"]),
    help="What to try when int8 loses too much; repeatable.  [default: all, in this order]",
)
@click.option("--no-mend", is_flag=True, help="Refuse what plain int8 loses.")
@click.option(
    "--sign", type=_MANIFEST, metavar="KEY", help="Private key to sign the bundle with, see `convert keygen`."
)
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the report here, refused or not."
)
@click.option("--classes", callback=_classes, metavar="A,B,...", help="Of a network from elsewhere, by its outputs.")
@click.option("--um-per-px", type=float, help="Of a network from elsewhere: the pixel size of its tiles.")
@click.option("--name", help="Of a network from elsewhere.  [default: its file's name]")
@click.option("--licence", default="not stated", show_default=True, help="Of a network from elsewhere.")
@click.option(
    "--scale",
    default=1.0,
    show_default=True,
    type=Number(min=0, min_open=True),
    help="(byte - mean) / scale.",
)
@click.option(
    "--mean", default="0", show_default=True, callback=_mean, metavar="X[,Y,Z]", help="(byte - mean) / scale."
)
@click.option("--rgb", is_flag=True, help="The network takes RGB.  [default: BGR]")
@click.option(
    "--tiles",
    "strategy",
    type=click.Choice(["nuclei", "grid"]),
    default="nuclei",
    show_default=True,
    help="How a field is cut.",
)
@click.option("--verbose", is_flag=True, help="Show what TensorFlow says.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    source: Path,
    out: Path,
    kinds: tuple[Any, ...],
    calibration: Path | None,
    data: Path | None,
    mend: tuple[str, ...],
    no_mend: bool,
    sign: Path | None,
    report: Path | None,
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Convert the network of a RUN, a .keras file or a SavedModel and pack it; refuse what lost its judgement."""
    if out.suffix != ".wbc":
        raise click.BadParameter(f"{out} does not end in .wbc", param_hint="--out")
    budget = {name: options.pop(name) for name in list(options) if name.startswith(("min_", "max_"))}
    is_run = source.is_dir() and not (source / "saved_model.pb").exists()
    if not is_run:
        _require_what_a_run_would_say(options, calibration, data)
    else:
        _refuse_what_a_run_says(context, source)
    for written in (out, report):
        if written is not None and not written.absolute().parent.is_dir():
            raise OutputError(f"file {written}", "there is no such folder", "Make it, or choose another")
    if (backend := os.environ.get("KERAS_BACKEND", "tensorflow")) != "tensorflow":
        raise ConfigurationError(
            f"KERAS_BACKEND={backend}", "networks are converted under tensorflow only", "Leave KERAS_BACKEND away"
        )
    # What TensorFlow's threads still say when the block below is over.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with only_our_lines(verbose) as terminal:
        from convert import keys, mending
        from convert.parity import Budget
        from convert.quantize import Plan, quantize

        def progress(step: str) -> None:
            print(step, file=terminal, flush=True)

        plan = Plan(
            kinds=tuple(dict.fromkeys(kinds)) or ("int8",),
            budget=Budget(**budget),
            mend=() if no_mend else mend or mending.STEPS,
            sign=keys.signer(sign) if sign else None,
            report=report,
        )
        subject = _subject(source, is_run, options, calibration, data, progress)
        bundle, parity = quantize(subject, out, plan, progress)
    _tell(out, bundle.identity, parity, as_json)


def _refuse_what_a_run_says(context: click.Context, source: Path) -> None:
    for option in context.command.params:
        if option.name in _OF_ELSEWHERE and context.get_parameter_source(option.name) is not ParameterSource.DEFAULT:
            said = f"{source} is taken for a run of the trainer, which says that itself"
            raise click.BadParameter(said, param_hint=option.opts[0])


def _require_what_a_run_would_say(options: dict[str, Any], calibration: Path | None, data: Path | None) -> None:
    given = {
        "--classes": options["classes"],
        "--um-per-px": options["um_per_px"],
        "--calibration": calibration,
        "--data": data,
    }
    if missing := [name for name, value in given.items() if not value]:
        raise click.UsageError(f"A network that is no run of the trainer needs {', '.join(missing)}.")


def _subject(
    source: Path,
    is_run: bool,
    options: dict[str, Any],
    calibration: Path | None,
    data: Path | None,
    progress: Callable[[str], None],
) -> Subject:
    from convert import subject

    if is_run or calibration is None or data is None:
        return subject.of_run(source, calibration, data, progress)
    return subject.of_network(source, _foreign(source, options), calibration, data, progress)


def _foreign(source: Path, options: dict[str, Any]) -> Foreign:
    from convert.network import Preprocessing
    from convert.subject import Foreign

    return Foreign(
        classes=options["classes"],
        um_per_px=options["um_per_px"],
        preprocessing=Preprocessing(options["scale"], options["mean"], options["rgb"]),
        name=options["name"] or source.stem,
        licence=options["licence"],
        strategy=options["strategy"],
    )


def _tell(out: Path, identity: str, parity: Parity, as_json: bool) -> None:
    from convert.report import mended, share, warning

    if warned := warning(parity):
        say(warned)
    size_bytes = out.stat().st_size
    trained = parity.trained.whole
    if as_json:
        told = {"bundle": str(out), "model": identity, "bytes": size_bytes, "tiles": trained.tiles}
        first = parity.types[parity.packed[0]].comparison.whole
        figures = {"agreement": first.agreement, "accuracy_drop": trained.accuracy - first.accuracy}
        types = {kind: parity.types[kind].comparison.whole for kind in parity.packed}
        write_json({**told, **figures, "fields": trained.fields, "types": types, "tried": parity.tried})
        return
    write(f"{out}: {identity}, {size_bytes} bytes")
    for kind in parity.packed:
        whole = parity.types[kind].comparison.whole
        write(
            f"{kind}: same verdict as trained on {100 * whole.agreement:.2f}% of {whole.fields} fields, same class on "
            f"{100 * whole.tile_agreement:.2f}% of {whole.tiles} tiles, {share(whole.novel)} of fields novel"
        )
    if how := mended(parity):
        write(how)
    say(RESEARCH_USE_ONLY)
