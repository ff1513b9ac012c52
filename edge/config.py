"""The device's configuration: where settings come from, and the TOML file that a person writes them in.

A setting has one name in all places: ``um_per_px`` in the file, ``WBC_EDGE_UM_PER_PX`` in the environment and
``--um-per-px`` on the command line. The environment goes over the file, and the command line over both. What settings
there are is in :mod:`edge.settings`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge.errors import ConfigurationError
from edge.settings import NAMES, Config

SYSTEM_FILE = Path("/etc/wbc-edge/config.toml")
PREFIX = "WBC_EDGE_"


def location(environment: Mapping[str, str] | None = None) -> Path:
    """Say where the configuration is.

    Parameters
    ----------
    environment : mapping of str to str, optional
        The process's, unless another is given.

    Returns
    -------
    Path
        ``$WBC_EDGE_CONFIG``; or else the user's own, ``wbc-edge/config.toml`` in ``$XDG_CONFIG_HOME`` or ``~/.config``,
        where there is one; or else ``/etc/wbc-edge/config.toml``. Need not exist.
    """
    environment = os.environ if environment is None else environment
    if named := environment.get(f"{PREFIX}CONFIG"):
        return Path(named)
    own = own_file(environment)
    # Path.is_file raises where the home folder is somebody else's, as `runuser` leaves it.
    return own if own is not None and os.path.isfile(own) else SYSTEM_FILE  # noqa: PTH113


def own_file(environment: Mapping[str, str]) -> Path | None:
    """Say where the user's own configuration would be; None for one without a home."""
    folder, home = environment.get("XDG_CONFIG_HOME", ""), environment.get("HOME", "")
    if not (home or folder):
        return None
    return (Path(folder) if folder.startswith("/") else Path(home, ".config")) / "wbc-edge/config.toml"


def read(path: Path) -> dict[str, Any]:
    """Read what a configuration file sets.

    Parameters
    ----------
    path : Path
        The file; one that is absent sets nothing.

    Returns
    -------
    dict
        Settings by name, checked; those that the file leaves out are not in it.

    Raises
    ------
    ConfigurationError
        When the file cannot be read, is no TOML, or sets what is unknown or out of bounds.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not UTF-8"
        raise ConfigurationError(f"configuration {path}", why, "Give this user the right to read it") from error
    return parse(content, path)


def parse(content: str, path: Path) -> dict[str, Any]:
    """Read what the text of a configuration file sets; see :func:`read`.

    Parameters
    ----------
    content : str
        TOML.
    path : Path
        Where it is from, for the message.

    Returns
    -------
    dict
        Settings by name, checked.

    Raises
    ------
    ConfigurationError
        When it is no TOML, or sets what is unknown or out of bounds.
    """
    remedy = "`wbc-edge config example` explains every setting"
    try:
        found: dict[str, Any] = msgspec.toml.decode(content)
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigurationError(f"configuration {path}", f"is no TOML: {error}", remedy) from error
    try:
        checked = msgspec.convert(found, Config)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"configuration {path}", _plain(error), remedy) from error
    return {name: getattr(checked, name) for name in NAMES if name in found}


def effective(environment: Mapping[str, str], command_line: Mapping[str, Any]) -> Config:
    """Give the settings in force: the file's, over them the environment's, and over both the command line's.

    Parameters
    ----------
    environment : mapping of str to str
        The process's.
    command_line : mapping of str to object
        From :func:`of_command_line`.

    Returns
    -------
    Config
        The settings.

    Raises
    ------
    ConfigurationError
        When the file or the environment is wrong.
    """
    return Config(**{**read(location(environment)), **of_environment(environment), **command_line})


def over(of_file: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """Give all settings, were a file to set these: its own, and over them the environment's.

    Parameters
    ----------
    of_file : mapping of str to object
        What the file sets, checked.
    environment : mapping of str to str
        The process's.

    Returns
    -------
    Config
        The settings.

    Raises
    ------
    ConfigurationError
        When the environment's are wrong.
    """
    return Config(**{**of_file, **of_environment(environment)})


def summary(settings: Config) -> str:
    """Say in a line what is set otherwise than by default, the same line for the same settings."""
    defaults = Config()
    changed = {name: getattr(settings, name) for name in NAMES if getattr(settings, name) != getattr(defaults, name)}
    return ", ".join(f"{name}={value}" for name, value in changed.items()) or "all by default"


def of_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Read what the environment sets, such as ``WBC_EDGE_UM_PER_PX=0.1``.

    Parameters
    ----------
    environment : mapping of str to str
        The process's.

    Returns
    -------
    dict
        Settings by name, checked.

    Raises
    ------
    ConfigurationError
        When a value is out of bounds; variables that are no setting are somebody else's.
    """
    found = {}
    for name in NAMES:
        variable = PREFIX + name.upper()
        if text := environment.get(variable):
            found[name] = _checked(name, text, variable, "Correct it, or unset it")
    return found


