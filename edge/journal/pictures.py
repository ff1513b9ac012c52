"""Pictures kept beside the journal, encoded and written off the path from a frame to its verdict."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, count
from pathlib import Path
from threading import BoundedSemaphore
from types import TracebackType
from typing import NamedTuple

from edge import durable
from edge.errors import OutputError
from edge.frame import Pixels

FOLDER = "pictures"
"""Name of the folder beside a journal in which its pictures are."""

_JPEG_QUALITY = 90
_REMEDY = "Free some space there, or name a folder that this user can write."


class FinishedPicture(NamedTuple):
    """What became of a picture.

    Attributes
    ----------
    record : int
        Number of the frame's record.
    kind : str
        What it shows.
    outcome : Path or OutputError
        The file, safely on the disk; or why there is none.
    """

    record: int
    kind: str
    outcome: Path | OutputError


class PictureWriter:
    """Writes pictures from a thread of its own: each is whole and on the disk, or is not there; none replaces another.

    No picture asked for is lost: when encoding falls behind, :meth:`put` waits. Whoever asked collects :meth:`finished`
    and only then attaches the files to the journal. A context manager; leaving it waits for the rest, which
    :meth:`finished` then still yields.

    Parameters
    ----------
    folder : str or path-like
        Where the pictures go, below a folder for each sample; made if missing.
    pending : int
        How many pictures may wait or be in work; each holds its pixels in memory.

    Raises
    ------
    OutputError
        When the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], *, pending: int = 1) -> None:
        self.folder = Path(folder).absolute()
        try:
            durable.make_folder(self.folder)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        if not os.access(self.folder, os.W_OK | os.X_OK, effective_ids=True):
            raise OutputError(f"folder {self.folder}", "it cannot be written", _REMEDY)
        self._slots = BoundedSemaphore(pending)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")
        self._asked: deque[Future[FinishedPicture]] = deque()

    def wait_for_room(self) -> None:
        """Wait until :meth:`put` would not: whoever first has to make a picture need not hold it meanwhile."""
        with self._slots:
            pass

    def put(self, record: int, kind: str, pixels: Pixels, *, sample: str = "") -> None:
        """Ask for a picture; waits while too many are pending.

        Parameters
        ----------
        record : int
            Number of the frame's record.
        kind : str
            What it shows, in small ASCII letters, digits and hyphens. A ``frame`` is kept as PNG, to the last bit, so
            that it can be judged again; what is drawn, such as an ``overlay``, as JPEG.
        pixels : ndarray
            Shape (height, width, 3), uint8, BGR; not to be changed afterwards.
        sample : str
            The sample's identifier, from which the folder's name is made.

        Raises
        ------
        ValueError
            When `kind` cannot be part of a file's name.
        """
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind):
            raise ValueError(f"no kind of picture: {kind!r}")
        self._slots.acquire()
        self._asked.append(self._thread.submit(self._write, record, kind, pixels, sample))

    def finished(self) -> Iterator[FinishedPicture]:
        """Yield the pictures that are done, each once, in the order in which they were asked for; never waits."""
        while self._asked and self._asked[0].done():
            yield self._asked.popleft().result()

    def close(self) -> None:
        """Wait until every picture is done; may be called twice."""
        self._thread.shutdown()

    def __enter__(self) -> PictureWriter:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until every picture is done."""
        self.close()

    def _write(self, record: int, kind: str, pixels: Pixels, sample: str) -> FinishedPicture:
        folder = self.folder / folder_name(sample)
        try:
            suffix, encoded = _encoded(kind, pixels)
            durable.make_folder(folder)
            return FinishedPicture(record, kind, _write_new(folder, f"{record:06d}-{kind}", suffix, encoded))
        except OutputError as error:
            return FinishedPicture(record, kind, error)
        except OSError as error:
            return FinishedPicture(record, kind, _unwritable(folder, error))
        finally:
            self._slots.release()


def folder_name(sample: str) -> str:
    """Return a name for a sample's folder that is safe whatever its user typed.

    Letters and digits of any script, dots, underscores and hyphens stay; anything else becomes a hyphen; no name is
    hidden, empty, a way out of the folder, or longer than a file system takes.

    Parameters
    ----------
    sample : str
        The sample's identifier.
    """
    return re.sub(r"[^\w.-]+", "-", sample)[:60].strip(".-") or "sample"


def _encoded(kind: str, pixels: Pixels) -> tuple[str, bytes]:
    """Give the suffix and the content of a picture's file."""
    import cv2

    suffix, parameters = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    if kind == "frame":
        # Without loss: judged again from JPEG, 37 of 378 small fields had another verdict. Of PNG's ways the one that
        # takes a third of the usual time, for files that are no larger.
        suffix, parameters = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]
        parameters += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]
        parameters += [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
    try:
        whole, encoded = cv2.imencode(suffix, pixels, parameters)
    except cv2.error as error:
        raise OutputError("picture", f"OpenCV cannot encode it ({error.err})") from error
    if not whole:
        raise OutputError("picture", f"OpenCV cannot encode {pixels.shape} pixels as {suffix}")
    return suffix, encoded.tobytes()


def _write_new(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    # A journal that was begun anew counts from 1 again: the pictures of the old one stay.
    stems = chain([stem], (f"{stem}-{number}" for number in count(2)))
    file = next(path for path in (folder / f"{name}{suffix}" for name in stems) if not path.exists())
    part = folder / f".{file.name}.part"
    try:
        with durable.begin(part) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
        durable.sync_folder(folder)
    except BaseException:
        # Nobody hears of this file: left there, it would never be thrown away.
        for left in (part, file):
            left.unlink(missing_ok=True)
        raise
    return file


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"folder {folder}", error.strerror or str(error), _REMEDY)
