"""What makes the service take a frame does so once for each reason, and nothing outruns the camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import numpy as np
import pytest

from edge.camera import CameraSettings
from edge.camera.doubles import ScriptedCamera
from edge.camera.guard import GuardedCamera, told_nobody
from edge.daemon.orders import Order
from edge.daemon.triggers import Desk, Interval, Surroundings, Trigger, configured
from edge.errors import ServiceUnavailable, TriggerUnavailable
from edge.journal import Journal
from edge.line import Shot
from edge.settings import Config

FIELD = np.zeros((32, 32, 3), np.uint8)


@pytest.fixture
def camera() -> Iterator[GuardedCamera]:
    settings = CameraSettings(um_per_px=0.1)
    with closing(
        GuardedCamera("scripted", settings, opener=lambda _, given: ScriptedCamera(iter([FIELD] * 99), given))
    ) as camera:
        yield camera


@pytest.fixture
def made(camera: GuardedCamera, tmp_path: Path) -> Iterator[Callable[..., tuple[list[Trigger], list[Order]]]]:
    """Make the triggers of a configuration, and close them."""
    with ExitStack() as opened:
        journal = opened.enter_context(Journal.open(tmp_path / "journal.sqlite3"))

        def make(**settings: Any) -> tuple[list[Trigger], list[Order]]:
            orders: list[Order] = []
            surroundings = Surroundings(Config(**settings), camera, orders.append, journal, told_nobody)
            return configured(surroundings, opened), orders

        yield make


def test_a_configuration_without_any_has_none(made: Callable[..., Any]) -> None:
    assert made() == ([], [])


def test_the_interval_is_kept_without_drift_and_what_was_missed_is_skipped(camera: GuardedCamera) -> None:
    now_s = 100.0
    interval = Interval(camera, 10.0, lambda: now_s)
    due = []
    for late_s in (0.0, 3.0, 25.0, 0.5):
        due.append(interval.due_s)
        now_s = interval.due_s + late_s
        assert interval.shot().may_drop
    assert due == [110, 120, 130, 160]


def test_a_live_frame_may_be_dropped_and_an_ordered_one_may_not(camera: GuardedCamera) -> None:
    desk = Desk(camera, [Interval(camera, 0.001)])
    shots = desk.shots()
    assert next(shots).may_drop
    order = Order("frame")
    desk.put(order)
    taken = next(shot for shot in shots if shot.errand is order)
    assert not taken.may_drop
    assert taken.take is not None


def test_no_frame_of_a_sample_may_be_dropped_from_the_order_that_starts_it_on(camera: GuardedCamera) -> None:
    desk = Desk(camera, [Interval(camera, 0.001)])
    shots = desk.shots()
    for order, may_drop in ((Order("start", "S-1"), False), (Order("frame"), False), (Order("finish"), True)):
        desk.put(order)
        next(shot for shot in shots if shot.errand is order)
        assert {shot.may_drop for shot in islice(shots, 3)} == {may_drop}


def test_a_sample_that_is_open_already_keeps_every_frame(camera: GuardedCamera) -> None:
    assert not next(Desk(camera, [Interval(camera, 0.001)], is_live=False).shots()).may_drop


def test_orders_are_taken_in_turn_and_those_left_are_refused(camera: GuardedCamera) -> None:
    desk = Desk(camera, [])
    orders = [Order("start", "S-1"), Order("frame"), Order("finish")]
    for order in orders:
        desk.put(order)
    shots = list(islice(desk.shots(), 2))
    assert [shot.errand for shot in shots] == orders[:2]
    assert [shot.take is None for shot in shots] == [True, False]
    desk.close()
    desk.take_back(shots[1])
    desk.refuse_rest()
    for order in orders[1:]:
        with pytest.raises(ServiceUnavailable, match="Ask again"):
            order.reply.result(0)
    assert not orders[0].reply.done()
    # Nor does a capturing thread wait there that comes late.
    assert list(desk.shots()) == []


class Greedy:
    """Always has another image."""

    due_s = 0.0

    def shot(self) -> Shot:
        return Shot(errand=self)

    def close(self) -> None:
        """There is nothing to release."""


@pytest.mark.timeout(30)
def test_a_trigger_whose_time_is_past_is_not_waited_for(camera: GuardedCamera, busy: None) -> None:
    for _ in range(2000):
        assert next(Desk(camera, [Greedy()]).shots()).errand is not None


def test_who_always_has_another_image_keeps_neither_orders_nor_the_interval_waiting(camera: GuardedCamera) -> None:
    greedy, order = Greedy(), Order("frame")
    desk = Desk(camera, [greedy, Interval(camera, 0.001)])
    shots = desk.shots()
    assert [next(shots).errand for _ in range(2)].count(greedy) >= 1
    desk.put(order)
    Event().wait(0.01)
    # Each of them within a round, whoever's turn it is.
    assert {shot.errand for shot in islice(shots, 3)} == {greedy, order, None}


class Slow:
    """Takes its time to say whether it has another image: until it is let."""

    def __init__(self, due_s: float) -> None:
        self.due_s = due_s
        self.asked, self.let = Event(), Event()

    def shot(self) -> Shot:
        self.asked.set()
        self.let.wait()
        return Shot()

    def close(self) -> None:
        """There is nothing to release."""


def test_who_hangs_when_its_time_has_come_is_overdue_and_who_captures_is_not(camera: GuardedCamera) -> None:
    slow = Slow(time.monotonic() - 100)
    desk = Desk(camera, [slow])
    shots = desk.shots()
    with ThreadPoolExecutor(1) as capturing:
        for _ in range(2):
            assert desk.overdue_s() == 0
            taken = capturing.submit(next, shots)
            assert slow.asked.wait(20)
            before_s = desk.overdue_s()
            time.sleep(0.01)
            # Counted from when it could be asked: that it had to wait for another's frame is no sign of a hang.
            assert before_s < desk.overdue_s() < 100
            slow.let.set()
            taken.result()
            slow.asked.clear()
            slow.let.clear()
        assert desk.overdue_s() == 0


def test_whose_time_has_not_come_is_not_overdue(camera: GuardedCamera) -> None:
    desk = Desk(camera, [Slow(time.monotonic() + 1000)])
    with ThreadPoolExecutor(1) as capturing:
        taken = capturing.submit(lambda: list(desk.shots()))
        desk.put(order := Order("finish"))
        time.sleep(0.05)
        assert desk.overdue_s() == 0
        desk.close()
        assert [shot.errand for shot in taken.result()] == [order]
    assert desk.overdue_s() == 0


@pytest.fixture
def pins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give gpiozero's own stand-in for the pins of a board."""
    devices = pytest.importorskip("gpiozero", reason="gpiozero is not installed").Device
    from gpiozero.pins.mock import MockFactory

    monkeypatch.setattr(devices, "pin_factory", MockFactory())
    yield devices.pin_factory
    devices.pin_factory.reset()


