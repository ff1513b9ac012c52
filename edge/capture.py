"""A session at the microscope: frames are captured, judged, logged in order, and added up to the sample's verdict."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Literal

from edge.camera.guard import GuardedCamera, Teller, told_nobody
from edge.errors import ImageError, JournalDiskFailed, JournalError, OutputError, WbcError
from edge.frame import Pixels
from edge.journal import Journal
from edge.journal.pictures import FOLDER, PictureWriter
from edge.line import Broken, Judged, Line, Shot, Told
from edge.model import Model
from edge.result import INDETERMINATE, FrameResult, SampleResult
from edge.vision import overlay

Save = Literal["none", "frames", "overlays"]
"""Which pictures are kept: none, the frames as captured, or the frames with the judged tiles drawn over them."""


_MOST_TICKS = 2**53


@dataclass(frozen=True, slots=True, eq=False)
class Logged:
    """A frame that is in the journal.

    Attributes
    ----------
    record : int
        Number of its record.
    result : FrameResult
        What was logged.
    log_ms : float
        Milliseconds that it took until the record was on the disk.
    """

    record: int
    result: FrameResult
    log_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A frame that could not be read, or a picture that could not be kept; the session went on.

    Attributes
    ----------
    frame : str
        Name of the frame.
    error : WbcError
        What was wrong.
    """

    frame: str
    error: WbcError


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a session.

    Attributes
    ----------
    sample : str
        The sample's identifier.
    frames : int
        Number of frames that this session logged.
    decided : SampleResult or None
        The sample's verdict, over this session and all others; None when there was no model.
    """

    sample: str
    frames: int
    decided: SampleResult | None


class Session:
    """One sample under the microscope: how its frames are judged and where they are logged.

    A context manager; leaving it waits until the pictures asked for are written, and removes those that the journal was
    not told of.

    Parameters
    ----------
    journal : Journal
        Open for writing.
    sample : str
        The sample's identifier. One that the journal knows is continued: its frames judged by the same model count.
    model : Model, optional
        By which frames are judged; without one only their quality is measured.
    save : str
        Which pictures are kept, in a folder ``pictures`` beside the journal.
    logged_as : callable
        Gives the name by which the journal knows a frame, of the name that is shown.

    Attributes
    ----------
    model : Model or None
        By which frames are judged.
    keeps_pictures : bool
        Whether pictures are kept.
    logged : int
        Number of frames that this session logged.

    Raises
    ------
    JournalError
        When the journal cannot be read or written.
    OutputError
        When the folder of the pictures cannot be written.
    """

    def __init__(
        self,
        journal: Journal,
        sample: str,
        *,
        model: Model | None = None,
        save: Save = "none",
        logged_as: Callable[[str], str] = str,
    ) -> None:
        self.sample = sample
        self.model = model
        self.keeps_pictures = save != "none"
        self.logged = 0
        self._journal = journal
        self._save = save
        self._logged_as = logged_as
        self._pictured: dict[int, str] = {}
        self._pictures = None if save == "none" else PictureWriter(journal.path.parent / FOLDER)
        self._number = journal.sample(sample)

    def __enter__(self) -> Session:
        """Return the session."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until the pictures are written; no row refers to those that are left, so that none would ever go."""
        if self._pictures is None:
            return
        self._pictures.close()
        for picture in self._pictures.finished():
            if isinstance(picture.outcome, Path):
                _discard(picture.outcome)

    def add(self, result: FrameResult, pixels: Pixels | None = None) -> Logged:
        """Log a frame that was judged by the session's model; on return it is on the disk.

        Parameters
        ----------
        result : FrameResult
            What was found.
        pixels : ndarray, optional
            The frame, shape (height, width, 3), uint8, BGR, of which a picture is kept if pictures are.

        Returns
        -------
        Logged
            What was logged.

        Raises
        ------
        JournalError
            When it cannot be logged.
        """
        begun_s = time.perf_counter()
        record = self._journal.record(self._number, replace(result, frame=self._logged_as(result.frame)))
        log_ms = (time.perf_counter() - begun_s) * 1e3
        self.logged += 1
        if self._pictures is not None and pixels is not None:
            self._keep(self._pictures, record, pixels, result)
        return Logged(record, result, log_ms)

    def add_failure(self, frame: str, error: WbcError) -> Failed:
        """Log that a frame could not be read, or a picture of it not be kept."""
        self._journal.record_failure(self._number, self._logged_as(frame), error)
        return Failed(frame, error)

    def note(self, kind: str, detail: str) -> None:
        """Log what happened beside the frames."""
        self._journal.event(kind, detail, sample_id=self._number)

    def finished_pictures(self) -> Iterator[Failed]:
        """Log the pictures that are done; yield those that could not be kept."""
        for picture in () if self._pictures is None else self._pictures.finished():
            frame = self._pictured.pop(picture.record)
            if isinstance(picture.outcome, OutputError):
                yield self.add_failure(frame, picture.outcome)
            else:
                self._attach(picture.record, picture.kind, picture.outcome)

    def so_far(self) -> SampleResult | None:
        """Decide on the sample by what was seen of it until now, by whichever process; None without a model."""
        return None if self.model is None else self._decided_by(self.model)

    def finish(self) -> list[Failed | Finished]:
        """Wait for the pictures, decide on the sample and log the verdict, unless there never was a frame to judge.

        Returns
        -------
        list of Failed or Finished
            Pictures that could not be kept; last the sample.
        """
        if self._pictures is not None:
            self._pictures.close()
        failed = list(self.finished_pictures())
        decided = None
        if self.model is not None:
            decided = self._journal.finish_sample(self._number, partial(self._decided_by, self.model))
        return [*failed, Finished(self.sample, self.logged, decided)]

    def _decided_by(self, model: Model) -> SampleResult:
        bundle = model.bundle
        classes = bundle.description.classes
        seen = self._journal.tally(self._number, bundle.identity, len(classes))
        return seen.decide(self.sample, bundle.description.decision, classes)

    def _attach(self, record: int, kind: str, picture: Path) -> None:
        try:
            self._journal.attach_picture(record, kind, picture)
        except JournalDiskFailed:
            # What a failing disk was told last may be there all the same, and a row without its picture is worse.
            raise
        except JournalError:
            _discard(picture)
            raise

    def _keep(self, pictures: PictureWriter, record: int, pixels: Pixels, result: FrameResult) -> None:
        self._pictured[record] = result.frame
        if self._save == "overlays" and self.model is not None:
            classes = self.model.bundle.description.classes
            pictures.wait_for_room()
            drawn = overlay.draw(pixels, result.tiles, classes, caption(result))
            pictures.put(record, "overlay", drawn, sample=self.sample)
        else:
            pictures.put(record, "frame", pixels, sample=self.sample)


