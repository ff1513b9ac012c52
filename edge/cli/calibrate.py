"""``wbc-edge calibrate``: light, sensor settings and scale of this microscope."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge.cli import options
from edge.cli.output import printable, say, write, write_json
from edge.errors import CalibrationRefused

if TYPE_CHECKING:
    from edge.calibration import Calibration, Light
    from edge.camera import CameraSettings
    from edge.frame import Frame, Pixels, SensorReport
    from edge.vision.micrometer import MeasuredScale

    Glance = tuple[tuple[int, int], SensorReport]
    """Width and height of a frame, pixels, and what the sensor said of it."""

Command = TypeVar("Command", bound=Callable[..., Any])

_ANY_UM_PER_PX = 0.1
"""What the frames are for does not depend on it: either light is measured, or the scale itself."""

_SAME_LEVEL = 0.05


@click.group("calibrate")
def command() -> None:
    """Measure light and scale of this microscope, lock the camera's settings, and keep both for every later frame.

    First `light`, on clear glass; then `micrometer`, or `red-cells` where there is no stage micrometer. A service that
    runs holds the camera: stop it before, and start it again.
    """


def _camera_options(frames: int) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in (
            options.json_option,
            options.journal_option,
            options.calibration_option,
            options.option("--timeout", type=options.Number(min=0, max=3600, min_open=True), default=10.0, metavar="S"),
            options.option("--size", type=options.size, metavar="WxH", default="2560x1920", help="Size of the frames."),
            options.option("--camera", metavar="SPEC", help="Which camera.  [default: the one attached]"),
            click.option("--objective", metavar="NAME", help="What you call the objective, such as 100x/1.25 oil."),
            click.option(
                "--frames", type=click.IntRange(1, 200), default=frames, show_default=True, help="How many frames."
            ),
        ):
            command = option(command)
        return command

    return decorate


@command.command(
    "light",
    epilog="""
\b
Examples:
  wbc-edge calibrate light --objective '100x/1.25 oil'
  wbc-edge calibrate light --camera v4l2:/dev/video0 --frames 16

Focus on the smear, move to clear glass beside it, then call this. Exposure, gain and
white balance stay as the camera has them now, for every later frame.
""",
)
@_camera_options(frames=8)
def light(*, frames: int, as_json: bool, **given: Any) -> None:
    """Measure the light on clear glass, and lock exposure, gain and white balance."""
    import msgspec

    from edge import calibration
    from edge.vision import illumination

    specification, asked = _asked(given)
    seen: list[Glance] = []
    empty = illumination.average(_pixels(specification, asked, frames, seen))
    size_px, sensor = seen[-1]
    if problems := illumination.problems(empty):
        raise CalibrationRefused("this field will not do", "; ".join(problems))
    measured = calibration.light(illumination.white_field(empty), sensor)
    before = _earlier(given, specification, size_px)
    found = msgspec.structs.replace(before, light=measured)
    if missing := _unlocked(measured):
        say(f"The camera does not tell its {' and '.join(missing)}, which cannot be locked")
    _keep(given, found)
    (again,) = _frames(specification, replace(asked, locked=found.locked), 1)
    level = illumination.white_field(illumination.average([again.pixels])).level
    if any(abs(now - then) > _SAME_LEVEL * then for now, then in zip(level, measured.level, strict=True)):
        say("With its settings locked the camera shows another brightness or colour: calibrate the light once more")
    for departure in calibration.departures(found, again):
        say(f"The camera is not as calibrated: {departure}")
    _show(found, as_json)


@command.command(
    "micrometer",
    epilog="""
\b
Examples:
  wbc-edge calibrate micrometer
  wbc-edge calibrate micrometer --pitch-um 100 --objective 10x/0.25
""",
)
@click.option(
    "--pitch-um",
    type=options.Number(min=0.1, max=1000),
    default=10.0,
    show_default=True,
    metavar="UM",
    help="Distance of neighbouring lines, micrometres.",
)
@_camera_options(frames=3)
def micrometer(*, pitch_um: float, frames: int, as_json: bool, **given: Any) -> None:
    """Measure the size of a pixel on a stage micrometer, its lines at any angle."""
    from edge.vision import illumination
    from edge.vision.micrometer import measure

    specification, asked = _asked(given)
    seen: list[Glance] = []
    mean = illumination.average(_pixels(specification, asked, frames, seen))
    measured = measure(mean.round().astype("uint8"), pitch_um)
    if measured is None:
        why = "no five lines in even distances are seen"
        raise CalibrationRefused("the scale", why, "Focus on the lines, and let them fill the field")
    _keep_scale(given, specification, seen[-1][0], measured, "micrometer", as_json)


@command.command(
    "red-cells",
    epilog="""
\b
Examples:
  wbc-edge calibrate red-cells --frames 20     (move the slide meanwhile)

Their mean diameter differs by 7% between healthy people, and by more in disease: use it
to find a wrong objective, and a stage micrometer where there is one.
""",
)
@_camera_options(frames=10)
def red_cells(*, frames: int, as_json: bool, **given: Any) -> None:
    """Measure the size of a pixel by red cells that lie alone, 7.2 um wide."""
    from edge.vision.red_cells import LEAST_CELLS, measure

    specification, asked = _asked(given)
    seen: list[Glance] = []
    measured = measure(_pixels(specification, asked, frames, seen))
    if measured is None:
        why = f"fewer than {LEAST_CELLS} red cells lie alone"
        raise CalibrationRefused("the scale", why, "Move to where the film is thin, and take more --frames")
    size_px, _ = seen[-1]
    known = _earlier(given, specification, size_px).scale
    if known is not None and known.method == "micrometer":
        # Which is the better ruler by far: cells only tell whether it is still the same objective.
        if not measured.low <= known.um_per_px <= measured.high:
            why = (
                f"red cells say {measured.um_per_px:.4g} um per pixel, the stage micrometer said {known.um_per_px:.4g}"
            )
            raise CalibrationRefused("the scale", why, "If the objective is another one, name it: --objective")
        say(f"Red cells agree with the stage micrometer ({measured.um_per_px:.4g} um per pixel), whose scale is kept")
        return
    _keep_scale(given, specification, size_px, measured, "red cells", as_json)


@command.command(
    "show",
    epilog="""
