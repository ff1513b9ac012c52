"""``wbc-edge classify``: frames from files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from edge.cli import options
from edge.cli.session import observe

if TYPE_CHECKING:
    from pathlib import Path

    from edge.model import Execution

EXAMPLES = """
\b
Examples:
  wbc-edge classify field.png --um-per-px 0.1
  wbc-edge classify slides/S-17 --um-per-px 0.1 --sample S-17 --save overlays
  wbc-edge classify 'fields/*.bmp' recording.mp4 --um-per-px 0.1 --json

A file is judged once, however often it is named; each page of a TIFF is a
frame, and each picture of a video.

A file that cannot be read is reported and the others go on; the exit code is
then that of the first one.
"""

_TIMEOUT_S = 60.0
"""For one image: the largest PNG from a slow card takes a Raspberry Pi some seconds."""


@click.command("classify", short_help="Judge and log images, folders, videos.", epilog=EXAMPLES)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@options.session_options
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    paths: tuple[str, ...],
    um_per_px: float | None,
    model: str | None,
    execution: Execution,
    **session: Any,
) -> None:
    """Judge image files, folders of them, patterns and videos, and log them; all are of one sample."""
    from edge.camera import CameraSettings
    from edge.camera.file import VIDEO_SUFFIXES, FileCamera, find_files
    from edge.camera.guard import GuardedCamera
    from edge.errors import NoImages

    options.check_um_per_px(um_per_px)
    options.set_threads(execution.threads)
    found: dict[str, Path] = {}
    missing = []
    for path in paths:
        try:
            for file in find_files(path):
                # Whatever it is called by: a cell that is seen twice would count twice.
                found.setdefault(os.path.realpath(file), file)
        except NoImages as error:
            missing.append(error)
    if not found:
        raise missing[0]
    files = list(found.values())
    settings = CameraSettings(um_per_px, timeout_s=_TIMEOUT_S)
    some_are_videos = any(file.suffix.lower() in VIDEO_SUFFIXES for file in files)
    exit_code = observe(
        lambda: GuardedCamera(", ".join(paths), settings, opener=lambda name, asked: FileCamera(files, asked, name)),
        context.obj,
        model=options.load_model(options.find_model(model), execution),
        expected=None if some_are_videos else len(files),
        missing=missing,
        **session,
    )
    context.exit(exit_code)
