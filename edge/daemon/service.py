"""The service: waits for what triggers a frame, judges and logs it, and goes on whatever happens.

It is ready once camera and model have really answered, and degraded when something is missing: then it says what, keeps
answering, and tries again. One thread logs and decides; the line's capture and judge, and others only ask.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import TimeoutError as TimedOut  # Python 3.10 has one of its own here
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, cast, get_args

from edge import config
from edge.bell import Bell
from edge.calibration import Calibration, departures
from edge.camera import device
from edge.camera.guard import GuardedCamera
from edge.daemon.clock import ClockWatch
from edge.daemon.control import ANSWER_TIMEOUT_S
from edge.daemon.health import Bulletin
from edge.daemon.notify import Notifier
from edge.daemon.orders import Asked, Order
from edge.daemon.outage import Outage
from edge.daemon.parts import Parts
from edge.daemon.triggers import Desk, Surroundings, Trigger, configured
from edge.daemon.upkeep import Upkeep
from edge.daemon.words import Say
from edge.daemon.work import Work
from edge.errors import (
    CameraNotFound,
    InferenceFailed,
    JournalFull,
    ServiceUnavailable,
    StorageFull,
    WbcError,
)
from edge.frame import Frame
from edge.journal import Journal
from edge.journal.reserve import Reserve
from edge.journal.upkeep import last_detail, last_event_s
from edge.line import Line
from edge.model import Model
from edge.settings import Config

_HEARTBEAT_S = 5.0
_SUMMARY_EVERY_S = 3600.0
_FIRST_RETRY_S, _MOST_RETRY_S = 2.0, 60.0
_SETTLED_S = 300.0
"""What fails sooner after the service was ready is the same trouble still: waited for longer, and not logged again."""

_MOST_MIGRATION_S = 1800.0
"""A journal of years that an older version wrote is brought up to date once, before anything else."""

_STALLED_S = 1.0
"""Longer than any stage takes: while one is at a frame for so long, nobody is told that the service is alive."""

_OVERDUE_S = 10.0
"""Longer than a look takes at a folder of very many images, or across a network; what is due for so long hangs."""

_HOPELESS_S = 30.0
"""A stage that is at a frame for so long is not waited for when the service ends."""


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    settings: Config
    journal: Journal
    model: Model
    camera: GuardedCamera | None
    desk: Desk
    work: Work
    upkeep: Upkeep


class _Reload(Exception):
    pass


class _Ending(ServiceUnavailable):
    pass


class Service:
    """A device's work, for months.

    Parameters
    ----------
    parts : Parts
        How it comes to what it works with.
    bulletin : Bulletin
        Where it says how it is.
    notifier : Notifier
        What it tells systemd.
    say : callable
        Its log.
    """

    def __init__(self, parts: Parts, bulletin: Bulletin, notifier: Notifier, say: Say) -> None:
        self._parts, self._bulletin, self._notifier, self._say = parts, bulletin, notifier, say
        self._orders: SimpleQueue[Order] = SimpleQueue()
        self._bell = Bell()
        self._stopping = self._is_over = False
        self._settings = Config()
        self._clock: ClockWatch | None = None
        self._outage = Outage()
        self._complaint = self._announced = ""
        self._ready_s = math.inf
        self._summary_s = time.monotonic() + _SUMMARY_EVERY_S

    def stop(self) -> None:
        """End after the frames in hand, without waiting for a camera; may be called from a signal handler."""
        self._stopping = True
        self._bell.ring()

    def reload(self) -> None:
        """Read the configuration again; may be called from a signal handler."""
        self._order(Order("reload", who="a signal"))

    def answer(self, request: dict[str, Any], who: str) -> dict[str, Any]:
        """Answer a request of another program; called in a thread of its own.

        Parameters
        ----------
        request : dict
            ``ask``: ``status``, ``frame``, ``start``, ``finish``, ``reload`` or ``model``; and for some ``sample``.
        who : str
            The user who asks.

        Returns
        -------
        dict
            The reply.

        Raises
        ------
        ServiceUnavailable
            When it is asked for what it does not know, or does not do it in time.
        """
        asked, sample = request.get("ask"), request.get("sample")
        if asked == "status":
            return self._bulletin.report()
        if asked not in get_args(Asked) or not (sample is None or isinstance(sample, str)):
            raise ServiceUnavailable("the service", f"cannot do {asked!r}", "Are both of the same version?")
        # Loaded and proven in this thread: meanwhile frames are judged by the one before.
        model = self._parts.models.open(self._settings).model if asked == "model" else None
        order = Order(cast(Asked, asked), sample, who, model)
        self._order(order)
        try:
            return order.reply.result(ANSWER_TIMEOUT_S)
        except WbcError:  # what came of it; some are a TimeoutError too, as that of a locked journal
            raise
        except TimedOut as error:
            raise ServiceUnavailable("the service", "is busy", "See `wbc-edge status`") from error

    def run(self) -> None:
        """Work until :meth:`stop`; failures degrade the service and do not end it."""
        retry_s = _FIRST_RETRY_S
        self._bulletin.change(state="starting")
        while not self._stopping:
            try:
                self._settings = self._parts.settings()
                self._parts.check(self._settings)
                with self._opened(self._settings) as opened:
                    self._work(opened)
            except _Reload:
                self._bulletin.change(state="starting")
                retry_s, self._announced = _FIRST_RETRY_S, ""
            except _Ending:
                pass  # it waited for its camera
            except WbcError as error:
                if time.monotonic() - self._ready_s >= _SETTLED_S:
                    retry_s, self._complaint = _FIRST_RETRY_S, ""
                self._ready_s = math.inf
                self._degrade(error, retry_s)
                retry_s = min(2 * retry_s, _MOST_RETRY_S)
        self._is_over = True
        self._refuse_rest()
        self._say("info", self._bulletin.summary())
        self._notifier.stopping()
        self._bulletin.change(state="stopping")
        self._say("info", "stopped")

    @contextmanager
    def _opened(self, settings: Config) -> Iterator[_Open]:
        """Open all that the configuration names, and prove that it answers."""
        with ExitStack() as stack:
            self._notifier.starts_within(_MOST_MIGRATION_S)
            journal = stack.enter_context(self._parts.journal(settings))
            self._bulletin.change(journal=str(journal.path))
            if self._clock is None:
                last_s = last_event_s(journal)
                self._clock = ClockWatch(last_s)
                if last_s is not None and time.time() < last_s:
                    journal.event("clock", f"is {last_s - time.time():.0f} s behind what was logged last")
            self._log_settings(journal, settings)
            upkeep = stack.enter_context(closing(Upkeep(settings, journal, self._bulletin, self._say, self._clock)))
            model = self._parts.models.open(settings).model
            # A GPU holds much memory, of which a service that is degraded needs none.
            stack.callback(model.runtime.close)
            camera = self._parts.camera(settings, self._wait, self._tell_waiting)
            if camera is not None:
                # At once: nobody else lets go of it when one of the next lines fails.
                stack.enter_context(closing(camera))
            work = Work(settings, journal, model, self._parts, self._bulletin, self._outage, self._say)
            stack.callback(work.close)
            if camera is not None:
                self._check_calibration(self._parts.calibration(settings), camera.read(work.note), camera.name, work)
            surroundings = Surroundings(settings, camera, self._order, journal, work.note)
            triggers: list[Trigger] = configured(surroundings, stack)
            desk = Desk(camera, triggers, is_live=not self._bulletin.health.every_frame)
            stack.callback(desk.refuse_rest)
            yield _Open(settings, journal, model, camera, desk, work, upkeep)

    def _work(self, opened: _Open) -> None:
        settings, work = opened.settings, opened.work
        eye = opened.camera.name if opened.camera else f"folder {settings.watch_folder}"
        identity = opened.model.bundle.identity
        self._ready_s = time.monotonic()
        self._bulletin.change(state="ready", reason="", camera=eye, model=identity)
        self._announce(f"ready: {eye}, model {identity}", work)
        self._notifier.ready()
        keeps = settings.save != "none"

        def replace(failed: Model, error: InferenceFailed) -> Model:
            return self._parts.models.after(failed, error, settings)

        shots, bell = opened.desk.shots(), self._bell
        line = Line(
            shots,
            opened.model,
            keeps_pixels=keeps,
            replace=replace,
            give_back=opened.desk.take_back,
            judging=self._parts.models.judging,
            bell=bell,
        )
        with line:
            try:
                self._attend(line, opened)
            except (WbcError, _Reload):
                self._finish(line, opened)
                raise
            self._finish(line, opened)

    def _attend(self, line: Line, opened: _Open) -> None:
        """Log what comes off the line, forward what is asked for, and keep house in between, until it is to end."""
        while not self._stopping and not line.is_done:
            self._tell(line.stalled_s() < _STALLED_S and opened.desk.overdue_s() < _OVERDUE_S)
            line.wait(self._pulse_s())
            for order in self._waiting_orders():
                self._forward(order, opened)
            outcome = line.pop()
            if outcome is not None:
                opened.work.take(outcome, opened.upkeep.keeps_pictures)
            opened.work.log_pictures()
            opened.upkeep.work(is_idle=outcome is None)
            # It may hold 15 MB, which must not stay while the next one is waited for.
            del outcome
            opened.work.count_dropped(line.dropped)
            opened.work.count_losses()

    def _finish(self, line: Line, opened: _Open) -> None:
        """Log what is captured already, unless a stage hangs; what it is asked for besides is refused."""
        opened.desk.close()
        line.close()
        while not line.is_done and line.stalled_s() < _HOPELESS_S:
            self._tell(line.stalled_s() < _STALLED_S)
            line.wait(self._pulse_s())
            with suppress(WbcError):
                if (outcome := line.pop()) is not None:
                    opened.work.take(outcome, opened.upkeep.keeps_pictures)
                del outcome
        opened.work.count_dropped(line.dropped, is_last=True)
        opened.work.count_losses(is_last=self._stopping)

    def _tell(self, makes_progress: bool = True) -> None:
        if makes_progress:
            self._notifier.alive()
        self._notifier.status(self._bulletin.health.words())
        if time.monotonic() >= self._summary_s:
            self._summary_s = time.monotonic() + _SUMMARY_EVERY_S
            self._say("info", self._bulletin.summary())

    def _pulse_s(self) -> float:
        watchdog_s = self._notifier.watchdog_s
        return _HEARTBEAT_S if watchdog_s is None else min(_HEARTBEAT_S, watchdog_s / 3)

    def _order(self, order: Order) -> None:
        self._orders.put(order)
        self._bell.ring()
        if self._is_over:  # or else it is refused by who looks at them after that was set
            self._refuse_rest()

    def _refuse_rest(self) -> None:
        for order in self._waiting_orders():
            order.failed(_Ending("the service", "ends", "Ask again"))

    def _waiting_orders(self) -> Iterator[Order]:
        with suppress(Empty):
            while True:
                yield self._orders.get_nowait()

    def _forward(self, order: Order, opened: _Open) -> None:
        if order.what == "reload":
            self._reload(order, opened)
        elif order.what == "frame" and opened.camera is None:
            remedy = "Drop images into its folder, or set one"
            order.failed(CameraNotFound("No camera", "this service has none", remedy))
        else:
            opened.desk.put(order)

    def _reload(self, order: Order, opened: _Open) -> None:
        """Begin anew by the configuration as it is now; one that is wrong is refused, and the one in force goes on."""
        try:
            self._parts.check(self._parts.settings())
        except WbcError as error:
            self._bulletin.failed(str(error))
            self._say("error", f"configuration not reloaded: {error}")
            opened.work.note("configuration", f"not reloaded: {error}")
            order.failed(error)
            return
        self._say("info", "configuration reloaded")
        opened.work.note("configuration", f"reloaded, asked for by {order.who}")
        order.done({"reloaded": True})
        raise _Reload

    def _check_calibration(self, found: Calibration | None, frame: Frame, camera: str, work: Work) -> None:
        """Compare the first frame with what the camera was calibrated to."""
        if found is None or found.camera != device(camera):
            self._bulletin.change(calibration="none: exposure and white balance are the camera's own")
            return
        self._bulletin.change(calibration=found.summary())
        for departure in departures(found, frame):
            work.differ("at the start", departure)

    def _log_settings(self, journal: Journal, settings: Config) -> None:
        """Keep in the trail what the device is set to, however it came to be set so."""
        summary = config.summary(settings)
        if last_detail(journal, "settings") != summary:
            journal.event("settings", summary)

    def _degrade(self, error: WbcError, retry_s: float) -> None:
        self._bulletin.change(state="degraded", reason=str(error), pictures="")
        self._bulletin.failed(str(error))
        # Or systemd would end and restart in a loop what can at least say what is wrong.
        self._notifier.ready()
        self._complain(error, retry_s)
        until_s = time.monotonic() + retry_s
        while not self._stopping and (left_s := until_s - time.monotonic()) > 0:
            self._tell()
            self._bell.wait(min(left_s, self._pulse_s()))
            for order in self._waiting_orders():
                if order.what in ("reload", "model"):
                    order.done({"reloaded": True, "model": "", "why": f"it is degraded: {error}"})
                    return
                order.failed(ServiceUnavailable("the service", f"is degraded: {error}"))

    def _announce(self, ready: str, work: Work) -> None:
        """Say and log that it is ready, unless nothing was logged since it was said last."""
        if ready != self._announced:
            self._announced = ready
            self._say("info", ready)
            work.note("service", ready)

    def _complain(self, error: WbcError, retry_s: float) -> None:
        """Say and log why it is degraded: once, or a full disk would be filled with it."""
        if str(error) == self._complaint:
            return
        self._complaint, self._announced = str(error), ""
        self._say("error", f"{error} (tried again in {retry_s:g} s, and so on)")
        with suppress(WbcError), self._parts.journal(self._settings) as journal:
            if isinstance(error, JournalFull | StorageFull):
                Reserve(journal.path).release()
            journal.event("service degraded", str(error))

    def _wait(self, seconds: float) -> None:
        """Wait for a lost camera, in the capturing thread or at the start."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.2))
            self._tell_waiting()

    def _tell_waiting(self) -> None:
        """Say that the service is alive while it has no line yet; once it has one, that tells whether it is.

        Raises
        ------
        ServiceUnavailable
            When the service is to end: a camera that does not answer is not waited for.
        """
        if self._stopping:
            raise _Ending("the service", "ends", "Ask again")
        if self._bulletin.health.state != "ready":
            self._notifier.alive()