def of_command_line(options: Mapping[str, str | None]) -> dict[str, Any]:
    """Read what options set, such as ``--um-per-px 0.1``.

    Parameters
    ----------
    options : mapping of str to str or None
        Texts by the names of the settings; None: the option was not given.

    Returns
    -------
    dict
        Settings by name, checked.

    Raises
    ------
    ConfigurationError
        When a value is out of bounds.
    """
    return {
        name: _checked(name, text, f"--{name.replace('_', '-')}", "`wbc-edge config example` explains every setting")
        for name, text in options.items()
        if text is not None
    }


def explained() -> dict[str, dict[str, Any]]:
    """Give what JSON Schema says of each setting: its ``description``, and bounds, ``enum`` or ``examples``."""
    schema = msgspec.json.schema(Config)["$defs"]["Config"]["properties"]
    # A setting that may be left out is described at the first of its types.
    return {name: schema[name] if "description" in schema[name] else schema[name]["anyOf"][0] for name in NAMES}


def bounds(meant: Mapping[str, Any]) -> str:
    """Say between what a setting must lie, by what :func:`explained` gives of it; empty where that is no number."""
    if "maximum" not in meant:
        return ""
    least = (
        f"over {meant['exclusiveMinimum']:g}, at most" if "exclusiveMinimum" in meant else f"{meant['minimum']:g} to"
    )
    return f"{least} {meant['maximum']:.12g}"


def example() -> str:
    """Write a configuration file in which every setting is explained and, commented out, has its default."""
    lines = [
        "# Configuration of wbc-edge: for research use only, not a diagnosis.",
        "# A line that begins with # is the default. WBC_EDGE_... in the environment and options go over this file.",
    ]
    defaults = Config()
    for name, meant in explained().items():
        value = getattr(defaults, name)
        shown = _toml(meant["examples"][0] if value is None else value)
        within = bounds(meant)
        default = f"#{name} = {shown}" + (f"  # {within}" if within else "")
        lines += ["", *(f"# {line}" for line in meant["description"].splitlines()), default]
    return "\n".join(lines) + "\n"


def changed(content: str, path: Path, settings: Mapping[str, str]) -> str:
    """Change settings in the text of a configuration file; comments and all else stay as they are.

    Parameters
    ----------
    content : str
        TOML.
    path : Path
        Where it is from, for the message.
    settings : mapping of str to str
        New values as a person writes them; empty text removes the setting.

    Returns
    -------
    str
        TOML, checked.

    Raises
    ------
    ConfigurationError
        When a setting is unknown or its value out of bounds, or the file was wrong before.
    """
    import tomlkit

    parse(content, path)
    document = tomlkit.parse(content)
    for name, value in settings.items():
        if name not in NAMES:
            raise ConfigurationError(name, "no such setting", f"There are {', '.join(NAMES)}")
        document.pop(name, None)
        if value:
            checked = _checked(name, value, name, "`wbc-edge config example` explains every setting")
            # TOML has lists, and no tuples.
            document[name] = msgspec.to_builtins(checked)
    text = tomlkit.dumps(document)
    parse(text, path)
    return text


def _checked(name: str, text: str, called: str, remedy: str) -> Any:
    # A list can only be held as text outside of the file.
    written = [part.strip() for part in text.split(",")] if isinstance(getattr(Config(), name), tuple) else text
    try:
        return getattr(msgspec.convert({name: written}, Config, strict=False), name)
    except msgspec.ValidationError as error:
        raise ConfigurationError(called, _plain(error), remedy) from error


def _toml(value: str | float | tuple[str, ...]) -> str:
    # A JSON text, number and truth value each is one in TOML too.
    return msgspec.json.encode(value).decode()


def _plain(error: msgspec.ValidationError) -> str:
    """Say what msgspec says in the words of the file: ``$.um_per_px`` is a path only a programmer knows."""
    said = str(error).replace("Object contains unknown field", "unknown setting")
    return said.replace("`$.", "`").replace(" - at ", ": ")
