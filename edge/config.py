"""The device's configuration: one TOML file whose every value is typed, bounded and explained.

A setting has one name in all places: ``um_per_px`` in the file, ``WBC_EDGE_UM_PER_PX`` in the environment and
``--um-per-px`` on the command line. The environment goes over the file, and the command line over both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.errors import ConfigurationError

SYSTEM_FILE = Path("/etc/wbc-edge/config.toml")
PREFIX = "WBC_EDGE_"

PublicKey = Annotated[str, Meta(pattern=r"^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}( [^\n,]*)?\Z")]
"""An Ed25519 public key as OpenSSH writes it; what follows the key is whose it is."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device is set to; each value's meaning is the description of its type.

    Empty text and absent values leave the choice to wbc-edge.
    """

    camera: Annotated[
        str,
        Meta(
            description="Camera: sim[:KIND], picamera2:0, v4l2:/dev/video0 or file:PATH-OR-GLOB.\n"
            "Empty: the one that is attached. none: the service has only its folder."
        ),
    ] = ""
    um_per_px: (
        Annotated[
            float,
            Meta(
                ge=0.01,
                le=2.0,
                examples=[0.1],
                description="Size of a pixel in micrometres, 0.01 to 2:\n"
                "pixel pitch of the sensor over total magnification.",
            ),
        ]
        | None
    ) = None
    size: Annotated[
        str, Meta(pattern=r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$", description="Width and height of the frames, pixels.")
    ] = "2560x1920"
    timeout: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds that a camera may take to open, and for each frame.")
    ] = 10.0
    calibration: Annotated[
        str, Meta(description="File of `wbc-edge calibrate`. Empty: calibration.json beside the journal.")
    ] = ""
    interval: Annotated[
        float,
        Meta(
            ge=0,
            le=86400,
            description="Seconds from one frame to the next.\nFor the service 0 means: only when one is asked for.",
        ),
    ] = 0.0
    watch_folder: Annotated[
        str,
        Meta(description="Folder into which another program drops images, each judged by the service.\nEmpty: none."),
    ] = ""
    button_gpio: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=27,
                examples=[17],
                description="GPIO (BCM number, 0 to 27) of a button or foot switch to ground that asks the service\n"
                "for a frame; needs gpiozero. Left out: there is none.",
            ),
        ]
        | None
    ) = None
    button_active: Annotated[
        Literal["low", "high"],
        Meta(description="Level of the button's GPIO while it is pressed; low: it connects to ground."),
    ] = "low"
    button_bounce: Annotated[
        float, Meta(ge=0, le=5, description="Seconds after a press within which the button's contacts may bounce.")
    ] = 0.05
    button_hold: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="Seconds after which a button that is held finishes the sample instead. 0: it never does.",
        ),
    ] = 0.0
    model: Annotated[
        str,
        Meta(
            description="Name or file of the model. Empty: the one that `wbc-edge model activate` put in\n"
            "force, or else the one that ships."
        ),
    ] = ""
    trusted_keys: Annotated[
        tuple[PublicKey, ...],
        Meta(
            description="Public keys, 'ssh-ed25519 AAAA... NAME', that models must be signed by.\n"
            "None: models are used unsigned. In the environment they are separated by commas."
        ),
    ] = ()
    runtime: Annotated[
        Literal["", "litert", "tflite-runtime"],
        Meta(description="Inference runtime: litert or tflite-runtime. Empty: the first that is installed."),
    ] = ""
    threads: Annotated[
        int, Meta(ge=1, le=64, description="Threads of runtime and OpenCV, 1 to 64; one is fastest for small networks.")
    ] = 1
    batch: Annotated[
        int,
        Meta(
            ge=1, le=64, description="Tiles that the processor judges at once, 1 to 64; `wbc-edge model tune` measures."
        ),
    ] = 4
    accelerator: Annotated[
        Literal["auto", "cpu", "gpu"],
        Meta(
            description="What the model runs on: auto (the faster one that answers correctly), cpu,\n"
            "or gpu (wherever that answers correctly, be it slower)."
        ),
    ] = "auto"
    journal: Annotated[str, Meta(description="The journal's file. Empty: in the user's state folder.")] = ""
    save: Annotated[
        Literal["none", "frames", "overlays"],
        Meta(description="Pictures to keep beside the journal: none, frames or overlays."),
    ] = "none"
    keep_picture_days: Annotated[
        float, Meta(ge=0, le=36500, description="Days after which the service throws pictures away. 0: never.")
    ] = 0.0
    keep_picture_mb: Annotated[
        float, Meta(ge=0, le=1e8, description="Megabytes that pictures may take; over it the oldest go. 0: no limit.")
    ] = 0.0
    prune_first: Annotated[
        Literal["unreviewed", "reviewed"],
        Meta(description="Pictures that go first: those of frames that nobody reviewed, or the others."),
    ] = "unreviewed"
    keep_frame_days: Annotated[
        float,
        Meta(
            ge=0, le=36500, description="Days after which the service throws frames away, pictures and all. 0: never."
        ),
    ] = 0.0
    keep_free_mb: Annotated[
        float,
        Meta(
            ge=0,
            le=1e8,
            description="Megabytes that must stay free on the journal's disk: pictures go for it,\n"
            "and when that is not enough no more are kept.",
        ),
    ] = 500.0
    least_free_mb: Annotated[
        float,
        Meta(
            ge=0,
            le=1e8,
            description="Megabytes free on the journal's disk under which no frame is captured any more;\n"
            "what the service does is still logged.",
        ),
    ] = 50.0
    check_days: Annotated[
        float,
        Meta(
            ge=0, le=3650, description="Days after which the service reads the whole journal and checks it. 0: never."
        ),
    ] = 7.0


NAMES = Config.__struct_fields__
"""Names of the settings, in the order of the file."""


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
    return own if own is not None and own.is_file() else SYSTEM_FILE


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


def effective(environment: Mapping[str, str]) -> Config:
    """Give the settings in force: the file's, and over them the environment's.

    Parameters
    ----------
    environment : mapping of str to str
        The process's.

    Returns
    -------
    Config
        The settings.

    Raises
    ------
    ConfigurationError
        When either is wrong, or both together are.
    """
    settings = Config(**{**read(location(environment)), **of_environment(environment)})
    if settings.watch_folder and settings.um_per_px is None:
        why = "has images of any pixel size, and um_per_px is not set"
        raise ConfigurationError(f"watch_folder {settings.watch_folder}", why, "`wbc-edge config set um_per_px=0.1`")
    return settings


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


def example() -> str:
    """Write a configuration file in which every setting is explained and, commented out, has its default."""
    lines = [
        "# Configuration of wbc-edge: for research use only, not a diagnosis.",
        "# A line that begins with # is the default. WBC_EDGE_... in the environment and options go over this file.",
    ]
    schema = msgspec.json.schema(Config)["$defs"]["Config"]["properties"]
    defaults = Config()
    for name in NAMES:
        # A setting that may be left out is described at the first of its types.
        meant = schema[name] if "description" in schema[name] else schema[name]["anyOf"][0]
        value = getattr(defaults, name)
        shown = _toml(meant["examples"][0] if value is None else value)
        lines += ["", *(f"# {line}" for line in meant["description"].splitlines()), f"#{name} = {shown}"]
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
