"""A camera's losses are told at once, and then by number, so that a camera lost for good does not fill the trail."""

from __future__ import annotations

import pytest

from edge.daemon.outage import Outage

LOST, REOPENED = "camera lost", "camera reopened"
HOUR_S = 3600.0


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock) -> Outage:
    return Outage(clock)


def test_the_first_loss_and_reopening_are_told_and_the_others_counted_for_an_hour(clock: Clock, outage: Outage) -> None:
    assert [outage.is_news(kind) for kind in (LOST, REOPENED, LOST, REOPENED, LOST)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert outage.by_number() == ""
    clock.now_s = HOUR_S
    assert outage.by_number() == "camera lost: 2 more, camera reopened: 1 more"
    assert outage.by_number() == ""


def test_one_that_is_lost_for_good_is_told_once_an_hour(clock: Clock, outage: Outage) -> None:
    told = []
    for second in range(0, 10 * 3600 + 1, 10):
        clock.now_s = float(second)
        told.append("itself" if outage.is_news(LOST) else outage.by_number())
    assert [each for each in told if each] == ["itself", *["camera lost: 360 more"] * 10]


def test_a_loss_after_an_hour_without_any_is_told_by_itself(clock: Clock, outage: Outage) -> None:
    assert outage.is_news(LOST)
    clock.now_s = HOUR_S - 1
    assert not outage.is_news(LOST)
    clock.now_s = HOUR_S
    assert outage.by_number() == "camera lost: 1 more"
    clock.now_s = 2 * HOUR_S
    assert outage.is_news(LOST)


def test_what_was_counted_is_told_when_there_is_no_more_time(outage: Outage) -> None:
    outage.is_news(LOST)
    outage.is_news(LOST)
    assert outage.by_number(is_last=True) == "camera lost: 1 more"
    assert outage.by_number(is_last=True) == ""
