"""What native libraries write to the process's standard error, past Python: kept from the user, or read as evidence."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_one_at_a_time = threading.Lock()


@contextmanager
def native_messages(pattern: re.Pattern[bytes]) -> Iterator[list[str]]:
    """Collect what a native library writes to standard error while the block runs.

    Only for short work that cannot hang: standard error is the whole process's. What else was written in the meantime
    is passed on afterwards; two threads take turns.

    Parameters
    ----------
    pattern : re.Pattern of bytes
        What the library's messages look like.

    Yields
    ------
    list of str
        The messages; filled when the block ends.
    """
    messages: list[str] = []
    with _one_at_a_time:
        try:
            original = os.dup(_STDERR)
        except OSError:  # a daemon without standard error: nothing to keep from anyone
            yield messages
            return
        reader, writer = os.pipe()
        # A full pipe must drop what comes, never block the library that nobody reads from yet; and what there is must
        # be read without waiting for its end, which a process begun meanwhile holds as its own standard error.
        os.set_blocking(writer, False)
        os.set_blocking(reader, False)
        _flush()
        os.dup2(writer, _STDERR)
        os.close(writer)
        try:
            yield messages
        finally:
            _flush()
            os.dup2(original, _STDERR)
            os.close(original)
            with os.fdopen(reader, "rb", buffering=0) as collected:
                text = collected.read() or b""
            messages += [message.decode("utf-8", "replace").strip() for message in pattern.findall(text)]
            if others := pattern.sub(b"", text):
                os.write(_STDERR, others)


def _flush() -> None:
    # None under pythonw-like starts, closed after a broken pipe.
    if sys.stderr is not None and not sys.stderr.closed:
        sys.stderr.flush()
