"""A camera that may hang, vanish and come back, behind one that does none of it silently.

Drivers block for ever, USB cables loosen. One worker thread owns the camera; every open and every capture
has a time limit. A thread that does not come back is left behind (Python cannot end it), and the camera is
opened anew by another one. So it is when it gives what no sensor does: the picture before once more, or one of
another size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

import numpy as np

from edge.camera import open_camera
from edge.camera.base import Camera, CameraSettings, EndOfFrames
from edge.errors import CameraError, CameraLost, CameraTimeout, ImageError
from edge.frame import Frame, Pixels

T = TypeVar("T")

Teller = Callable[[str, str], None]
"""Is told of the camera's troubles as they happen: what, in a word or two, and a sentence on it."""


def told_nobody(kind: str, detail: str) -> None:
    """Tell nobody."""


def nothing_to_do() -> None:
    """Do nothing while a camera is waited for."""


_TOLD_WAITING_EVERY_S = 1.0

CLOSE_TIMEOUT_S = 1.0
"""A person who pressed Ctrl-C waits no longer than this for a driver."""

_SAMPLED_PX = 16
"""Every so many-th pixel of a row and a column is compared: noise changes some of them from frame to frame."""


@dataclass(frozen=True, slots=True)
class BackOff:
    """How a lost camera is tried again.

    Attributes
    ----------
    attempts : int
        How often, before ``CameraLost`` is raised.
    first_delay_s, most_delay_s : float
        Wait before the first attempt; each further one waits twice as long, up to the most.
    """

    attempts: int = 5
    first_delay_s: float = 0.5
    most_delay_s: float = 30.0

    def delays_s(self) -> list[float]:
        """List the waits before each attempt, seconds."""
        return [min(self.first_delay_s * 2.0**attempt, self.most_delay_s) for attempt in range(self.attempts)]


_PATIENT = BackOff()


@dataclass(frozen=True, slots=True)
class CameraCounters:
    """What a camera went through since it was first opened.

    Attributes
    ----------
    frames : int
        Frames delivered.
    unreadable : int
        Images that could not be read (``ImageError``).
    timeouts : int
        Times that it did not open or deliver within its limit; each left a hung thread behind.
    lost : int
        Times that it failed, timeouts included.
    reopened : int
        Times that it was opened again successfully.
    """

    frames: int = 0
    unreadable: int = 0
    timeouts: int = 0
    lost: int = 0
    reopened: int = 0

    def summary(self) -> str:
        """Say it in a line."""
        return (
            f"{self.frames} frames, {self.unreadable} unreadable, lost {self.lost} times ({self.timeouts} by hanging),"
            f" reopened {self.reopened} times"
        )


