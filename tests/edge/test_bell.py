"""A bell wakes whoever waits for it, once, and never keeps anybody longer than was said."""

from __future__ import annotations

import signal
import time
from threading import Timer
from types import FrameType

import pytest

from edge.bell import Bell

PATIENCE_S = 20.0


def test_it_wakes_the_one_who_waits() -> None:
    bell = Bell()
    Timer(0.05, bell.ring).start()
    begun_s = time.monotonic()
    assert bell.wait(PATIENCE_S)
    assert time.monotonic() - begun_s < PATIENCE_S / 2


def test_rung_before_anybody_waits_it_wakes_once() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.wait()
    assert not bell.wait(0.0)


def test_nobody_waits_longer_than_was_said() -> None:
    begun_s = time.monotonic()
    assert not Bell().wait(0.1)
    assert 0.1 <= time.monotonic() - begun_s < PATIENCE_S


@pytest.mark.timeout(30)
def test_however_short_the_wait_it_ends(busy: None) -> None:
    for _ in range(300):
        assert not Bell().wait(1e-6)


def test_a_signal_handler_may_ring_it_for_the_thread_that_it_interrupts() -> None:
    bell = Bell()

    def ring(number: int, frame: FrameType | None) -> None:
        bell.ring()

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert bell.wait(PATIENCE_S)
    finally:
        signal.signal(signal.SIGALRM, before)
