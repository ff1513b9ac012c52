"""``wbc-edge model``: which models there are, what they say of themselves, whether they are whole and work here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edge.cli import options
from edge.cli.model_change import activate, install, remove, rollback, tune
from edge.cli.output import left, say_error, write, write_json, write_text
from edge.errors import BundleError, WbcError

if TYPE_CHECKING:
    from edge.model import Bundle, Execution


@click.group("model")
def command() -> None:
    """Show, verify and change models.

    Models are files NAME.wbc: the one that ships, and those in wbc-edge/models in the user's data folder or in
    $WBC_EDGE_MODELS. One is in force: it judges wherever no other is named.
    """


for _change in (install, activate, rollback, remove, tune):
    command.add_command(_change)


@command.command(
    "list",
    epilog="""
\b
Example:
  wbc-edge model list
""",
)
@options.json_option
@click.pass_context
def list_models(context: click.Context, as_json: bool) -> None:
    """List the models there are."""
    from edge.model import bundle, shelf
    from edge.model.store import Store

    exit_code, in_force = 0, None
    try:
        in_force = shelf.find(Store(options.model_folder()).in_force, options.model_folder())
    except WbcError as error:
        # That the one in force is gone is a reason to show the others.
        exit_code = error.exit_code
        say_error(error)
    if not as_json:
        write(f"{left('name', 28)}  {left('version', 16)}  {left('classes', 24)}  um/px  {left('types', 14)}  file")
    for path in shelf.available(options.model_folder()):
        try:
            found = bundle.read(path)
            signed = _signed(found)
        except BundleError as error:
            exit_code = exit_code or error.exit_code
            say_error(error)
            continue
        told = found.description
        if as_json:
            described = {"model": found.identity, "version": told.version, "classes": told.classes}
            types = {"types": list(found.networks), "signed": signed, "key": _key(found)}
            used = {"in_force": path == in_force, "file": str(path)}
            write_json({**described, "um_per_px": told.um_per_px, **types, **used})
        else:
            names = f"{left(found.identity, 28)}  {left(told.version, 16)}  {left(', '.join(told.classes), 24)}"
            write_text(f"{names}  {told.um_per_px:>5g}  {left(', '.join(found.networks), 14)}  {path}")
            write(f"  {'in force; ' if path == in_force else ''}{signed}")
    context.exit(exit_code)


@command.command(
    "show",
    epilog="""
\b
Examples:
  wbc-edge model show
  wbc-edge model show ./new.wbc --json
""",
)
@click.argument("model", required=False, shell_complete=options.models_begun)
@options.json_option
def show(model: str | None, as_json: bool) -> None:
    """Show a model's card; with --json, its whole description."""
    import msgspec

    from edge.model import bundle

    found = bundle.read(options.find_model(model))
    if as_json:
        signature = {"signed": _signed(found), "key": _key(found)}
        described = msgspec.to_builtins(found.description)
        write_json({"model": found.identity, "file": str(found.path), **signature, **described})
        return
    told = found.description
    write_text(f"{found.identity}, version {told.version} of {told.created}: {', '.join(told.classes)}")
    write_text(f"{told.um_per_px:g} um per pixel, tiles of {told.tiling.tile_px} px; licence: {told.training.licence}")
    write_text(f"types: {', '.join(found.networks)}; {_signed(found)}")
    for name, value in told.metrics.items():
        write_text(f"  {name}: {value:g}")
    write_text(f"\n{found.card.rstrip()}")


@command.command(
    "verify",
    epilog="""
\b
Examples:
  wbc-edge model verify
  wbc-edge model verify new.wbc --runtime tflite-runtime
""",
)
@click.argument("models", metavar="[MODEL]...", nargs=-1, shell_complete=options.models_begun)
@options.execution_options
@options.json_option
@click.pass_context
def verify(context: click.Context, models: tuple[str, ...], execution: Execution, as_json: bool) -> None:
    """Check every byte of models and run their self-test on this device; without names, all there are."""
    from edge.model import open_model, selftest, shelf, trial

    exit_code = 0
    for name in models or [str(path) for path in shelf.available(options.model_folder())]:
        try:
            path = options.find_model(name)
            # Whatever ran it before: the runtime may be another since.
            trial.run(path, execution=execution, trusted_keys=options.trusted_keys())
            model = open_model(path, execution=execution, trusted_keys=options.trusted_keys())
            difference = selftest.check(model.bundle, model.runtime, model.kind)
            signed = _signed(model.bundle)
        except WbcError as error:
            exit_code = exit_code or error.exit_code
            say_error(error)
            if as_json:
                write_json({"file": name, "error": str(error), "exit_code": error.exit_code})
            continue
        identity, ran_on = model.bundle.identity, model.runtime.name
        if as_json:
            found = {"model": identity, "file": name, "signed": signed, "key": _key(model.bundle)}
            write_json({**found, "runtime": ran_on, "type": model.kind, "largest_difference": difference})
        else:
            exactly = "exactly" if difference == 0 else f"to {difference:.3g}"
            write_text(f"{identity}: whole; decides {exactly} as where it was made, {model.kind} on {ran_on}; {signed}")
    context.exit(exit_code)


def _signed(found: Bundle) -> str:
    """Check a bundle's signature, whoever made it, and say whose it is."""
    from edge.model import signature

    if found.signature is not None:
        signature.verify(found.signature, found.sums, str(found.path))
    return signature.described(found.signature, options.trusted_keys())


def _key(found: Bundle) -> str | None:
    from edge.model import signature

    return signature.fingerprint(found.signature.key) if found.signature else None