def _discard(picture: Path) -> None:
    with suppress(OSError):
        picture.unlink()


def caption(result: FrameResult) -> str:
    """Write the line over an overlay, such as ``ALL 0.97, 32 of 65 tiles judged - research use only``."""
    if result.verdict is None or result.verdict == INDETERMINATE:
        said = f"{INDETERMINATE} ({result.reason})"
    else:
        said = f"{result.verdict} {result.probabilities[result.verdict]:.2f}"
    return f"{said}, {len(result.tiles)} of {result.tiles_total} tiles judged - research use only"


def run(
    camera: GuardedCamera,
    session: Session,
    *,
    count: int | None = None,
    interval_s: float = 0.0,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    told: Teller = told_nobody,
) -> Generator[Logged | Failed | Finished, None, None]:
    """Capture, judge and log frames until the camera has no more, `count` is reached, or something ends it.

    Capturing, preparing, judging and logging overlap; every frame is judged, and logged in the order of its capture.
    Whatever ends it, the sample's verdict so far is logged: after the frames ran out, Ctrl-C, a lost camera, or when
    the caller closes the generator. Only a journal that fails leaves none.

    Parameters
    ----------
    camera : GuardedCamera
        Open; not closed here.
    session : Session
        The sample.
    count : int, optional
        At most so many frames, unreadable ones included.
    interval_s : float
        Time from the beginning of one capture to that of the next, kept without drift; what was missed is skipped.
    waiting : callable
        Makes a context manager that is entered around every wait. An interruption raised there loses nothing: frames
        that are captured are finished first.
    told : callable
        Called with what happens to the camera as soon as it is logged: what, and a sentence on it.

    Yields
    ------
    Logged, Failed or Finished
        Each frame as soon as it is logged; at the end the sample.

    Raises
    ------
    CameraError, ScaleError, or what `waiting` raises
        What ended it early, after the sample's verdict.
    JournalError
        When the journal fails; all that was yielded is safe in it.
    """
    session.note("started", camera.name)
    ended = Event()
    shots = _shots(camera, count, interval_s, ended)
    ending: BaseException | None = None
    with Line(shots, session.model, keeps_pixels=session.keeps_pictures) as line:
        try:
            while not line.is_done:
                with waiting():
                    line.wait()
                yield from _taken_off(line, session, told)
        except JournalError:
            raise
        except BaseException as error:
            ending = error
        finally:
            ended.set()
        # What is captured is logged, whatever ended it.
        line.close()
        last = list(_rest(line, session, told))
    if ending is not None:
        gone = "whoever it was shown to went away"
        session.note("stopped", gone if isinstance(ending, GeneratorExit) else str(ending) or type(ending).__name__)
    if camera.counters.lost:
        session.note("camera", camera.counters.summary())
    finished = session.finish()
    # Whoever closed the generator listens no more; and who gave a wrong pixel size has not seen a sample.
    if not isinstance(ending, GeneratorExit) and (session.logged or not isinstance(ending, WbcError)):
        yield from last
        yield from finished
    if ending is not None:
        raise ending


