"""What native libraries write to standard error: kept from the user, read as evidence.

libjpeg and libpng report damage only by a line on the process's standard error, past Python and past
OpenCV's log level, and hand over the half-gray picture all the same.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_STDERR = 2
_LOG_LEVEL_ERROR = 2
_DECODERS = re.compile(
    rb"^(?:Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|Invalid SOS|Unknown Adobe|"
    rb"Warning: unknown JFIF|libpng |imdecode_|\[ ?(?:ERROR|WARN|INFO):).*\n*",
    re.MULTILINE,
)
_HARMLESS = re.compile(r"extraneous bytes before marker|libpng warning|unknown JFIF|Unknown Adobe|\[ ?(?:WARN|INFO)")
_one_at_a_time = threading.Lock()


@contextmanager
def native_messages() -> Iterator[list[str]]:
    """Collect what image decoders write to standard error while the block runs.

    Only for short work that cannot hang: standard error is the whole process's. What other threads wrote
    in the meantime is passed on afterwards; two threads take turns.

    Yields
    ------
    list of str
        The decoders' lines; filled when the block ends.
    """
    lines: list[str] = []
    with _one_at_a_time:
        try:
            original = os.dup(_STDERR)
        except OSError:  # a daemon without standard error: nothing to keep from anyone
            yield lines
            return
        reader, writer = os.pipe()
        # A full pipe must drop what comes, never block the decoder that nobody reads from yet.
        os.set_blocking(writer, False)
        _flush()
        os.dup2(writer, _STDERR)
        os.close(writer)
        try:
            yield lines
        finally:
            _flush()
            os.dup2(original, _STDERR)
            os.close(original)
            with os.fdopen(reader, "rb") as collected:
                text = collected.read()
            lines += [line.decode("utf-8", "replace").strip() for line in _DECODERS.findall(text)]
            if others := _DECODERS.sub(b"", text):
                os.write(_STDERR, others)


def tells_damage(messages: list[str]) -> bool:
    """Tell whether decoders' messages mean that pixels are missing or wrong."""
    return any(not _HARMLESS.search(message) for message in messages)


def only_errors() -> None:
    """Keep OpenCV's warnings about devices to itself; we raise what they are about.

    Who set ``OPENCV_LOG_LEVEL`` wants to see them.
    """
    if "OPENCV_LOG_LEVEL" not in os.environ:
        logging = getattr(cv2.utils, "logging", cv2)  # it moved after OpenCV 4
        logging.setLogLevel(_LOG_LEVEL_ERROR)


def _flush() -> None:
    # None under pythonw-like starts, closed after a broken pipe.
    if sys.stderr is not None and not sys.stderr.closed:
        sys.stderr.flush()
