"""What makes the service take a frame: time, a button, a folder; a further one is a module and a ``register`` line.

Some are asked when their time has come, in the thread that captures, so that none can outrun the camera; others put an
order on the desk from a thread of their own.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from queue import Empty, Queue
from typing import Protocol

from edge.camera.guard import GuardedCamera
from edge.daemon.orders import Order
from edge.errors import ServiceUnavailable
from edge.journal import Journal
from edge.line import Shot
from edge.settings import Config


class Trigger(Protocol):
    """Something that asks for frames."""

    @property
    def due_s(self) -> float:
        """When it wants to be asked next, on the monotonic clock; infinity for one that gives orders by itself."""
        ...

    def shot(self) -> Shot | None:
        """Give one that it wants now that its time has come, if it wants any; it is asked again, after the others."""
        ...

    def close(self) -> None:
        """Ask for no more."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What a trigger is made for.

    Attributes
    ----------
    settings : Config
        The configuration in force.
    camera : GuardedCamera or None
        Open; None where there is none.
    order : callable
        Takes an order; may be called from any thread.
    journal : Journal
        To be asked only while the trigger is made: it belongs to the thread that logs.
    note : callable
        Logs what happened, in a word or two, and a sentence on it; in the thread that logs.
    """

    settings: Config
    camera: GuardedCamera | None
    order: Callable[[Order], None]
    journal: Journal
    note: Callable[[str, str], None]


Factory = Callable[[Surroundings], Trigger | None]
"""Makes a trigger as the configuration has it; None where it has none."""

_factories: dict[str, Factory] = {}


def register(name: str, factory: Factory) -> None:
    """Add a kind of trigger, or replace the one of the same name.

    Parameters
    ----------
    name : str
        What it is called.
    factory : callable
        Makes it.
    """
    _factories[name] = factory


def configured(surroundings: Surroundings, opened: ExitStack) -> list[Trigger]:
    """Make the triggers that a configuration has.

    Parameters
    ----------
    surroundings : Surroundings
        What they are made for.
    opened : ExitStack
        Closes them.

    Raises
    ------
    WbcError
        When one cannot be used on this device.
    """
    made = [factory(surroundings) for factory in _factories.values()]
    return [opened.enter_context(closing(trigger)) for trigger in made if trigger is not None]


class Interval:
    """A frame from time to time: evenly spaced, and what was missed is skipped.

    Parameters
    ----------
    camera : GuardedCamera
        Open.
    interval_s : float
        Time from one frame to the next.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        camera: GuardedCamera,
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.due_s = clock() + interval_s
        self._camera, self._interval_s, self._clock = camera, interval_s, clock

    def shot(self) -> Shot:
        """Give one, for which a newer one may make up."""
        self.due_s += self._interval_s * (1 + (self._clock() - self.due_s) // self._interval_s)
        return Shot(self._camera.read, may_drop=True)

    def close(self) -> None:
        """There is nothing to release."""


class Desk:
    """Where orders lie until the capturing thread takes them, between the triggers whose time has come.

    Orders and triggers take turns, a frame each: whoever has a thousand images keeps nobody else waiting.

    Parameters
    ----------
    camera : GuardedCamera or None
        Open.
    triggers : sequence of Trigger
        What else asks.
    is_live : bool
        Whether only the newest frame matters, since nobody has opened a sample. Orders change it as they are taken:
        what is captured after one for a sample is of that sample, long before the order comes off the line.
    """

    def __init__(self, camera: GuardedCamera | None, triggers: Sequence[Trigger], is_live: bool = True) -> None:
        self._camera, self._triggers, self._is_live = camera, triggers, is_live
        # Not a SimpleQueue, with which a time limit that is over already may wait for ever: see edge.bell.
        self._orders: Queue[Order | None] = Queue()
        self._expected_s = math.inf

    def overdue_s(self) -> float:
        """Say for how many seconds a trigger whose time has come has been at it, or has not been asked.

        0 while the capturing thread has no reason to be here: before anybody's time, and while it captures what was
        asked for.
        """
        return max(0.0, time.monotonic() - self._expected_s)

    def put(self, order: Order) -> None:
        """Lay an order on it."""
        self._orders.put(order)

    def close(self) -> None:
        """Let the capturing thread come to its end."""
        self._orders.put(None)

    def take_back(self, shot: Shot) -> None:
        """Refuse what was asked for and will not come out any more, however late the camera lets go of it."""
        if isinstance(shot.errand, Order):
            shot.errand.failed(_gone())

    def refuse_rest(self) -> None:
        """Refuse the orders that nobody will take any more."""
        with suppress(Empty):
            while True:
                if (order := self._orders.get_nowait()) is not None:
                    order.failed(_gone())
        # A capturing thread that was at a trigger all the while must come to its end too.
        self.close()

    def shots(self) -> Iterator[Shot]:
        """Give what is asked for, as it is; in the capturing thread, which waits here."""
        try:
            for shot in self._wanted():
                self._expected_s = math.inf
                yield shot
                self._expected_s = time.monotonic()
        finally:
            self._expected_s = math.inf

    def _wanted(self) -> Iterator[Shot]:
        while True:
            due_s = min((trigger.due_s for trigger in self._triggers), default=math.inf)
            # Whose time came while another frame was captured is not late by that.
            self._expected_s = max(due_s, time.monotonic())
            try:
                wait_s = None if math.isinf(due_s) else max(0.0, due_s - time.monotonic())
                order = self._orders.get(timeout=wait_s)
                if order is None:
                    return
                self._is_live = order.what == "finish" or (self._is_live and order.sample is None)
                camera = self._camera if order.what == "frame" else None
                yield Shot(None if camera is None else camera.read, errand=order, model=order.model)
                del order
            except Empty:
                pass
            for trigger in self._triggers:
                if trigger.due_s <= time.monotonic() and (shot := trigger.shot()) is not None:
                    yield shot if self._is_live else replace(shot, may_drop=False)


def _gone() -> ServiceUnavailable:
    return ServiceUnavailable("the service", "begins anew or ends", "Ask again")


def _interval(surroundings: Surroundings) -> Trigger | None:
    if surroundings.camera is None or not surroundings.settings.interval:
        return None
    return Interval(surroundings.camera, surroundings.settings.interval)


def _in_module(name: str) -> Factory:
    def factory(surroundings: Surroundings) -> Trigger | None:
        trigger: Trigger | None = importlib.import_module(name).make(surroundings)
        return trigger

    return factory


register("interval", _interval)
register("folder", _in_module("edge.daemon.folder"))
register("button", _in_module("edge.daemon.button"))
