"""What the service does between frames, to be left alone: retention, a full disk, the clock, heat, the journal."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from threading import enumerate as enumerate_threads

from edge import board
from edge.daemon.clock import ClockWatch
from edge.daemon.health import Bulletin
from edge.daemon.words import Say
from edge.errors import JournalCorrupt, JournalDiskFailed, JournalError, JournalLocked, StorageFull
from edge.journal import Journal
from edge.journal.reserve import Reserve
from edge.journal.retention import Policy, Pruned, steps
from edge.journal.upkeep import compact, last_detail, last_event_s
from edge.settings import Config

_LOOK_EVERY_S = 5.0
_PRUNE_EVERY_S = 600.0
_PRUNE_FOR_S = 0.2
"""So long at a time while no frame waits; while one does, a step at a time."""

_MAKE_ROOM_FOR_S = 5.0
"""A disk that is nearly full is worth a few frames: pictures go for so long before the next one is taken."""

_CHECKER = "check"
"""Name of the thread that reads the journal through."""

_INTEGRITY = "integrity"
"""Kind of the event that says what the reading found."""

_BOARD = "board"
"""Kind of the event that says what slows the board down."""

_TELL_DISK_EVERY_S = _TELL_BOARD_EVERY_S = 3600.0
_AT = ", at "
_DAY_S = 86_400.0


def free_mb(folder: Path) -> float:
    """Say how many megabytes are free on the disk of a folder."""
    return shutil.disk_usage(folder).free / 1e6


class Upkeep:
    """Keeps journal, disk and clock in order, a little at a time; raises nothing but what must end the work.

    Parameters
    ----------
    settings : Config
        The configuration in force.
    journal : Journal
        Open for writing.
    bulletin : Bulletin
        Where it says what it found.
    say : callable
        The service's log.
    clock : ClockWatch
        Compares the clocks.
    free : callable
        Megabytes that are free on the disk of a folder.

    Attributes
    ----------
    keeps_pictures : bool
        Whether there is room for pictures.

    Raises
    ------
    StorageFull
        When there is no room to capture at all.
    """

    def __init__(
        self,
        settings: Config,
        journal: Journal,
        bulletin: Bulletin,
        say: Say,
        clock: ClockWatch,
        free: Callable[[Path], float] = free_mb,
    ) -> None:
        self.keeps_pictures = True
        self._settings, self._journal, self._bulletin, self._say = settings, journal, bulletin, say
        self._clock, self._free = clock, free
        self._found: SimpleQueue[tuple[str, list[str]]] = SimpleQueue()
        self._told_unremovable = False
        self._slowed = (last_detail(journal, _BOARD) or "").partition(_AT)[0]
        self._made_again = self._told_again = 0
        self._look_s = self._prune_s = self._tell_disk_s = time.monotonic()
        self._pruning: Generator[Pruned, None, None] | None = None
        self._gone = Pruned()
        self._tell_pictures()
        if (checked_s := last_event_s(journal, _INTEGRITY)) is not None:
            self._tell_checked(checked_s, last_detail(journal, _INTEGRITY) or "")
        if self._free(journal.path.parent) < settings.keep_free_mb:
            with self._later():
                self._make_room()
        self._demand_room()
        if not Reserve(journal.path).hold():
            self._warn("disk", "no space could be put by for the log of a full disk")

    def work(self, is_idle: bool) -> None:
        """Do what is due; to be called often.

        Parameters
        ----------
        is_idle : bool
            Whether no frame waits: then there is time for what is not urgent.

        Raises
        ------
        StorageFull
            When there is no room to capture any more.
        JournalError
            When the journal cannot be written.
        """
        now_s = time.monotonic()
        if now_s >= self._look_s:
            self._look_s = now_s + _LOOK_EVERY_S
            self._look(now_s, is_idle)
        if self._pruning is not None:
            with self._later():
                self._prune(_PRUNE_FOR_S if is_idle else 0.0)

    def close(self) -> None:
        """Throw no more away, so that others may, and tell of the disk what the next one cannot know."""
        if self._pruning is not None:
            self._pruning.close()
        with suppress(JournalError):  # it may end because of just that
            self._watch_disk(math.inf)

    def _look(self, now_s: float, is_idle: bool) -> None:
        self._watch_clock()
        self._watch_room()
        if self._pruning is None and now_s >= self._prune_s:
            self._prune_s = now_s + _PRUNE_EVERY_S
            self._pruning = self._begun_pruning()
        if is_idle:
            with self._later():
                compact(self._journal)
        self._watch_disk(now_s)
        self._watch_board()
        self._check()

    def _begun_pruning(self) -> Generator[Pruned, None, None]:
        """Throw away what the configuration no longer keeps, a step at a time."""
        settings = self._settings
        is_trusted = self._clock.is_trusted
        if not is_trusted and (settings.keep_picture_days or settings.keep_frame_days):
            self._say("warning", "the clock jumped: for a day nothing is thrown away for its age")
        policy = Policy(
            picture_days=(settings.keep_picture_days or None) if is_trusted else None,
            frame_days=(settings.keep_frame_days or None) if is_trusted else None,
            picture_mb=settings.keep_picture_mb or None,
            free_mb=settings.keep_free_mb or None,
            reviewed_first=settings.prune_first == "reviewed",
        )
        return steps(self._journal, policy, free_mb=self._free)

    def _prune(self, for_s: float) -> None:
        """Go on throwing away, for one step at least; tell of it at the end."""
        until_s = time.monotonic() + for_s
        for gone in self._pruning or ():
            self._gone += gone
            if time.monotonic() >= until_s:
                return
        self._pruning = None
        gone, self._gone = self._gone, Pruned()
        self._tell_gone(gone)

    def _make_room(self) -> None:
        """Throw pictures away until enough is free, for a while at most."""
        settings = self._settings
        policy = Policy(free_mb=settings.keep_free_mb, reviewed_first=settings.prune_first == "reviewed")
        until_s = time.monotonic() + _MAKE_ROOM_FOR_S
        gone = Pruned()
        for step in steps(self._journal, policy, free_mb=self._free):
            gone += step
            if time.monotonic() >= until_s:
                break
        self._tell_gone(gone)

    def _tell_gone(self, gone: Pruned) -> None:
        if gone.pictures or gone.frames:
            self._say("info", f"thrown away: {gone.pictures} pictures, {gone.frames} frames")
        if gone.problem and not self._told_unremovable:
            self._told_unremovable = True
            self._warn("disk", f"a picture cannot be removed: {gone.problem}")

    @contextmanager
    def _later(self) -> Iterator[None]:
        """Leave what the disk failed, or another is at, to the next look: it is no reason to take no frames."""
        try:
            yield
        except (JournalDiskFailed, JournalLocked) as error:
            self._pruning, self._prune_s = None, self._look_s
            self._bulletin.failed(str(error))

    def _watch_disk(self, now_s: float) -> None:
        """Tell of a disk that took some writes only when they were made again."""
        again, folder = self._journal.made_again, self._journal.path.parent
        said = f"{again} writes failed and were made again; back the journal up, and replace the disk"
        if again != self._made_again:
            self._made_again = again
            self._bulletin.failed(f"disk of {folder}: {said}")
        if again != self._told_again and now_s >= self._tell_disk_s:
            self._told_again, self._tell_disk_s = again, now_s + _TELL_DISK_EVERY_S
            # Logged first: a disk that fails this too ends the work for a reason that is said, and once.
            self._journal.event("disk", said)
            self._say("warning", f"disk: {said}")

    def _watch_board(self) -> None:
        """Tell of what slows the board down when that is another than before, once an hour: no event is ever pruned."""
        slowed = "; ".join(board.throttling())
        if slowed == self._slowed:
            return
        if slowed:
            last_s = last_event_s(self._journal, _BOARD)
            if last_s is not None and abs(time.time() - last_s) < _TELL_BOARD_EVERY_S:
                return
            hottest_c = board.temperature_c()
            self._warn(_BOARD, slowed if hottest_c is None else f"{slowed}{_AT}{hottest_c:.0f} degrees Celsius")
        self._slowed = slowed

    def _watch_clock(self) -> None:
        if jump_s := self._clock.jump_s():
            now = datetime.now().astimezone()
            way = "forward" if jump_s > 0 else "back"
            self._warn("clock", f"set {way} by {abs(jump_s):.1f} s, to {now:%Y-%m-%d %H:%M:%S %z}")

    def _watch_room(self) -> None:
        settings = self._settings
        if self._free(self._journal.path.parent) < settings.keep_free_mb:
            # Again and again only while pictures come: what is over the limit then is what came since.
            if self.keeps_pictures:
                with self._later():
                    self._make_room()
            has_room = self._free(self._journal.path.parent) >= settings.keep_free_mb
        else:
            has_room = True
        if has_room != self.keeps_pictures and settings.save != "none":
            said = (
                "there is room again: pictures are kept"
                if has_room
                else (f"less than {settings.keep_free_mb:g} MB are free: no more pictures are kept")
            )
            self._warn("disk", said)
        if has_room != self.keeps_pictures:
            self.keeps_pictures = has_room
            self._tell_pictures()
        self._demand_room()

    def _tell_pictures(self) -> None:
        self._bulletin.change(pictures="kept" if self.keeps_pictures and self._settings.save != "none" else "")

    def _demand_room(self) -> None:
        folder, least_mb = self._journal.path.parent, self._settings.least_free_mb
        if self._free(folder) < least_mb:
            why = f"less than {least_mb:g} MB are free: no frame is captured"
            raise StorageFull(f"disk of {folder}", why, "Free some space, or lower least_free_mb")

    def _check(self) -> None:
        """Have the journal read through in a thread of its own, and log what was found."""
        # Also one begun before the service began anew. Looked for before its finding, which is there when it is gone.
        is_checking = any(thread.name == _CHECKER for thread in enumerate_threads())
        try:
            complaint, problems = self._found.get_nowait()
        except Empty:
            if not is_checking:
                self._begin_check()
            return
        said = "; ".join(problems[:5]) or "sound"
        self._journal.event(_INTEGRITY, said)
        self._tell_checked(time.time(), said)
        if problems:
            self._say("error", f"journal {self._journal.path} {complaint}: {said}")
            self._bulletin.failed(f"journal {complaint}: {said}")

    def _tell_checked(self, at_s: float, said: str) -> None:
        self._bulletin.change(journal_checked=f"{datetime.fromtimestamp(at_s).astimezone():%Y-%m-%d %H:%M}: {said}")

    def _begin_check(self) -> None:
        if not self._settings.check_days:
            return
        last_s = last_event_s(self._journal, _INTEGRITY)
        # The absolute value, since a clock that was ahead once must not put off the next look for years.
        if last_s is not None and abs(time.time() - last_s) < self._settings.check_days * _DAY_S:
            return
        Thread(target=_read_through, args=(self._journal.path, self._found), name=_CHECKER, daemon=True).start()

    def _warn(self, kind: str, detail: str) -> None:
        self._say("warning", f"{kind}: {detail}")
        self._journal.event(kind, detail)


def _read_through(path: Path, found: SimpleQueue[tuple[str, list[str]]]) -> None:
    try:
        with Journal.open_read_only(path) as journal:
            found.put(("is damaged", journal.check()))
    except JournalCorrupt as error:
        found.put(("is damaged", [str(error)]))
    except Exception as error:  # nobody else would hear of it
        found.put(("could not be read through", [str(error) or type(error).__name__]))
