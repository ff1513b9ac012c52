"""The options that commands share, and what they open."""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge.cli.output import say, unicode
from edge.errors import CalibrationRefused, CameraNotFound, ConfigurationError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from edge.camera import CameraSettings
    from edge.journal import Journal
    from edge.model import Execution, Model
    from edge.model.accelerator import Wanted
    from edge.settings import Config

Command = TypeVar("Command", bound=Callable[..., Any])
_CONFIGURATION = "edge.configuration"

COUNT = click.IntRange(min=1, max=2**63 - 1)
"""From one to the most that Python and SQLite count up to."""


class Number(click.FloatRange):
    """A number within bounds: click itself lets ``nan`` through all of them, and ``inf`` where there is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number to work with.", param, ctx)
        return number


def size(text: str) -> tuple[int, int]:
    """Read width and height from text such as ``2560x1920``."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise click.BadParameter(f"{text!r} is no size such as 2560x1920")
    return int(width), int(height)


def option(*names: str, default: Any = None, **settings: Any) -> Callable[[Command], Command]:
    """Make an option that the environment and the configuration file set too, by the same name for every command."""
    name = names[0].lstrip("-").replace("-", "_")

    def configured() -> Any:
        return configuration().get(name, default) or default

    shown = {} if default is None else {"show_default": str(default)}
    return click.option(
        *names, default=configured, envvar=f"WBC_EDGE_{name.upper()}", show_envvar=True, **{**settings, **shown}
    )


def configuration() -> dict[str, Any]:
    """Give what the configuration file sets; read once a command, and not at all where there is none."""
    known: dict[str, Any] = click.get_current_context().meta
    if _CONFIGURATION not in known:
        from edge import config

        known[_CONFIGURATION] = config.read(config.location())
    settings: dict[str, Any] = known[_CONFIGURATION]
    return settings


def journal_option(command: Command) -> Command:
    """Add ``--journal``."""
    place = "wbc-edge/journal.sqlite3 in the user's state folder"
    return option("--journal", type=click.Path(), metavar="FILE", help=f"Journal.  [default: {place}]")(command)


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON for programs, an object a line.")(command)


def execution_options(command: Command) -> Command:
    """Add ``--runtime``, ``--threads``, ``--batch`` and ``--accelerator``: the command is given an ``execution``."""

    @functools.wraps(command)
    def given(
        *arguments: Any, runtime: str | None, threads: int, batch: int, accelerator: Wanted, **others: Any
    ) -> Any:
        from edge.model import Execution

        execution = Execution(runtime, threads, batch, accelerator, _findings())
        return command(*arguments, execution=execution, **others)

    decorated: Any = given
    for decorate in (
        option(
            "--accelerator",
            type=click.Choice(["auto", "cpu", "gpu"]),
            default="auto",
            help="What the model runs on; auto: the faster one that answers correctly.",
        ),
        option("--batch", type=click.IntRange(1, 64), default=4, help="Tiles that the processor judges at once."),
        option(
            "--threads",
            type=click.IntRange(1, 64),
            default=1,
            help="Threads of the runtime and of OpenCV; one is fastest for small networks.",
        ),
        option("--runtime", metavar="NAME", help="litert or tflite-runtime.  [default: the first installed]"),
    ):
        decorated = decorate(decorated)
    result: Command = decorated
    return result


