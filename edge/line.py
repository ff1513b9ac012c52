"""The line that frames go along: captured, prepared and judged, each in a thread of its own, and given out in order.

Cameras, OpenCV and the runtimes let other threads run while they work, so that frames follow each other as fast as the
slowest of the stages. The belts between them are short: what a stage cannot take yet waits before it, and memory does
not grow. Logging is left to whoever takes the outcomes off the line, since a journal belongs to one thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock, Thread
from types import TracebackType
from typing import Any

import cv2

from edge import pipeline
from edge.bell import Bell
from edge.belt import Belt
from edge.camera import EndOfFrames
from edge.camera.guard import Teller
from edge.errors import ImageError, InferenceFailed, WbcError
from edge.frame import Frame, Pixels
from edge.model import Model
from edge.result import FrameResult


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A frame that is asked for, or an errand that must overtake no frame.

    Attributes
    ----------
    take : callable or None
        Captures the frame, and tells what happens to the camera meanwhile; None: there is none to capture.
    may_drop : bool
        Whether a newer frame may take this one's place while it waits: only the newest matters.
    errand : object
        Whatever the one who asks wants back with the outcome.
    model : Model or None
        By which this frame and those after it are judged; None: as those before it.
    """

    take: Callable[[Teller], Frame] | None = None
    may_drop: bool = False
    errand: Any = None
    model: Model | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A frame that went along the whole line.

    Attributes
    ----------
    shot : Shot
        What was asked for.
    result : FrameResult
        What was found; without a verdict where there is no model.
    pixels : ndarray or None
        The frame, shape (height, width, 3), uint8, BGR, where pictures are kept.
    model : Model or None
        By which it was judged.
    """

    shot: Shot
    result: FrameResult
    pixels: Pixels | None
    model: Model | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Broken:
    """A frame that came to nothing. After any error but an ``ImageError`` nothing more is captured.

    Attributes
    ----------
    shot : Shot
        What was asked for.
    error : BaseException
        Why; an ``ImageError`` also where OpenCV, NumPy or memory failed on a frame: the next one is another picture.
    """

    shot: Shot
    error: BaseException


@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """An errand whose turn has come: every frame asked for before it has been given out.

    Attributes
    ----------
    shot : Shot
        The errand.
    """

    shot: Shot


@dataclass(frozen=True, slots=True)
class Told:
    """What happened to the camera; given out at once.

    Attributes
    ----------
    kind, detail : str
        What, in a word or two, and a sentence on it.
    """

    kind: str
    detail: str


Outcome = Judged | Broken | Passed | Told


@dataclass(slots=True, eq=False)
class _Piece:
    shot: Shot
    frame: Frame | None = None
    model: Model | None = None
    prepared: pipeline.Prepared | None = None
    has_turn: bool = False
    outcome: Judged | Broken | Passed | None = None
    name: str = ""


class Line:
    """Frames on their way from the camera to their verdict.

    A context manager; leaving it, nothing more is captured and what is in hand is left behind. Whoever wants that too
    calls :meth:`close`, and takes outcomes off until it :attr:`is_done`.

    Parameters
    ----------
    shots : iterator of Shot
        What is captured, asked for in the capturing thread: it may wait for its time. The line ends with it.
    model : Model or None
        By which frames are judged; None only measures them.
    keeps_pixels : bool
        Whether the outcomes have the frames' pixels.
    replace : callable, optional
        Given a model and how it failed on a frame, gives one to take its place, from that frame on. Without it such a
        frame is broken.
    give_back : callable, optional
        Given, in the capturing thread, what was asked for and will not come out, since the line or the camera was
        closed.
    judging : callable, optional
        Given a model, gives the block in which a frame is judged by it.
    bell : Bell, optional
        Rung when there is something to take; who rings it too wakes the one who waits, even from a signal handler.
    """

    def __init__(
        self,
        shots: Iterator[Shot],
        model: Model | None,
        *,
        keeps_pixels: bool = False,
        replace: Callable[[Model, InferenceFailed], Model] | None = None,
        give_back: Callable[[Shot], None] | None = None,
        judging: Callable[[Model], AbstractContextManager[None]] = lambda _: nullcontext(),
        bell: Bell | None = None,
    ) -> None:
        self._shots, self._model, self._keeps_pixels, self._replace = shots, model, keeps_pixels, replace
        self._give_back, self._judging = give_back, judging
        self._is_closed = False
        self._switching = Lock()
        self._bell = Bell() if bell is None else bell
        self._taken: Belt[_Piece] = Belt(yields=lambda waiting, newer: waiting.shot.may_drop and newer.shot.may_drop)
        self._prepared: Belt[_Piece] = Belt()
        # A frame takes 15 MB: those that keep theirs wait nowhere in pairs.
        self._out: Belt[_Piece] = Belt(places=1 if keeps_pixels else 2)
        # And its picture takes longer to write than all stages take, which then need not overlap: one turn for all.
        self._turns: Belt[object] | None = Belt() if keeps_pixels else None
        if self._turns is not None:
            self._turns.put(object())
        self._told: deque[Told] = deque()
        self._begun_s: dict[str, float] = {}
        stages = (
            ("capture", self._capture, ()),
            ("prepare", self._go, (self._prepare, self._taken, self._prepared)),
            ("judge", self._go, (self._judge, self._prepared, self._out)),
        )
        for name, work, arguments in stages:
            # Daemons, so that a driver or a runtime that never returns cannot keep the process alive.
            Thread(target=work, name=name, args=arguments, daemon=True).start()

    @property
    def dropped(self) -> int:
        """How many frames made way for newer ones."""
        return self._taken.dropped

    @property
    def is_done(self) -> bool:
        """Whether nothing will be given out any more."""
        return not self._told and self._out.is_done

    def stalled_s(self) -> float:
        """Say for how many seconds a stage has been at one frame; 0 when none is. Cameras have limits of their own."""
        begun_s = min(self._begun_s.copy().values(), default=None)
        return 0.0 if begun_s is None else time.monotonic() - begun_s

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until there may be something to take, the bell rings or time is up; interrupted, it loses nothing."""
        is_waiting = not self._told and self._out.is_empty and not self.is_done
        self._bell.wait(timeout_s if is_waiting else 0.0)

    def pop(self) -> Outcome | None:
        """Take the next outcome off; None when there is none now."""
        if self._told:
            return self._told.popleft()
        piece = self._out.get_at_once()
        if piece is None:
            return None
        if piece.has_turn and self._turns is not None:
            self._turns.put(object())
        return piece.outcome

    def close(self) -> None:
        """Capture no more; frames that are captured still come out."""
        self._is_closed = True
        self._taken.close()
        if self._turns is not None:
            self._turns.close()

    def __enter__(self) -> Line:
        """Return the line."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave behind what is in hand."""
        self.close()
        for belt in (self._prepared, self._out):
            belt.close()

    def _capture(self) -> None:
        try:
            for shot in self._shots:
                piece = self._captured(shot) if self._has_turn(shot) else None
                if piece is None or not self._taken.put(piece):
                    if self._give_back is not None:
                        self._give_back(shot)
                    break
                if isinstance(piece.outcome, Broken) and not isinstance(piece.outcome.error, ImageError):
                    break
                del piece, shot  # or it stays while the next one is captured
        except BaseException as error:  # of whoever says what is captured
            self._taken.put(_broken(Shot(), error))
        finally:
            self._taken.close()

    def _has_turn(self, shot: Shot) -> bool:
        """Wait until another frame, of 15 MB, may be in hand; False when the line is closed."""
        if shot.may_drop:
            return True  # it waits for nobody, and others not for it
        if self._turns is not None:
            self._turns.get()
        else:
            # Capturing is quick: while one frame is prepared the next is captured, and none has to lie between them.
            self._taken.wait_until_empty()
        return not self._is_closed

    def _captured(self, shot: Shot) -> _Piece | None:
        """Capture a frame; None when the camera has no more, or was closed."""
        if shot.model is not None:
            with self._switching:
                self._model = shot.model
        if shot.take is None:
            return _Piece(shot, has_turn=not shot.may_drop, outcome=Passed(shot))
        try:
            frame = shot.take(self._tell)
            return _Piece(shot, frame, self._model, has_turn=not shot.may_drop, name=frame.name)
        except EndOfFrames:
            return None
        except BaseException as error:  # whatever it is, it belongs to the one who takes it off
            return _broken(shot, error, has_turn=not shot.may_drop)

    def _go(self, work: Callable[[_Piece], None], source: Belt[_Piece], target: Belt[_Piece]) -> None:
        while (piece := source.get()) is not None:
            if piece.outcome is None:
                self._begun_s[work.__name__] = time.monotonic()
                try:
                    work(piece)
                except BaseException as error:
                    piece = _broken(piece.shot, _of_its_picture(error, piece.name), piece.has_turn)
                self._begun_s.pop(work.__name__)
            target.put(piece)
            del piece
            self._ring(target)
        target.close()
        self._ring(target)

    def _prepare(self, piece: _Piece) -> None:
        assert piece.frame is not None
        if piece.model is None:
            piece.outcome = self._judged(piece, pipeline.measure(piece.frame))
        else:
            piece.prepared = pipeline.prepare(piece.frame, piece.model.bundle.description)
        if not self._keeps_pixels and self._replace is None:
            piece.frame = None

    def _judge(self, piece: _Piece) -> None:
        assert piece.prepared is not None
        assert piece.model is not None
        try:
            with self._judging(piece.model):
                result = pipeline.judge(piece.prepared, piece.model)
        except InferenceFailed as error:
            result = self._judge_again(piece, piece.model, error)
        piece.outcome = self._judged(piece, result)
        if not self._keeps_pixels:
            piece.frame = None

    def _judge_again(self, piece: _Piece, failed: Model, error: InferenceFailed) -> FrameResult:
        if self._replace is None or piece.frame is None:
            raise error
        with self._switching:
            # A frame before this one may have failed by the same model.
            if self._model is failed:
                self._model = self._replace(failed, error)
            piece.model = self._model
        assert piece.model is not None
        try:
            with self._judging(piece.model):
                return pipeline.classify(piece.frame, piece.model)
        except InferenceFailed as another:
            return self._judge_again(piece, piece.model, another)

    def _judged(self, piece: _Piece, result: FrameResult) -> Judged:
        kept = piece.frame if self._keeps_pixels else None
        return Judged(piece.shot, result, None if kept is None else kept.pixels, piece.model)

    def _ring(self, target: Belt[_Piece]) -> None:
        if target is self._out:
            self._bell.ring()

    def _tell(self, kind: str, detail: str) -> None:
        self._told.append(Told(kind, detail))
        self._bell.ring()


def _of_its_picture(error: BaseException, frame: str) -> BaseException:
    """Give the failure of one frame for what a library raised over its pixels; any other error stays what it is."""
    if isinstance(error, WbcError) or not isinstance(error, (cv2.error, ValueError, MemoryError)):
        return error
    detail = error.err if isinstance(error, cv2.error) else str(error)
    why = f"it cannot be judged, {type(error).__name__}: {detail or 'no more is known'}"
    failed = ImageError(frame, why, "Report it, with this picture")
    failed.__cause__ = error
    return failed


def _broken(shot: Shot, error: BaseException, has_turn: bool = False) -> _Piece:
    return _Piece(shot, has_turn=has_turn, outcome=Broken(shot, error))
