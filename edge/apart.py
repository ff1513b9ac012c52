"""A module run as a process of its own, for what may crash, hang or spoil its caller's times: the caller goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a process.

    Attributes
    ----------
    output : bytes
        What it wrote to standard output.
    problem : str
        How it failed: ``died of SIGSEGV``, ``took longer than 45 s``, or the last that it said; empty when it did not.
    """

    output: bytes = b""
    problem: str = ""


def run(module: str, arguments: Sequence[str], timeout_s: float) -> Outcome:
    """Run a module, and wait for its end.

    Parameters
    ----------
    module : str
        As ``python -m`` takes it.
    arguments : sequence of str
        The module's; paths must be absolute.
    timeout_s : float
        How long it may take, seconds; it is killed then.

    Returns
    -------
    Outcome
        What it wrote, and how it failed if it did.
    """
    try:
        with deaf():
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                # Python looks for modules in the working folder first, and that may be anybody's.
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
    except OSError as error:
        return Outcome(problem=f"cannot be started: {error.strerror}")
    with process:
        try:
            output, said = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return Outcome(problem=f"took longer than {timeout_s:g} s")
        except BaseException:
            process.kill()
            raise
    if not process.returncode:
        return Outcome(output)
    lines = said.decode("utf-8", "replace").strip().splitlines()
    # What a process said before it was killed is not why.
    return Outcome(output, lines[-1] if lines and process.returncode > 0 else ending(process.returncode))


def ending(code: int | None) -> str:
    """Say in words how a process ended.

    Parameters
    ----------
    code : int or None
        Its exit code; of a signal the negative number.

    Returns
    -------
    str
        Such as ``died of SIGSEGV``.
    """
    if code is not None and code < 0:
        return f"died of {signal.Signals(-code).name}"
    return f"ended with {code}"


@contextmanager
def deaf() -> Iterator[None]:
    """Let a process that is begun in the block hear nothing of Ctrl-C and of a unit that is stopped.

    Both are told to all processes at once, and it would be taken for broken. Whoever began it ends it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