def models_begun(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete the name of a model, or a file's."""
    from click.shell_completion import CompletionItem

    from edge.model import shelf

    names = [path.stem for path in shelf.available(model_folder()) if path.stem.startswith(begun)]
    return [CompletionItem(begun, type="file"), *map(CompletionItem, names)]


def model_option(command: Command) -> Command:
    """Add ``--model``."""
    return option(
        "--model",
        metavar="BUNDLE",
        shell_complete=models_begun,
        help="Name or file of the model.  [default: the one in force]",
    )(command)


def calibration_option(command: Command) -> Command:
    """Add ``--calibration``."""
    return option(
        "--calibration",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="The camera's calibration.  [default: calibration.json in the user's state folder]",
    )(command)


def calibration_file(path: str | None) -> Path:
    """Name the calibration's file."""
    from edge.journal import calibration_path

    return Path(path) if path else calibration_path()


def camera_settings(
    specification: str, size_px: tuple[int, int], timeout_s: float, um_per_px: float | None, calibration: str | None
) -> CameraSettings:
    """Give what is asked of a camera: locked and corrected as it was calibrated; what does not apply is told.

    Raises
    ------
    CalibrationRefused
        When the calibration is damaged, or one is named that is not there.
    """
    from edge.calibration import read
    from edge.camera import CameraSettings, device

    asked = CameraSettings(um_per_px=um_per_px, size_px=size_px, timeout_s=timeout_s)
    place = calibration_file(calibration)
    found = read(place)
    if found is None and calibration:
        raise CalibrationRefused(
            f"calibration {place}", "there is none", "Check --calibration, or make it: `wbc-edge calibrate light`"
        )
    if found is None:
        return asked
    if found.camera != device(specification):
        say(f"The calibration {place} is of {found.camera}, and not used for {device(specification)}")
        return asked
    if um_per_px is None and found.scale is not None:
        asked = replace(asked, um_per_px=found.scale.um_per_px)
    asked = replace(asked, locked=found.locked)
    if found.size_px != size_px:
        made, wanted = ("{}x{}".format(*size) for size in (found.size_px, size_px))
        say(f"The calibration {place} was made at {made}: at {wanted} its light is not used, its scale may be wrong")
        return asked
    return replace(asked, white=found.white)


def session_options(command: Command) -> Command:
    """Add the options of a session at the microscope, real or of files."""
    for decorate in (
        json_option,
        journal_option,
        option(
            "--save",
            type=click.Choice(["none", "frames", "overlays"]),
            default="none",
            help="Pictures to keep beside the journal: frames as they were captured (PNG), or overlays (JPEG).",
        ),
        execution_options,
        model_option,
        option(
            "--um-per-px",
            type=float,
            metavar="UM",
            help="Size of a pixel in micrometres: pixel pitch of the sensor over total magnification.",
        ),
        click.option("--sample", metavar="ID", help="Sample to begin or to continue.  [default: a new one]"),
    ):
        command = decorate(command)
    return command


def open_journal(path: str | None) -> Journal:
    """Open the journal for writing, at its usual place when no other is named."""
    from edge.journal import Journal, default_path

    return Journal.open(path or default_path())


def open_known_journal(path: str | None) -> Journal:
    """Open a journal that is there for writing: a path that was mistyped must not make one."""
    with open_journal_to_read(path) as journal:
        place = journal.path
    return open_journal(str(place))


def open_journal_to_read(path: str | None) -> Journal:
    """Open the journal for reading, at its usual place when no other is named."""
    from edge.journal import Journal, default_path

    return Journal.open_read_only(path or default_path())


def model_folder() -> Path:
    """Name the folder of the user's models: ``$WBC_EDGE_MODELS``, or ``wbc-edge/models`` in the user's data folder.

    Of a user without a home folder it is beside the journal's usual place.
    """
    if folder := os.environ.get("WBC_EDGE_MODELS"):
        return Path(folder)
    data = os.environ.get("XDG_DATA_HOME", "")
    try:
        return Path(data if data.startswith("/") else "~/.local/share").expanduser() / "wbc-edge" / "models"
    except RuntimeError:
        from edge.journal import default_path

        return default_path().with_name("models")


def trusted_keys() -> tuple[str, ...]:
    """Give the keys that models must be signed by: of the environment, or else of the configuration file."""
    from edge import config

    variable = f"{config.PREFIX}TRUSTED_KEYS"
    of_environment = config.of_environment({variable: os.environ.get(variable, "")})
    keys: tuple[str, ...] = {**configuration(), **of_environment}.get("trusted_keys", ())
    return keys


def find_model(name: str | None) -> Path:
    """Find a model by its name or path; without one, the one in force."""
    from edge.model import shelf
    from edge.model.store import Store

    folder = model_folder()
    return shelf.find(name or Store(folder).in_force, folder)


def load_model(path: Path, execution: Execution, trusted: Sequence[str] | None = None) -> Model:
    """Load and prove a model, which one of the trusted keys (by default the configured ones) must have signed."""
    from edge.model import trial

    keys = trusted_keys() if trusted is None else trusted
    model = trial.open_known(path, model_folder(), execution=execution, trusted_keys=keys)
    choice = model.runtime.choice
    if execution.accelerator == "gpu" and choice.accelerator == "cpu":
        say(f"Not on the GPU that was asked for: {choice.why}")
    return model


def execution_of(settings: Config) -> Execution:
    """Say how the configuration wants networks to be run."""
    from edge.model import Execution

    return Execution(settings.runtime or None, settings.threads, settings.batch, settings.accelerator, _findings())


def _findings() -> Path | None:
    """Name the file in which it is kept what was found of the GPU: beside the journal's usual place."""
    from edge.journal import default_path

    try:
        return default_path().with_name("accelerator.json")
    except ConfigurationError:
        return None


def set_threads(threads: int) -> None:
    """Let OpenCV use as many threads as the runtime, for the whole process."""
    import cv2

    cv2.setNumThreads(threads)


def check_um_per_px(um_per_px: float | None) -> None:
    """Refuse a pixel size that no microscope has, before anything is opened."""
    from edge.vision import scale

    if um_per_px is not None:
        scale.check(um_per_px)


def sample_name(sample: str | None) -> str:
    """Name the sample as asked, or by the moment and four random digits, since a Pi may not know what time it is."""
    if sample is None:
        return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
    if not sample.strip():
        raise ConfigurationError("--sample", "the name is empty", "Leave the option out to begin a new sample")
    return unicode(sample)


def named_or_attached(camera: str | None) -> str:
    """Give the camera that is named, or else the one that is attached.

    A service without a camera is configured by ``none``; at the microscope that is as good as naming none.
    """
    return the_camera() if not camera or camera == "none" else camera


def the_camera(devices: Path = Path("/dev")) -> str:
    """Name the one camera that is attached.

    Parameters
    ----------
    devices : Path
        Folder of the device nodes.

    Raises
    ------
    CameraNotFound
        When there is none, or more than one.
    """
    from edge.camera import attached_cameras

    found = attached_cameras(devices)
    usable = [camera for camera in found if camera.problem is None]
    if len(usable) == 1:
        say(f"Camera {usable[0].specification} ({usable[0].description})")
        return usable[0].specification
    if usable:
        names = ", ".join(camera.specification for camera in usable)
        raise CameraNotFound("No camera was named", f"attached are {names}", "Choose one with --camera")
    why = "; ".join(f"{camera.specification}: {camera.problem}" for camera in found) or "none is attached"
    raise CameraNotFound("No camera", why, "`--camera sim` is the simulated microscope")
