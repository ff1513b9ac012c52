"""The service: waits for what triggers a frame, judges and logs it, and goes on whatever happens.

It is ready once camera and model have really answered, and degraded when something is missing: then it says what, keeps
answering, and tries again. One thread does the work; others only ask it to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TimedOut  # Python 3.10 has one of its own here
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any, Literal

from edge.camera.guard import GuardedCamera
from edge.config import Config
from edge.daemon.folder import WatchedFolder
from edge.daemon.health import Bulletin
from edge.daemon.notify import Notifier
from edge.daemon.work import Say, Work
from edge.errors import ConfigurationError, ImageError, ServiceUnavailable, WbcError
from edge.journal import Journal
from edge.model import Model

_FOLDER_EVERY_S = 1.0
_HEARTBEAT_S = 5.0
_PRUNE_EVERY_S = 600.0
_FIRST_RETRY_S, _MOST_RETRY_S = 2.0, 60.0
_ANSWER_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """How the service comes to what it works with.

    Attributes
    ----------
    settings : callable
        Reads the configuration; may raise ``ConfigurationError``.
    camera, model, journal : callable
        Open what the configuration names; may raise a ``WbcError``. The camera is given how to wait while it is lost,
        and is None where there is none.
    sample : callable
        Names a new sample.
    """

    settings: Callable[[], Config]
    camera: Callable[[Config, Callable[[float], None]], GuardedCamera | None]
    model: Callable[[Config], Model]
    journal: Callable[[Config], Journal]
    sample: Callable[[], str]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Something that another thread wants done.

    Attributes
    ----------
    what : str
        ``frame``, ``start`` or ``finish`` a sample, ``reload`` the configuration.
    sample : str or None
        Which sample.
    reply : Future
        Is given what came of it.
    """

    what: Literal["frame", "start", "finish", "reload"]
    sample: str | None = None
    reply: Future[dict[str, Any]] = field(default_factory=Future)