def _shots(camera: GuardedCamera, count: int | None, interval_s: float, ended: Event) -> Iterator[Shot]:
    for due_s in islice(ticks(interval_s), count):
        if ended.wait(max(0.0, due_s - time.monotonic())):
            return
        yield Shot(camera.read)


def _taken_off(line: Line, session: Session, told: Teller) -> Iterator[Logged | Failed]:
    """Log what has come out of the line; raise what ended it."""
    while (outcome := line.pop()) is not None:
        if isinstance(outcome, Told):
            session.note(outcome.kind, outcome.detail)
            told(outcome.kind, outcome.detail)
        elif isinstance(outcome, Judged):
            yield session.add(outcome.result, outcome.pixels)
        elif isinstance(outcome, Broken) and isinstance(outcome.error, ImageError):
            yield session.add_failure(outcome.error.what, outcome.error)
        elif isinstance(outcome, Broken):
            raise outcome.error
        # It may hold 15 MB, which must not stay while the next one is waited for.
        del outcome
        yield from session.finished_pictures()


def _rest(line: Line, session: Session, told: Teller) -> Iterator[Logged | Failed]:
    """Log what was in hand when the session was ended; what else goes wrong does not matter any more."""
    while not line.is_done:
        line.wait()
        try:
            yield from _taken_off(line, session, told)
        except JournalError:
            raise
        except WbcError:
            continue


def ticks(interval_s: float, clock: Callable[[], float] = time.monotonic) -> Iterator[float]:
    """Yield when each frame is due, by the clock; neither drifts when a frame is slow nor catches up what was missed.

    Parameters
    ----------
    interval_s : float
        Time from one frame to the next, seconds; 0 is at once.
    clock : callable
        Seconds, monotonic.
    """
    begun_s = clock()
    tick = 0
    while True:
        yield begun_s + tick * interval_s
        # Of an interval next to nothing there are more than can be counted.
        missed = math.ceil(min((clock() - begun_s) / interval_s, _MOST_TICKS)) if interval_s else 0
        tick = max(tick + 1, missed)
