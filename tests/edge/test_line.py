"""Frames on the line overlap, keep their order, and are lost only where that was asked for."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Timer
from typing import Any

import cv2
import numpy as np
import pytest

from edge import pipeline
from edge.bell import Bell
from edge.camera import EndOfFrames
from edge.camera.guard import Teller
from edge.errors import CameraLost, ImageError, InferenceFailed, RuntimeUnavailable
from edge.frame import Frame, Pixels
from edge.line import Broken, Judged, Line, Outcome, Passed, Shot, Told
from edge.model import Model, Runtime, open_model, shelf
from edge.model.runtime import Outputs
from edge.pipeline import classify
from edge.simulator import Smear, draw

PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def model() -> Model:
    return open_model(shelf.find(None))


@pytest.fixture(scope="module")
def cells() -> Pixels:
    return draw(Smear(kind="MM", size_px=(640, 480)), 1).pixels


class Gate:
    """A runtime that lets frames through when it is opened."""

    name, logit_step = "gate", 0.0

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.opened, self.reached = Event(), Event()

    def run(self, tiles: Pixels) -> Outputs:
        self.reached.set()
        assert self.opened.wait(PATIENCE_S)
        return self._runtime.run(tiles)


@pytest.fixture
def gate(model: Model) -> Iterator[Gate]:
    gate = Gate(model.runtime)
    yield gate
    gate.opened.set()


def taking(pixels: Pixels, number: int, then: Callable[[], object] = lambda: None) -> Callable[[Teller], Frame]:
    def take(told: Teller) -> Frame:
        then()
        return Frame(pixels.copy(), f"field {number}", number, 0.1, 0.0, 0.0)

    return take


def raising(error: BaseException) -> Callable[[Teller], Frame]:
    def take(told: Teller) -> Frame:
        raise error

    return take


def all_of(line: Line) -> list[Outcome]:
    found: list[Outcome] = []
    begun_s = time.monotonic()
    while not line.is_done:
        assert time.monotonic() < begun_s + PATIENCE_S
        line.wait(1.0)
        while (outcome := line.pop()) is not None:
            found.append(outcome)
    return found


def test_frames_come_out_in_order_and_as_they_would_be_judged_alone(model: Model, cells: Pixels) -> None:
    fields = [cells, np.full_like(cells, 235), cells[::-1].copy(), cells[:, ::-1].copy()]
    with Line((Shot(taking(field, number)) for number, field in enumerate(fields)), model) as line:
        found = all_of(line)
    for number, (field, outcome) in enumerate(zip(fields, found, strict=True)):
        assert isinstance(outcome, Judged)
        alone = classify(Frame(field, f"field {number}", number, 0.1, 0.0, 0.0), model)
        assert replace(outcome.result, ms={}) == replace(alone, ms={})
        assert list(outcome.result.ms) == list(alone.ms)


def test_while_a_frame_is_judged_the_next_ones_are_captured(model: Model, gate: Gate, cells: Pixels) -> None:
    # The gate opens with the third capture: it never would if a frame had to be through before the next is taken.
    opens = [lambda: None, lambda: None, gate.opened.set]
    shots = (Shot(taking(cells, number, then)) for number, then in enumerate(opens))
    with Line(shots, replace(model, runtime=gate)) as line:
        assert len(all_of(line)) == 3


def test_every_frame_waits_for_its_turn_and_no_more_than_a_few_are_in_hand(
    model: Model, gate: Gate, cells: Pixels
) -> None:
    captured: SimpleQueue[None] = SimpleQueue()
    shots = (Shot(taking(cells, number, lambda: captured.put(None))) for number in range(12))
    with Line(shots, replace(model, runtime=gate)) as line:
        assert gate.reached.wait(PATIENCE_S)
        time.sleep(0.3)
        assert captured.qsize() == 4
        gate.opened.set()
        found = all_of(line)
    assert [each.result.sequence for each in found if isinstance(each, Judged)] == list(range(12))
    assert line.dropped == 0


def test_where_only_the_newest_matters_it_takes_the_place_of_the_one_that_waits(
    model: Model, gate: Gate, cells: Pixels
) -> None:
    captured = Event()

    def shots() -> Iterator[Shot]:
        for number in range(30):
            yield Shot(taking(cells, number), may_drop=True)
        captured.set()

    with Line(shots(), replace(model, runtime=gate)) as line:
        assert captured.wait(PATIENCE_S)
        gate.opened.set()
        found = [each.result.sequence for each in all_of(line) if isinstance(each, Judged)]
    assert found[-1] == 29
    assert found == sorted(set(found))
    assert line.dropped == 30 - len(found) >= 24


def test_an_errand_overtakes_no_frame_and_is_never_dropped(model: Model, gate: Gate, cells: Pixels) -> None:
    def shots() -> Iterator[Shot]:
        for number in range(3):
            yield Shot(taking(cells, number), may_drop=True)
        yield Shot(errand="finish the sample")
        yield Shot(taking(cells, 3), may_drop=True)

    with Line(shots(), replace(model, runtime=gate)) as line:
        assert gate.reached.wait(PATIENCE_S)
        gate.opened.set()
        *before, errand, last = all_of(line)
    assert isinstance(errand, Passed)
    assert errand.shot.errand == "finish the sample"
    assert all(isinstance(each, Judged) for each in before)
    assert isinstance(last, Judged)


def test_an_unreadable_frame_keeps_its_place_and_a_lost_camera_ends_the_line(model: Model, cells: Pixels) -> None:
    shots = [
        taking(cells, 0),
        raising(ImageError("torn")),
        taking(cells, 2),
        raising(CameraLost("out")),
        taking(cells, 4),
    ]
    with Line(map(Shot, shots), model) as line:
        found = all_of(line)
    assert [type(each) for each in found] == [Judged, Broken, Judged, Broken]
    with Line(map(Shot, [taking(cells, 0), raising(EndOfFrames()), taking(cells, 1)]), model) as line:
        assert len(all_of(line)) == 1


def test_what_a_stage_raises_comes_out_with_the_frame_it_was_raised_for(model: Model, cells: Pixels) -> None:
    class Failing(Gate):
        def run(self, tiles: Pixels) -> Outputs:
            raise RuntimeUnavailable("the network", "is gone")

    shots = [Shot(taking(cells, 0), errand="first"), Shot(taking(np.full_like(cells, 235), 1))]
    with Line(iter(shots), replace(model, runtime=Failing(model.runtime))) as line:
        broken, blank = all_of(line)
    assert isinstance(broken, Broken)
    assert (broken.shot.errand, type(broken.error)) == ("first", RuntimeUnavailable)
    assert isinstance(blank, Judged)


@pytest.mark.parametrize("stage", ["prepare", "judge"])
@pytest.mark.parametrize("error", [cv2.error("resize"), ValueError("no such shape"), MemoryError()], ids=repr)
def test_what_a_library_cannot_do_with_a_frame_is_a_failure_of_that_frame(
    model: Model, cells: Pixels, monkeypatch: pytest.MonkeyPatch, stage: str, error: Exception
) -> None:
    whole = getattr(pipeline, stage)

    def failing(what: Frame | pipeline.Prepared, how: Any) -> Any:
        if (what.name if isinstance(what, Frame) else what.measured.frame) == "field 1":
            raise error
        return whole(what, how)

    monkeypatch.setattr(pipeline, stage, failing)
    with Line((Shot(taking(cells, number)) for number in range(3)), model) as line:
        first, broken, last = all_of(line)
    assert isinstance(broken, Broken)
    assert isinstance(broken.error, ImageError)
    assert (broken.error.what, type(error).__name__ in str(broken.error)) == ("field 1", True)
    assert broken.error.__cause__ is error
    assert isinstance(first, Judged)
    assert isinstance(last, Judged)


def test_an_error_of_the_program_is_no_failure_of_a_frame(
    model: Model, cells: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "prepare", lambda frame, _: frame.no_such_thing)
    with Line(iter([Shot(taking(cells, 0))]), model) as line:
        (broken,) = all_of(line)
    assert isinstance(broken, Broken)
    assert isinstance(broken.error, AttributeError)


def test_closed_it_gives_out_what_it_has_in_hand(model: Model, gate: Gate, cells: Pixels) -> None:
    hung = Event()
    shots = (Shot(taking(cells, number, hung.wait if number == 3 else lambda: None)) for number in count())
    with Line(shots, replace(model, runtime=gate)) as line:
        assert gate.reached.wait(PATIENCE_S)
        time.sleep(0.2)
        line.close()
        gate.opened.set()
        # A camera that hangs is not waited for.
        found = [each.result.sequence for each in all_of(line) if isinstance(each, Judged)]
    hung.set()
    assert found == [0, 1, 2]


def test_a_stage_that_hangs_shows_and_one_that_waits_does_not(model: Model, gate: Gate, cells: Pixels) -> None:
    with Line(iter([Shot(taking(cells, 0))]), replace(model, runtime=gate)) as line:
        assert gate.reached.wait(PATIENCE_S)
        first = line.stalled_s()
        time.sleep(0.05)
        assert line.stalled_s() > first + 0.04
        gate.opened.set()
        all_of(line)
        assert line.stalled_s() == 0.0


def test_what_happens_to_the_camera_is_told_before_the_frame_is_there(model: Model, cells: Pixels) -> None:
    went_on = Event()

    def take(told: Teller) -> Frame:
        told("camera lost", "pulled out")
        assert went_on.wait(PATIENCE_S)
        return taking(cells, 0)(told)

    with Line(iter([Shot(take)]), model) as line:
        line.wait(PATIENCE_S)
        assert line.pop() == Told("camera lost", "pulled out")
        went_on.set()
        assert len(all_of(line)) == 1


@pytest.mark.parametrize("keeps", [False, True])
def test_pixels_are_kept_only_where_pictures_are(model: Model, gate: Gate, cells: Pixels, keeps: bool) -> None:
    pixels: list[weakref.ref[Pixels]] = []

    def take(told: Teller) -> Frame:
        frame = taking(cells, 0)(told)
        pixels.append(weakref.ref(frame.pixels))
        return frame

    with Line(iter([Shot(take)]), replace(model, runtime=gate), keeps_pixels=keeps) as line:
        assert gate.reached.wait(PATIENCE_S)
        gc.collect()
        assert (pixels[0]() is not None) == keeps
        gate.opened.set()
        (outcome,) = all_of(line)
    assert isinstance(outcome, Judged)
    assert (outcome.pixels is not None) == keeps


def test_a_frame_that_keeps_its_pixels_is_alone_in_hand_until_it_is_taken_off(model: Model, cells: Pixels) -> None:
    captured: list[int] = []
    shots = (Shot(taking(cells, number, partial(captured.append, number))) for number in range(4))
    with Line(shots, model, keeps_pixels=True) as line:
        for number in range(4):
            while (outcome := line.pop()) is None:
                assert len(captured) <= number + 1
                line.wait(PATIENCE_S)
            assert isinstance(outcome, Judged)
            assert outcome.result.frame == f"field {number}"
        assert all_of(line) == []


@pytest.mark.parametrize(("keeps", "in_hand"), [(False, 4), (True, 1)])
def test_closed_while_a_frame_waits_for_its_turn_that_is_given_back_and_not_captured(
    model: Model, gate: Gate, cells: Pixels, keeps: bool, in_hand: int
) -> None:
    captured: list[int] = []
    asked: list[int] = []
    given_back: SimpleQueue[Shot] = SimpleQueue()

    def shots() -> Iterator[Shot]:
        for number in count():
            asked.append(number)
            yield Shot(taking(cells, number, partial(captured.append, number)), errand=number)

    runs_through_gate = replace(model, runtime=gate)
    with Line(shots(), runs_through_gate, keeps_pixels=keeps, give_back=given_back.put) as line:
        assert gate.reached.wait(PATIENCE_S)
        begun_s = time.monotonic()
        while len(asked) <= in_hand:
            assert time.monotonic() < begun_s + PATIENCE_S
            time.sleep(0.01)
        line.close()
        assert given_back.get(timeout=PATIENCE_S).errand == in_hand
        gate.opened.set()
        assert len(all_of(line)) == len(captured) == in_hand


def test_what_a_camera_does_not_give_since_it_was_closed_is_given_back(model: Model, cells: Pixels) -> None:
    given_back: SimpleQueue[Shot] = SimpleQueue()
    shots = [Shot(taking(cells, 0)), Shot(raising(EndOfFrames("closed")), errand="frame")]
    with Line(iter(shots), model, give_back=given_back.put) as line:
        (judged,) = all_of(line)
        assert isinstance(judged, Judged)
        assert given_back.get(timeout=PATIENCE_S).errand == "frame"


@pytest.mark.parametrize("keeps", [False, True])
def test_who_asks_for_frames_may_fail(model: Model, cells: Pixels, keeps: bool) -> None:
    def shots() -> Iterator[Shot]:
        yield Shot(taking(cells, 0))
        raise ImageError("the folder", "it is gone")

    with Line(shots(), model, keeps_pixels=keeps) as line:
        judged, broken = all_of(line)
    assert isinstance(judged, Judged)
    assert isinstance(broken, Broken)
    assert "it is gone" in str(broken.error)


def test_who_rings_the_bell_wakes_the_one_who_waits(model: Model) -> None:
    bell = Bell()
    ended = Event()

    def shots() -> Iterator[Shot]:
        ended.wait()
        yield from ()

    with Line(shots(), model, bell=bell) as line:
        Timer(0.05, bell.ring).start()
        begun_s = time.monotonic()
        line.wait(PATIENCE_S)
        assert time.monotonic() - begun_s < PATIENCE_S / 2
        ended.set()
        assert all_of(line) == []


def test_without_a_model_frames_are_measured(cells: Pixels) -> None:
    with Line(iter([Shot(taking(cells, 0))]), None) as line:
        (outcome,) = all_of(line)
    assert isinstance(outcome, Judged)
    assert outcome.result.verdict is None


def test_another_model_takes_over_between_two_frames_and_none_is_lost(model: Model, gate: Gate, cells: Pixels) -> None:
    gate.opened.set()
    other = replace(model, bundle=replace(model.bundle, sha256="f" * 64))

    def shots() -> Iterator[Shot]:
        for number in range(9):
            yield Shot(taking(cells, number), model=other if number == 4 else None)

    with Line(shots(), replace(model, runtime=gate)) as line:
        found = all_of(line)
    assert [each.result.sequence for each in found if isinstance(each, Judged)] == list(range(9))
    identities = [each.result.model for each in found if isinstance(each, Judged)]
    assert identities == [model.bundle.identity] * 4 + [other.bundle.identity] * 5
    assert all(each.model.bundle.identity == each.result.model for each in found if isinstance(each, Judged))


def test_frames_on_which_a_model_fails_are_judged_by_the_one_that_takes_its_place(
    model: Model, fragile: Path, cells: Pixels
) -> None:
    asked: list[str] = []

    def another(failed: Model, error: InferenceFailed) -> Model:
        asked.append(str(error))
        return model

    shots = [Shot(taking(cells, number)) for number in range(5)]
    with Line(iter(shots), open_model(fragile), replace=another) as line:
        found = all_of(line)
    assert [each.result.sequence for each in found if isinstance(each, Judged)] == list(range(5))
    assert {each.result.model for each in found if isinstance(each, Judged)} == {model.bundle.identity}
    (why,) = asked
    assert "no numbers" in why
    with Line(iter(shots), open_model(fragile)) as line:
        assert isinstance(all_of(line)[0], Broken)


def test_where_none_takes_its_place_the_frame_is_broken_by_what_failed(fragile: Path, cells: Pixels) -> None:
    def none(failed: Model, error: InferenceFailed) -> Model:
        raise error

    with Line(iter([Shot(taking(cells, 0))]), open_model(fragile), replace=none) as line:
        (broken,) = all_of(line)
    assert isinstance(broken, Broken)
    assert isinstance(broken.error, InferenceFailed)