class _Reload(Exception):
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
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._stopping = Event()
        self._settings = Config()

    def stop(self) -> None:
        """End after the frame in hand; may be called from a signal handler."""
        self._stopping.set()
        self._orders.put(None)

    def reload(self) -> None:
        """Read the configuration again; may be called from a signal handler."""
        self._orders.put(Order("reload"))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request of another program; called in a thread of its own.

        Parameters
        ----------
        request : dict
            ``ask``: ``status``, ``frame``, ``start``, ``finish`` or ``reload``; and for some ``sample``.

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
        if asked not in ("frame", "start", "finish", "reload") or not (sample is None or isinstance(sample, str)):
            raise ServiceUnavailable("the service", f"cannot do {asked!r}", "Are both of the same version?")
        order = Order(asked, sample)
        self._orders.put(order)
        try:
            return order.reply.result(_ANSWER_TIMEOUT_S)
        except TimedOut as error:
            raise ServiceUnavailable("the service", "is busy", "See `wbc-edge status`") from error

    def run(self) -> None:
        """Work until :meth:`stop`; failures degrade the service and do not end it."""
        retry_s = _FIRST_RETRY_S
        self._bulletin.change(state="starting")
        while not self._stopping.is_set():
            try:
                self._settings = self._parts.settings()
                self._work()
            except _Reload:
                retry_s = _FIRST_RETRY_S
            except WbcError as error:
                if self._bulletin.health.state == "ready":
                    retry_s = _FIRST_RETRY_S
                self._degrade(error, retry_s)
                retry_s = min(2 * retry_s, _MOST_RETRY_S)
        self._notifier.stopping()
        self._bulletin.change(state="stopping")
        self._say("info", "stopped")

    def _work(self) -> None:
        settings = self._settings
        with ExitStack() as opened:
            journal = opened.enter_context(self._parts.journal(settings))
            model = self._parts.model(settings)
            camera = self._parts.camera(settings, self._wait)
            if camera is not None:
                opened.enter_context(closing(camera))
            folder = WatchedFolder(Path(settings.watch_folder)) if settings.watch_folder else None
            work = Work(settings, journal, model, camera, self._bulletin, self._say, self._parts.sample)
            opened.callback(work.close)
            work.prove()
            eye = camera.name if camera else f"folder {settings.watch_folder}"
            self._bulletin.change(
                state="ready", reason="", camera=eye, model=model.bundle.identity, journal=str(journal.path)
            )
            self._notifier.ready()
            self._say("info", f"ready: {eye}, model {model.bundle.identity}")
            work.note("service", f"ready: {eye}, model {model.bundle.identity}")
            due_s = time.monotonic() + settings.interval
            prune_s = time.monotonic()
            while not self._stopping.is_set():
                if time.monotonic() >= prune_s:
                    work.prune()
                    prune_s = time.monotonic() + _PRUNE_EVERY_S
                order = self._next(due_s if settings.interval else None, folder is not None)
                if order is not None:
                    self._obey(order, work)
                elif settings.interval and time.monotonic() >= due_s:
                    # What was missed is skipped: frames are evenly spaced, not caught up.
                    due_s += settings.interval * (1 + (time.monotonic() - due_s) // settings.interval)
                    self._take(work)
                elif folder is not None:
                    for path in folder.whole():
                        folder.put_aside(path, "done" if work.judge(path) else "failed")
                        self._notifier.alive()

    def _next(self, due_s: float | None, is_watching: bool) -> Order | None:
        self._notifier.alive()
        self._notifier.status(self._bulletin.health.words())
        longest_s = _FOLDER_EVERY_S if is_watching else _HEARTBEAT_S
        if self._notifier.watchdog_s is not None:
            longest_s = min(longest_s, self._notifier.watchdog_s / 3)
        if due_s is not None:
            longest_s = min(longest_s, due_s - time.monotonic())
        try:
            return self._orders.get(timeout=max(0.0, longest_s))
        except Empty:
            return None

    def _obey(self, order: Order, work: Work) -> None:
        try:
            if order.what == "reload":
                self._check_settings(work)
                order.reply.set_result({"reloaded": True})
                raise _Reload
            order.reply.set_result(_done(order, work))
        except (ConfigurationError, ImageError) as error:
            order.reply.set_exception(error)
        except WbcError as error:
            order.reply.set_exception(error)
            raise

    def _check_settings(self, work: Work) -> None:
        """Refuse a configuration that is wrong, and go on with the one in force."""
        try:
            self._parts.settings()
        except ConfigurationError as error:
            self._bulletin.change(last_error=str(error))
            self._say("error", f"configuration not reloaded: {error}")
            work.note("configuration", f"not reloaded: {error}")
            raise
        self._say("info", "configuration reloaded")
        work.note("configuration", "reloaded")

    def _degrade(self, error: WbcError, retry_s: float) -> None:
        self._say("error", f"{error} (tried again in {retry_s:g} s)")
        self._bulletin.change(state="degraded", reason=str(error), last_error=str(error))
        # Or systemd would end and restart in a loop what can at least say what is wrong.
        self._notifier.ready()
        with suppress(WbcError), self._parts.journal(self._settings) as journal:
            journal.event("service degraded", str(error))
        until_s = time.monotonic() + retry_s
        while not self._stopping.is_set() and time.monotonic() < until_s:
            order = self._next(until_s, is_watching=False)
            if order is None:
                continue
            if order.what == "reload":
                order.reply.set_result({"reloaded": True})
                return
            order.reply.set_exception(ServiceUnavailable("the service", f"is degraded: {error}"))

    def _take(self, work: Work) -> None:
        # One that is unreadable is logged; the next one comes.
        with suppress(ImageError):
            work.take()

    def _wait(self, seconds: float) -> None:
        """Wait for a lost camera, alive all the while; not at all once the service is to stop."""
        until_s = time.monotonic() + seconds
        pulse_s = _HEARTBEAT_S if self._notifier.watchdog_s is None else self._notifier.watchdog_s / 3
        while (left_s := until_s - time.monotonic()) > 0 and not self._stopping.wait(min(left_s, pulse_s)):
            self._notifier.alive()


def _done(order: Order, work: Work) -> dict[str, Any]:
    if order.what == "frame":
        return work.take(order.sample)
    if order.what == "start":
        return {"sample": work.begin(order.sample).sample}
    return work.finish()