class GuardedCamera:
    """A camera with time limits, which is reopened when it is lost; itself a ``Camera``.

    Opened by the constructor; its failures then are raised at once, since they mean a wrong name or a cable that
    was never plugged in. Finite sources are not reopened, they would start over.

    Parameters
    ----------
    specification : str
        Which camera, such as ``v4l2:/dev/video0``.
    settings : CameraSettings
        What is asked of it; ``timeout_s`` limits each open and each capture.
    back_off : BackOff
        How a lost camera is tried again.
    opener : callable
        Opens the camera that the specification names; called in the thread that owns it from then on.
    sleep : callable
        Waits so many seconds.
    waiting : callable
        Called every second while the camera opens or a frame is waited for, by the thread that waits. What this or
        ``sleep`` raises is raised to whoever waits, and the camera is left as it is.

    Attributes
    ----------
    counters : CameraCounters
        What it went through so far.

    Raises
    ------
    CameraTimeout
        When it did not open in time.
    WbcError
        Whatever the opener raises.
    """

    def __init__(
        self,
        specification: str,
        settings: CameraSettings,
        back_off: BackOff = _PATIENT,
        opener: Callable[[str, CameraSettings], Camera] = open_camera,
        sleep: Callable[[float], None] = time.sleep,
        waiting: Callable[[], None] = nothing_to_do,
    ) -> None:
        self.name = specification
        self.counters = CameraCounters()
        self._settings = settings
        self._back_off = back_off
        self._opener = opener
        self._sleep, self._waiting = sleep, waiting
        self._worker: _Worker | None = None
        self._before: tuple[tuple[int, ...], Pixels] | None = None
        self._closed = False
        self.finite = self._open().finite

    def read(self, told: Teller = told_nobody) -> Frame:
        """Capture the next frame, reopening the camera as often as ``back_off`` allows.

        Parameters
        ----------
        told : callable
            Called at once with ``camera lost`` or ``camera reopened`` and a sentence on it.

        Raises
        ------
        EndOfFrames
            When a finite source is exhausted, or the camera was closed.
        ImageError
            When this one frame is unreadable; the next read goes on with the next one.
        CameraTimeout
            When a finite source did not deliver in time; it has no further frames then. As any other ``CameraError``
            also when ``back_off`` allows no further attempt.
        CameraLost
            When the camera could not be brought back; a further read tries again.
        """
        delays_s = self._back_off.delays_s()
        while not self._closed:
            try:
                self._reopen(told)
                return self._capture()
            except CameraError as error:
                failure = error
                self._lose()
                self._closed = self._closed or self.finite
                if self.finite or not self._back_off.attempts:
                    raise
                if not delays_s:
                    why = f"{failure.why or failure.what}; it was tried again {self._back_off.attempts} times"
                    remedy = failure.remedy or "Check cable, power and lamp"
                    raise CameraLost(f"Lost {self.name}", why, remedy) from failure
            delay_s = delays_s.pop(0)
            told("camera lost", f"{str(failure).rstrip('.')}. Tried again in {delay_s:g} s")
            self._sleep(delay_s)
        raise EndOfFrames(self.name)

    def close(self) -> None:
        """Release the camera; one that hangs is left to the end of the process. Takes a second at most.

        May be called from another thread than the one that reads.
        """
        self._closed = True
        self._end_worker()

    def _open(self) -> Camera:
        worker = self._worker = _Worker(partial(self._opener, self.name, self._settings))
        try:
            return self._limited(worker.open())
        except BaseException:
            # Also on Ctrl-C: should the open succeed after all, the worker closes what it opened.
            worker.end(0.0)
            self._worker = None
            raise

    def _reopen(self, told: Teller) -> None:
        if self._worker is None:
            self._open()
            if self._closed:  # meanwhile, by another thread
                self._end_worker()
                raise EndOfFrames(self.name)
            self._count(reopened=1)
            told("camera reopened", self.counters.summary())

    def _capture(self) -> Frame:
        worker = self._worker
        if worker is None:  # closed meanwhile, by another thread
            raise EndOfFrames(self.name)
        try:
            frame = self._limited(worker.read())
        except ImageError:
            self._count(unreadable=1)
            raise
        if not self.finite:
            self._compare(frame)
        self._count(frames=1)
        self._settings = replace(self._settings, first_sequence=frame.sequence + 1)
        return frame if self._settings.white is None else replace(frame, white=self._settings.white)

    def _compare(self, frame: Frame) -> None:
        """Refuse a frame that cannot be the next one; one without any contrast, as of a dark field, proves nothing."""
        shape, seen = frame.pixels.shape, frame.pixels[::_SAMPLED_PX, ::_SAMPLED_PX].copy()
        if self._before is not None:
            usual, before = self._before
            if shape != usual:
                sizes = " and then ".join(f"{each[1]}x{each[0]}" for each in (usual, shape))
                raise CameraLost(self.name, f"it gave {sizes} pixels", "Check cable and power")
            if seen.min() != seen.max() and np.array_equal(seen, before):
                raise CameraLost(self.name, "it gave the same picture twice", "Check cable and power")
        self._before = shape, seen

    def _limited(self, answer: Future[T]) -> T:
        until_s = time.monotonic() + self._settings.timeout_s
        while not wait([answer], min(_TOLD_WAITING_EVERY_S, max(0.0, until_s - time.monotonic()))).done:
            if self._closed:  # meanwhile, by another thread
                raise EndOfFrames(self.name)
            if time.monotonic() >= until_s:
                self._count(timeouts=1)
                why = f"no answer within {self._settings.timeout_s:g} s"
                raise CameraTimeout(self.name, why, "Check cable and power")
            self._waiting()
        return answer.result()

    def _lose(self) -> None:
        self._count(lost=1)
        self._end_worker()

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end(CLOSE_TIMEOUT_S)

    def _count(self, **more: int) -> None:
        self.counters = replace(self.counters, **{name: getattr(self.counters, name) + n for name, n in more.items()})


class _Worker:
    """The one thread that touches a camera: it does what it is asked, in turn; the last is to close."""

    def __init__(self, opener: Callable[[], Camera]) -> None:
        self._opener = opener
        self._camera: Camera | None = None
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon, so that a driver that never returns cannot keep the process alive.
        self._thread = Thread(target=self._work, name="camera", daemon=True)
        self._thread.start()

    def open(self) -> Future[Camera]:
        return self._ask(self._open)

    def read(self) -> Future[Frame]:
        return self._ask(self._read)

    def end(self, timeout_s: float) -> None:
        self._jobs.put(None)
        self._thread.join(timeout_s)

    def _ask(self, work: Callable[[], T]) -> Future[T]:
        answer: Future[T] = Future()

        def job() -> None:
            try:
                answer.set_result(work())
            except BaseException as error:  # whatever it is, it belongs to the one who asked
                answer.set_exception(error)

        self._jobs.put(job)
        return answer

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            # It holds the frame of 15 MB, which must not outlive its reader while this thread waits.
            del job
        if self._camera is not None:
            with suppress(Exception):
                self._camera.close()

    def _open(self) -> Camera:
        self._camera = self._opener()
        return self._camera

    def _read(self) -> Frame:
        assert self._camera is not None
        return self._camera.read()
