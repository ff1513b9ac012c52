"""``wbc-edge config``: what this device is set to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from edge import durable
from edge.cli import options
from edge.cli.output import printable, say, write, write_json
from edge.errors import ConfigurationError, OutputError, WbcError

_FILE = click.Path(path_type=Path, dir_okay=False)
_LOCK_TIMEOUT_S = 20.0


@click.group("config")
def command() -> None:
    """Show, check and change the settings of this device."""


@command.command(
    "show",
    epilog="""
\b
Examples:
  wbc-edge config show
  wbc-edge config show --json | jq .um_per_px.value
""",
)
@options.json_option
def show(as_json: bool) -> None:
    """Show every setting that is in force and where it comes from; options of a command still go over it."""
    from edge import config
    from edge.settings import NAMES, Config

    path = config.location()
    found = {name: (getattr(Config(), name), "default") for name in NAMES}
    found |= {name: (value, str(path)) for name, value in config.read(path).items()}
    found |= {name: (value, "environment") for name, value in config.of_environment(os.environ).items()}
    if as_json:
        write_json({name: {"value": value, "from": source} for name, (value, source) in found.items()})
        return
    for name, (value, source) in found.items():
        shown = ", ".join(value) if isinstance(value, tuple) else str(value)
        write(printable(f"{name:<17}  {'–' if value in (None, '', ()) else shown:<24}  {source}"))


@command.command(
    "check",
    epilog="""
\b
Examples:
  wbc-edge config check
  wbc-edge config check new.toml && sudo cp new.toml /etc/wbc-edge/config.toml

The service must be able to work by it: cameras of files, which have an end, are for
`wbc-edge capture --camera` alone. What is right here may still be missing when it starts.
""",
)
@click.argument("file", type=_FILE, required=False)
def check(file: Path | None) -> None:
    """Check a configuration file; the one in force when none is named.

    Checked is what would be in force: what the environment sets goes over the file.
    """
    from edge import config

    path = file or config.location()
    try:
        if file is not None:
            file.stat()
    except OSError as error:
        raise ConfigurationError(f"configuration {file}", error.strerror or str(error), "Name another") from error
    settings = config.read(path)
    _check(settings)
    if file is None and not path.exists():
        write(printable(f"{path}: not there, every setting has its default"))
        return
    write(printable(f"{path}: {', '.join(settings) or 'nothing'} set, all within bounds"))


@command.command(
    "set",
    epilog="""
\b
Examples:
  wbc-edge config set um_per_px=0.1 camera=v4l2:/dev/video0
  wbc-edge config set camera=            (back to the default)

The file as it was is kept beside it as config.toml.before, and the change is logged.
Where there is no /etc/wbc-edge/config.toml and you may not make it, it is the one in
~/.config/wbc-edge.
""",
)
@click.argument("settings", metavar="NAME=VALUE...", nargs=-1, required=True)
@options.journal_option
def set_values(settings: tuple[str, ...], journal: str | None) -> None:
    """Change settings in the configuration file; nothing is changed unless all of it is right."""
    pairs = [setting.partition("=") for setting in settings]
    for name, equals, _ in pairs:
        if not equals:
            raise ConfigurationError(name, "has no value", "Give NAME=VALUE")
    change({name: value for name, _, value in pairs}, journal)


def change(settings: Mapping[str, str], journal: str | None) -> None:
    """Change settings in the configuration file, and log that.

    Parameters
    ----------
    settings : mapping of str to str
        New values by name; empty text removes one.
    journal : str or None
        The journal's file; None is the usual place.
    """
    from edge import config

    path = _to_change()
    said = f"{path}: {', '.join(f'{name}={value}' for name, value in settings.items())}"
    with _alone(path), options.open_journal(journal) as log:
        before = _content(path)
        after = config.changed(before or config.example(), path, settings)
        _check(config.parse(after, path))
        # First the trail, then the change: one that cannot be logged is not made.
        log.event("configuration", said)
        try:
            _replace(path, before, after)
        except OutputError as error:
            log.event("configuration", f"not done: {said}: {error}")
            raise
    say(said)


@command.command(
    "example",
    epilog="""
\b
Example:
  wbc-edge config example > config.toml
""",
)
def example() -> None:
    """Write a configuration file in which every setting is explained."""
    from edge import config

    write(config.example().rstrip())


def _check(of_file: Mapping[str, Any]) -> None:
    """Refuse what a file sets if the service, in this environment, could not work by it."""
    from edge import config
    from edge.daemon import workable

    workable.check(config.over(of_file, os.environ), options.model_folder())


def _to_change() -> Path:
    """Name the file that is changed: the one in force, or the user's own where there is none yet but root's to make."""
    from edge import config

    path = config.location()
    if path != config.SYSTEM_FILE or path.exists():
        return path
    folder = next(folder for folder in path.parents if folder.exists())
    may_make = folder.is_dir() and os.access(folder, os.W_OK)
    return path if may_make else config.own_file(os.environ) or path


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let no other command change the file inside the block, or one of the two changes would be lost."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with durable.locked(path.parent, _LOCK_TIMEOUT_S):
            yield
    except WbcError:
        raise
    except TimeoutError as error:
        raise OutputError(f"configuration {path}", "is being changed by another", "Try again") from error
    except OSError as error:
        raise _not_written(path, error) from error


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not UTF-8"
        raise ConfigurationError(f"configuration {path}", why, "Give this user the right to read it") from error


def _replace(path: Path, before: str | None, after: str) -> None:
    try:
        if before is not None:
            durable.write(path.with_name(f"{path.name}.before"), before.encode())
        durable.write(path, after.encode())
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> OutputError:
    remedy = "Call it with sudo, or set WBC_EDGE_CONFIG to a file of your own"
    return OutputError(f"configuration {path}", error.strerror or str(error), remedy)
