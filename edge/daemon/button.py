"""A button or foot switch on a GPIO: pressed, it asks for a frame; held, if so configured, it finishes the sample.

gpiozero (Debian's ``python3-gpiozero``, or the extra ``gpio``) knows the boards; its own stand-in for pins,
``GPIOZERO_PIN_FACTORY=mock``, lets everything be tried without one.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

from edge.daemon.orders import Order
from edge.daemon.triggers import Surroundings
from edge.errors import TriggerUnavailable
from edge.settings import Config

_REMEDY = (
    "Install python3-gpiozero and python3-lgpio, put the user into the group gpio, and start it in a folder that it can"
    " write; or unset button_gpio"
)


def make(surroundings: Surroundings) -> ButtonTrigger | None:
    """Make the button that the configuration has, if it has one."""
    settings = surroundings.settings
    return None if settings.button_gpio is None else ButtonTrigger(settings, surroundings.order)


class ButtonTrigger:
    """Gives an order at every press, from gpiozero's own thread.

    Parameters
    ----------
    settings : Config
        ``button_gpio`` and what else it says of the button.
    order : callable
        Takes an order.

    Raises
    ------
    TriggerUnavailable
        When gpiozero is not installed, finds no GPIO here, or the pin is in use.
    """

    due_s = math.inf

    def __init__(self, settings: Config, order: Callable[[Order], None]) -> None:
        name = f"button on GPIO {settings.button_gpio}"
        gpiozero = _import_gpiozero(name)
        try:
            self._button: Any = gpiozero.Button(
                settings.button_gpio,
                pull_up=settings.button_active == "low",
                bounce_time=settings.button_bounce or None,
                hold_time=settings.button_hold or 1.0,
            )
        except (gpiozero.GPIOZeroError, OSError, ImportError) as error:
            raise TriggerUnavailable(name, f"cannot be used: {error}", _REMEDY) from error
        self._order = order
        self._was_held = False
        if settings.button_hold:
            self._button.when_held = self._held
            self._button.when_released = self._released
        else:
            self._button.when_pressed = self._pressed

    def shot(self) -> None:
        """Give none: a press is an order."""

    def close(self) -> None:
        """Release the pin."""
        # One that was never made whole may not close either.
        with suppress(OSError):
            self._button.close()

    def _pressed(self) -> None:
        self._order(Order("frame", who="button"))

    def _held(self) -> None:
        self._was_held = True
        self._order(Order("finish", who="button"))

    def _released(self) -> None:
        if not self._was_held:
            self._pressed()
        self._was_held = False


def _import_gpiozero(name: str) -> ModuleType:
    try:
        return importlib.import_module("gpiozero")
    except ModuleNotFoundError as error:
        raise TriggerUnavailable(name, f"{error.name} is not installed here", _REMEDY) from error