def test_a_press_of_the_button_is_an_order_for_a_frame(made: Callable[..., Any], pins: Any) -> None:
    (button,), orders = made(button_gpio=17, button_bounce=0.0)
    pin = pins.pin(17)
    for _ in range(2):
        pin.drive_low()
        pin.drive_high()
    assert [(order.what, order.who) for order in orders] == [("frame", "button")] * 2
    button.close()
    pin.drive_low()
    assert len(orders) == 2


def test_a_button_that_is_active_high_is_pressed_by_a_high_level(made: Callable[..., Any], pins: Any) -> None:
    _, orders = made(button_gpio=4, button_active="high", button_bounce=0.0)
    pins.pin(4).drive_high()
    assert [order.what for order in orders] == ["frame"]


def test_a_button_that_is_held_finishes_the_sample_instead(made: Callable[..., Any], pins: Any) -> None:
    finished = Event()
    (_button,), orders = made(button_gpio=17, button_bounce=0.0, button_hold=0.05)
    pin = pins.pin(17)
    pin.drive_low()
    while not orders and not finished.wait(0.01):
        pass
    pin.drive_high()
    pin.drive_low()
    pin.drive_high()
    assert [order.what for order in orders] == ["finish", "frame"]


def test_a_pin_that_cannot_be_used_is_told_with_what_to_do(made: Callable[..., Any], pins: Any) -> None:
    made(button_gpio=17)
    with pytest.raises(TriggerUnavailable, match=r"GPIO 17.*gpiozero"):
        made(button_gpio=17)


def test_settings_of_a_button_are_bounded() -> None:
    for wrong in ({"button_gpio": 28}, {"button_bounce": -1}, {"button_active": "up"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Config)
    assert replace(Order("frame"), who="x").who == "x"