\b
Example:
  wbc-edge calibrate show --json | jq .scale
""",
)
@options.calibration_option
@options.json_option
def show(calibration: str | None, as_json: bool) -> None:
    """Show what the camera was calibrated to."""
    from edge.calibration import read

    path = options.calibration_file(calibration)
    found = read(path)
    if found is None:
        raise CalibrationRefused(f"calibration {path}", "there is none", "Begin with `wbc-edge calibrate light`")
    _show(found, as_json)


def _asked(given: dict[str, Any]) -> tuple[str, CameraSettings]:
    from edge.camera import CameraSettings

    specification = options.named_or_attached(given["camera"])
    return specification, CameraSettings(_ANY_UM_PER_PX, given["size"], timeout_s=given["timeout"])


def _frames(specification: str, asked: CameraSettings, count: int) -> Iterator[Frame]:
    from edge.camera import EndOfFrames
    from edge.camera.guard import BackOff, GuardedCamera

    with closing(GuardedCamera(specification, asked, BackOff(attempts=0))) as camera:
        for taken in range(count):
            try:
                frame = camera.read()
            except EndOfFrames:
                if not taken:
                    raise CalibrationRefused(specification, "gives no frame", "Name another camera") from None
                return  # a picture in a file will do as well
            yield frame


def _pixels(specification: str, asked: CameraSettings, count: int, seen: list[Glance]) -> Iterator[Pixels]:
    """Yield what the camera sees, and note what is kept of it; of two hundred frames no device holds all."""
    for frame in _frames(specification, asked, count):
        height, width = frame.pixels.shape[:2]
        if seen and seen[-1][0] != (width, height):
            sizes = "{}x{} and then {}x{}".format(*seen[-1][0], width, height)
            raise CalibrationRefused(specification, f"its frames have {sizes} pixels", "Name pictures of one size")
        seen.append(((width, height), frame.sensor))
        yield frame.pixels


def _earlier(given: dict[str, Any], specification: str, size_px: tuple[int, int]) -> Calibration:
    """Give the calibration that is there, if it is of the same camera, size and objective; or an empty one."""
    import msgspec

    from edge.calibration import Calibration, read
    from edge.camera import device
    from edge.journal.audit import who

    found = read(options.calibration_file(given["calibration"]))
    fresh = Calibration(camera=device(specification), size_px=size_px, objective=given["objective"] or "", who=who())
    if found is None or (found.camera, found.size_px) != (fresh.camera, fresh.size_px):
        return fresh
    if given["objective"] not in (None, found.objective):
        return fresh
    return msgspec.structs.replace(found, who=fresh.who)


def _keep_scale(
    given: dict[str, Any],
    specification: str,
    size_px: tuple[int, int],
    measured: MeasuredScale,
    method: Any,
    as_json: bool,
) -> None:
    import msgspec

    from edge import calibration
    from edge.vision import scale

    scale.check(measured.um_per_px)
    before = _earlier(given, specification, size_px)
    found = msgspec.structs.replace(before, scale=calibration.scale(measured, method))
    _keep(given, found)
    _show(found, as_json)


def _keep(given: dict[str, Any], found: Calibration) -> None:
    from edge.calibration import write as write_calibration

    with options.open_journal(given["journal"]) as log:
        # First the trail, then the change: one that cannot be logged is not made.
        log.event("calibration", found.summary())
        write_calibration(options.calibration_file(given["calibration"]), found)


def _show(found: Calibration, as_json: bool) -> None:
    import msgspec

    if as_json:
        write_json(msgspec.to_builtins(found))
        return
    width, height = found.size_px
    write(printable(f"camera     {found.camera}, {width}x{height}, {found.objective or 'no objective named'}"))
    if (lit := found.light) is not None:
        most = max(max(channels) for row in lit.gains for channels in row)
        write(printable(f"light      {lit.made}: level {max(lit.level):.0f} of 255, darkest part {1 / most:.0%} of it"))
        exposure, gain = _said(lit.exposure_us), _said(lit.analogue_gain)
        write(f"locked     exposure {exposure} us, gain {gain}, white balance {_balance(lit)}")
    if (size := found.scale) is not None:
        write(
            printable(f"scale      {size.made}: {size.um_per_px:.5g} um per pixel ({size.low:.5g} to {size.high:.5g})")
        )
        write(f"           by {size.marks} {'lines of a ' if size.method == 'micrometer' else ''}{size.method}")


def _unlocked(lit: Light) -> list[str]:
    known = {
        "exposure_us": lit.exposure_us,
        "analogue_gain": lit.analogue_gain,
        "white_balance": lit.white_balance or lit.colour_temperature_k,
    }
    return [name for name, value in known.items() if value is None]


def _balance(lit: Light) -> str:
    if lit.white_balance is not None:
        return "{:g} red, {:g} blue".format(*lit.white_balance)
    return "–" if lit.colour_temperature_k is None else f"{lit.colour_temperature_k:g} K"


def _said(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
