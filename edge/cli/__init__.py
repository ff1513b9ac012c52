"""The command line of the device.

This module is small, so that a signal is understood from the first moments on; :mod:`edge.cli.commands` says which
commands there are, and each is a module of its own.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

from edge.cli.signals import Interruptions

_LAST_MOMENT_S = 0.1
"""Threads that are about to end may do so."""


def main() -> None:
    """Run ``wbc-edge`` with the process's arguments, and end the process with its exit code."""
    try:
        _run()
    except SystemExit as ended:
        if _threads_hang():
            _leave(ended)
        raise


def _run() -> None:
    interruptions = Interruptions()
    try:
        with interruptions.installed():
            from edge.cli.commands import command_line

            command_line(prog_name="wbc-edge", obj=interruptions)
    except BaseException:
        if interruptions.received:
            sys.exit(interruptions.received.exit_code)
        raise


def _threads_hang() -> bool:
    until_s = time.monotonic() + _LAST_MOMENT_S
    while any(thread.daemon for thread in threading.enumerate()):
        if time.monotonic() > until_s:
            return True
        time.sleep(_LAST_MOMENT_S / 100)
    return False


def _leave(ended: SystemExit) -> None:
    """End the process without tidying the interpreter up.

    That would end a thread of a camera that did not answer in time in the middle of what it does; in C++, as in OpenCV,
    that aborts the process with a line and an exit code of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    code = ended.code
    os._exit(code if isinstance(code, int) else int(code is not None))
