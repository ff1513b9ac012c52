"""``wbc-edge model install``, ``activate``, ``rollback``, ``remove``: models are changed, and it is logged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.cli import options
from edge.cli.output import printable, say, write, write_json
from edge.errors import BundleNotFound, ModelInUse, ServiceUnavailable, WbcError

if TYPE_CHECKING:
    from edge.journal import Journal
    from edge.model import Execution
    from edge.model.store import Store


@click.command(
    "install",
    epilog="""
\b
Examples:
  sudo wbc-edge model install mine.wbc
  sudo wbc-edge model install mine.wbc --activate
""",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--activate", "and_activate", is_flag=True, help="Put it in force too.")
@options.execution_options
@options.journal_option
def install(file: Path, and_activate: bool, execution: Execution, journal: str | None) -> None:
    """Copy a model into this device's folder, once it is whole, trusted, and has passed its self-test here."""
    from edge.model import Model
    from edge.model.store import Store

    store = Store(options.model_folder())
    with options.open_journal(journal) as log:

        def prove(path: Path) -> Model:
            model = options.load_model(path, execution)
            # First the trail, then the change: one that cannot be logged is not made.
            log.event("model", f"install {model.bundle.identity} from {file}")
            return model

        path = store.install(file, prove)
        write(printable(f"{path.stem}: passed its self-test here, installed as {path}"))
        if and_activate:
            _activate(store, path.stem, execution, log)
    if not and_activate:
        say(f"Put it in force with: wbc-edge model activate {path.stem}")


@click.command(
    "activate",
    epilog="""
\b
Examples:
  sudo wbc-edge model activate mine
  sudo wbc-edge model activate mine@0123456789ab
  sudo wbc-edge model activate marrow            (the one that ships)

A running service takes it between two frames. The model before is what `wbc-edge model
rollback` goes back to, and what the service goes back to by itself if the new one fails.
""",
)
@click.argument("model", shell_complete=options.models_begun)
@options.execution_options
@options.journal_option
def activate(model: str, execution: Execution, journal: str | None) -> None:
    """Put an installed model in force, once it has passed its self-test here."""
    from edge.model.store import Store

    with options.open_journal(journal) as log:
        _activate(Store(options.model_folder()), model, execution, log)


@click.command(
    "rollback",
    epilog="""
\b
Example:
  sudo wbc-edge model rollback
""",
)
@options.execution_options
@options.journal_option
def rollback(execution: Execution, journal: str | None) -> None:
    """Put the model in force that was so before."""
    from edge.model import shelf
    from edge.model.store import Store

    store = Store(options.model_folder())
    left, *others = store.candidates()
    with options.open_journal(journal) as log:
        if others:
            identity = _proven(shelf.find(others[0], store.folder), execution)
            with _logged(log, f"roll back from {left} to {others[0]}"):
                store.roll_back()
            _tell(others[0], identity)
        else:
            store.roll_back()


@click.command(
    "remove",
    epilog="""
\b
Example:
  sudo wbc-edge model remove mine@0123456789ab
""",
)
@click.argument("model", shell_complete=options.models_begun)
@options.journal_option
def remove(model: str, journal: str | None) -> None:
    """Delete an installed model; not the one in force, and not the one that ships."""
    from edge.model import shelf
    from edge.model.store import Store

    store = Store(options.model_folder())
    path = shelf.find(model, store.folder)
    named = options.configuration().get("model")
    if named and options.find_model(named) == path:
        raise ModelInUse(f"model {path.stem}", "the configuration names it", "`wbc-edge config set model=`")
    with options.open_journal(journal) as log, _logged(log, f"remove {path.stem}"):
        store.remove(model)
    write(printable(f"{path} is gone"))


@click.command(
    "tune",
    epilog="""
\b
Examples:
  wbc-edge model tune
  sudo wbc-edge model tune --save      (as threads and batch of the configuration)
""",
)
@click.option("--save", is_flag=True, help="Set threads and batch in the configuration to what is fastest.")
@options.model_option
@options.execution_options
@options.journal_option
@options.json_option
def tune(save: bool, model: str | None, execution: Execution, journal: str | None, as_json: bool) -> None:
    """Measure on this device which accelerator, how many threads and how many tiles at once are fastest."""
    from edge import bench
    from edge import tune as measured
    from edge.cli import config

    if execution.findings is not None:
        # What was found of the GPU before is found out again: for all, or for who may not remove it for this once.
        try:
            execution.findings.unlink(missing_ok=True)
        except OSError:
            execution = replace(execution, findings=None)
    path = options.find_model(model)
    loaded = options.load_model(path, execution)
    say(f"The model runs on the {loaded.runtime.choice}")
    timings = []
    for timing in measured.measure(path, execution, bench.simulated_frame()):
        timings.append(timing)
        if as_json:
            write_json(timing)
        else:
            write(f"threads {timing.threads:>2}, batch {timing.batch:>2}: {timing.frame_ms:8.2f} ms a frame")
    best = measured.best(timings)
    say(f"Fastest but for noise: threads={best.threads}, batch={best.batch}")
    if save:
        config.change({"threads": str(best.threads), "batch": str(best.batch)}, journal)


def _activate(store: Store, model: str, execution: Execution, log: Journal) -> None:
    from edge.model import shelf

    path = shelf.find(model, store.folder)
    if path.parent not in (store.folder, shelf.BUNDLED):
        raise BundleNotFound(f"model {path}", "is not installed", f"`wbc-edge model install {path}`")
    identity = _proven(path, execution)
    with _logged(log, f"activate {identity}, before {store.in_force}"):
        store.activate(path.stem)
    _tell(path.stem, identity)


def _proven(path: Path, execution: Execution) -> str:
    """Load a model that is to be in force, and give its identity."""
    from edge.vision import scale

    found = options.load_model(path, execution).bundle
    if um_per_px := options.configuration().get("um_per_px"):
        # Or the service would fail on every frame.
        scale.check_fits(um_per_px, found.description.um_per_px)
    return found.identity


def _tell(name: str, identity: str) -> None:
    """Say what is in force, and let a running service take it."""
    write(printable(f"{name} is in force"))
    if named := options.configuration().get("model"):
        say(f"The configuration sets model={named}, which goes over it: `wbc-edge config set model=`")
    _tell_service(identity)


@contextmanager
def _logged(log: Journal, detail: str) -> Iterator[None]:
    log.event("model", detail)
    try:
        yield
    except WbcError as error:
        log.event("model", f"not done: {detail}: {error}")
        raise


def _tell_service(identity: str) -> None:
    """Let a running service take the model that is in force.

    Raises
    ------
    ServiceUnavailable
        When it did not.
    """
    from edge.daemon.control import ask, location

    try:
        reply = ask(location(), {"ask": "model"})
    except ServiceUnavailable as error:
        if isinstance(error.__cause__, (FileNotFoundError, ConnectionRefusedError)):
            return
        raise
    if reply["model"] != identity:
        why = reply["why"] or "its configuration names that one"
        raise ServiceUnavailable("the service", f"uses {reply['model'] or 'no model'}: {why}", "See `wbc-edge status`")
    say(f"The service uses {identity} now, on {reply['accelerator']}")
