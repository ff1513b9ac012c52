"""``wbc-edge capture``: frames from a camera."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from edge.cli import options
from edge.cli.session import observe

if TYPE_CHECKING:
    from edge.cli.signals import Interruptions
    from edge.model import Execution

EXAMPLES = """
\b
Examples:
  wbc-edge capture --classify --camera sim --count 3
  wbc-edge capture --classify --camera v4l2:/dev/video0 --um-per-px 0.1 --sample S-17
  wbc-edge capture --camera picamera2:0 --um-per-px 0.1 --interval 60 --save frames
  wbc-edge capture --classify --camera 'file:fields/*.png' --um-per-px 0.1 --json

Ctrl-C ends the session with the sample's verdict so far (exit code 130; 143 after
SIGTERM; 141 when the reader of a pipe went away). All that was shown is logged.
"""


@click.command("capture", short_help="Capture frames from a camera, judge and log them.", epilog=EXAMPLES)
@click.option("--classify", is_flag=True, help="Judge each frame; without it only its quality is measured.")
@options.option(
    "--camera",
    metavar="SPEC",
    help="sim[:KIND], picamera2:0, v4l2:/dev/video0 or file:PATH-OR-GLOB.  [default: the one attached]",
)
@click.option("--count", type=options.COUNT, metavar="N", help="Number of frames.  [default: until Ctrl-C]")
@options.option(
    "--interval",
    type=options.Number(min=0, max=86400),
    default=0.0,
    metavar="S",
    help="Seconds from one frame to the next.",
)
@options.option("--size", type=options.size, metavar="WxH", default="2560x1920", help="Size of the frames.")
@click.option("--allow-other-size", is_flag=True, help="Take the size that the camera chose instead.")
@options.option(
    "--timeout",
    type=options.Number(min=0, max=3600, min_open=True),
    default=10.0,
    metavar="S",
    help="Seconds that a camera may take to open, and for each frame.",
)
@options.calibration_option
@options.session_options
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    classify: bool,
    camera: str | None,
    interval: float,
    size: tuple[int, int],
    allow_other_size: bool,
    timeout: float,
    calibration: str | None,
    um_per_px: float | None,
    model: str | None,
    execution: Execution,
    **session: Any,
) -> None:
    """Capture frames, measure their quality, and log them; with --classify, judge them."""
    if session["save"] == "overlays" and not classify:
        raise click.UsageError("--save overlays shows what was judged: add --classify, or save frames.")
    specification = options.named_or_attached(camera)
    from edge.camera.guard import GuardedCamera

    options.check_um_per_px(um_per_px)
    options.set_threads(execution.threads)
    settings = options.camera_settings(specification, size, timeout, um_per_px, calibration)
    settings = replace(settings, allow_other_size=allow_other_size)
    interruptions: Interruptions = context.obj
    exit_code = observe(
        lambda: GuardedCamera(specification, settings),
        interruptions,
        model=options.load_model(options.find_model(model), execution) if classify else None,
        interval_s=interval,
        **session,
    )
    context.exit(exit_code)
