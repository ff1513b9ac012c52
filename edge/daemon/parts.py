"""How the service comes to what it works with: whoever starts it says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.calibration import Calibration
from edge.camera.guard import GuardedCamera
from edge.daemon.models import Models
from edge.journal import Journal
from edge.settings import Config


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Opens, reads and names what a service works with.

    Attributes
    ----------
    settings : callable
        Reads the configuration; may raise ``ConfigurationError``.
    check : callable
        Refuses a configuration by which no service could work, by a ``WbcError``.
    camera, journal : callable
        Open what the configuration names; may raise a ``WbcError``. The camera is given how to wait while it is lost
        and what to do meanwhile when it does not answer, and is None where there is none.
    models : Models
        Finds the model to judge by.
    calibration : callable
        Reads the camera's calibration; None where there is none.
    sample : callable
        Names a new sample.
    """

    settings: Callable[[], Config]
    check: Callable[[Config], None]
    camera: Callable[[Config, Callable[[float], None], Callable[[], None]], GuardedCamera | None]
    models: Models
    journal: Callable[[Config], Journal]
    calibration: Callable[[Config], Calibration | None]
    sample: Callable[[], str]
