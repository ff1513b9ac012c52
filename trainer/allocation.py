"""How the C library deals with memory that a training frees and asks for again a moment later."""

from __future__ import annotations

import ctypes
import platform

# Numbers of mallopt(3)'s options, and what they are set to in bytes; the last at the most that glibc takes.
_TRIM_THRESHOLD = (-1, 1 << 30)
_TOP_PAD = (-2, 64 << 20)
_MMAP_THRESHOLD = (-3, 32 << 20)


def keep_freed_memory() -> bool:
    """Have glibc keep what this process frees for what it asks for next, up to a gigabyte.

    A step of a training frees and takes hundreds of megabytes. By default they go back to the kernel each time, which
    clears every page before it gives it out again: 0.62 s a step instead of 0.39 for ``cell-dense-light`` on one core
    (2026-11-26).

    Returns
    -------
    bool
        Whether this C library is one that can.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, size) for option, size in (_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD))
