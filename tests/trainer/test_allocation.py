"""Memory that is freed and asked for again is not cleared by the kernel each time."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FREE_AND_ASK_AGAIN = """
import resource, sys
from trainer.allocation import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
blocks = [bytearray(20 << 20) for _ in range(3)]
del blocks
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    blocks = [bytearray(20 << 20) for _ in range(3)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FREE_AND_ASK_AGAIN, how], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_kept_for_what_is_asked_for_next() -> None:
    assert page_faults("given back") > 10_000
    assert page_faults("kept") < 1000
