"""``wbc-edge run``: the service."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import click

from edge.cli import options
from edge.cli.output import printable
from edge.errors import CameraNotFound

if TYPE_CHECKING:
    from edge.camera.guard import GuardedCamera
    from edge.settings import Config

EXAMPLES = """
\b
Examples:
  wbc-edge run                       (usually by systemd: systemctl start wbc-edge)
  wbc-edge run --camera sim:MM --interval 5
  wbc-edge status
  wbc-edge trigger --sample S-17

What no option sets is as `wbc-edge config show` says. SIGTERM ends it after the frame in
hand, SIGHUP makes it read the configuration again; a wrong one is refused, and the one
before stays in force. Options go over each of them.
"""

_PRIORITIES = {"error": 3, "warning": 4, "info": 6}
"""Of syslog(3), as sd-daemon(3) wants them at the beginning of a line."""


class _EverySetting(click.Command):
    """Has an option for every setting; what it is given stays text, which is checked as that of a variable is."""

    @cached_property
    def _settings(self) -> list[click.Parameter]:
        # Only now: the list of all commands, which names this one too, is to be there at once.
        from edge import config

        return [
            click.Option(
                [f"--{name.replace('_', '-')}", name],
                metavar="|".join(filter(None, meant.get("enum", ()))) or "VALUE",
                help=" ".join(filter(None, (meant["description"], f"[{within}]" if within else ""))),
            )
            for name, meant in config.explained().items()
            for within in [config.bounds(meant)]
        ]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Give its options."""
        return [*self._settings, *super().get_params(ctx)]


@click.command("run", cls=_EverySetting, short_help="Run as the service beside the microscope.", epilog=EXAMPLES)
def command(**given: str | None) -> None:
    """Capture, judge and log frames whenever one is asked for, by interval, by request or by a folder."""
    from edge import calibration, config
    from edge.daemon import workable
    from edge.daemon.control import listening, location
    from edge.daemon.health import Bulletin
    from edge.daemon.models import Models
    from edge.daemon.notify import Notifier
    from edge.daemon.parts import Parts
    from edge.daemon.service import Service
    from edge.daemon.uses import Uses
    from edge.model.store import Store

    command_line = config.of_command_line(given)
    models = Models(
        Store(options.model_folder()),
        lambda path, given: options.load_model(path, options.execution_of(given), given.trusted_keys),
        Uses(location().with_suffix(".in-use")),
    )
    bulletin = Bulletin()
    parts = Parts(
        settings=lambda: config.effective(os.environ, command_line),
        check=lambda given: workable.check(given, options.model_folder()),
        camera=_open_camera,
        models=models,
        journal=lambda given: options.open_journal(given.journal or None),
        calibration=lambda given: calibration.read(options.calibration_file(given.calibration or None)),
        sample=lambda: options.sample_name(None),
    )
    service = Service(parts, bulletin, Notifier(), _say)
    for number, act in ((signal.SIGTERM, service.stop), (signal.SIGINT, service.stop), (signal.SIGHUP, service.reload)):
        signal.signal(number, lambda *_, act=act: act())
    with listening(location(), service.answer):
        service.run()


def _open_camera(settings: Config, wait: Callable[[float], None], waiting: Callable[[], None]) -> GuardedCamera | None:
    from edge.camera.guard import GuardedCamera

    if settings.camera == "none":
        return None
    options.set_threads(settings.threads)
    try:
        specification = settings.camera or options.the_camera()
    except CameraNotFound as error:
        if settings.watch_folder:
            error.remedy = "Set camera=none for a service that has its watch_folder alone"
        raise
    asked = options.camera_settings(
        specification, options.size(settings.size), settings.timeout, settings.um_per_px, settings.calibration or None
    )
    return GuardedCamera(specification, asked, sleep=wait, waiting=waiting)


def _say(level: str, line: str) -> None:
    prefix = f"<{_PRIORITIES[level]}>" if "JOURNAL_STREAM" in os.environ else ""
    print(f"{prefix}{printable(line)}", file=sys.stderr, flush=True)
