"""However a camera fails, a guarded one answers within its limit, comes back by itself or says that it cannot."""

import gc
import os
import signal
import threading
import time
import weakref

import numpy as np
import pytest

from edge.camera import CameraSettings, EndOfFrames
from edge.camera.doubles import ScriptedCamera
from edge.camera.guard import BackOff, GuardedCamera
from edge.errors import CameraLost, CameraNotFound, CameraTimeout, ImageError

FIELD = np.zeros((32, 32, 3), np.uint8)
LOST = CameraLost("scripted", "pulled out")
SETTINGS = CameraSettings(um_per_px=0.1, timeout_s=5.0)
HASTY = CameraSettings(um_per_px=0.1, timeout_s=1.0)


class Bench:
    """Opens scripted cameras one after another, and remembers them and the waits between."""

    def __init__(self, *script, openings=(), finite=False):
        self.script = iter(script)
        self.openings = iter(openings)
        self.finite = finite
        self.cameras = []
        self.slept_s = []
        self.threads = set()

    def open(self, specification, settings):
        self.threads.add(threading.current_thread())
        opening = next(self.openings, None)
        if isinstance(opening, threading.Event):
            opening.wait()
        elif opening is not None:
            raise opening
        self.cameras.append(ScriptedCamera(self.script, settings, self.finite))
        return self.cameras[-1]

    def guard(self, settings=SETTINGS, back_off=BackOff(attempts=3, first_delay_s=1, most_delay_s=30)):  # noqa: B008
        return GuardedCamera("scripted", settings, back_off, self.open, self.slept_s.append)


@pytest.fixture
def hang():
    """Something that hangs until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_frames_pass_through_and_are_counted():
    camera = Bench(FIELD, FIELD).guard()
    assert [camera.read().sequence for _ in range(2)] == [0, 1]
    with pytest.raises(EndOfFrames):
        camera.read()
    assert camera.counters.frames == 2
    assert camera.counters.lost == 0


def test_one_thread_of_its_own_touches_the_camera():
    bench = Bench(FIELD)
    bench.guard().read()
    assert len(bench.threads) == 1
    assert threading.current_thread() not in bench.threads


def test_an_unreadable_image_passes_through_and_costs_nothing_else():
    bench = Bench(FIELD, ImageError("field2.png", "truncated"), FIELD)
    camera = bench.guard()
    camera.read()
    with pytest.raises(ImageError, match=r"field2\.png"):
        camera.read()
    assert camera.read().sequence == 1
    assert camera.counters.unreadable == 1
    assert len(bench.cameras) == 1


def test_a_lost_camera_is_closed_reopened_and_counted():
    bench = Bench(FIELD, LOST, FIELD)
    camera = bench.guard()
    frames = [camera.read() for _ in range(2)]
    assert [frame.name for frame in frames] == ["scripted-000000", "scripted-000001"]
    assert (camera.counters.lost, camera.counters.reopened) == (1, 1)
    assert [each.closed for each in bench.cameras] == [True, False]
    assert bench.slept_s == [1]


def test_a_hanging_capture_is_left_behind_and_the_camera_reopened(hang):
    bench = Bench(FIELD, hang, FIELD)
    camera = bench.guard(HASTY)
    assert [camera.read().sequence for _ in range(2)] == [0, 1]
    assert (camera.counters.timeouts, camera.counters.lost, camera.counters.reopened) == (1, 1, 1)
    assert len(bench.threads) == 2


def test_who_waits_for_a_camera_is_told_so_every_second(hang):
    told = []
    settings = CameraSettings(um_per_px=0.1, timeout_s=2.5)

    def note():
        told.append(threading.current_thread())

    bench = Bench(openings=[hang])
    with pytest.raises(CameraTimeout):
        GuardedCamera("scripted", settings, opener=bench.open, waiting=note)
    assert told == [threading.current_thread()] * 2


def test_a_camera_that_comes_to_itself_after_it_was_left_behind_is_closed(hang):
    bench = Bench(FIELD, hang, FIELD)
    camera = bench.guard(HASTY)
    camera.read()
    camera.read()
    hang.set()
    for thread in bench.threads:
        if thread is not camera._worker._thread:
            thread.join(5)
    assert bench.cameras[0].closed


def test_waits_double_up_to_the_most_and_then_it_is_lost():
    bench = Bench(LOST, openings=[None, *[CameraNotFound("scripted", "unplugged")] * 6])
    camera = bench.guard(back_off=BackOff(attempts=6, first_delay_s=1, most_delay_s=5))
    with pytest.raises(CameraLost, match=r"Lost scripted.*unplugged.*6 times.*[Cc]able"):
        camera.read()
    assert bench.slept_s == [1, 2, 4, 5, 5, 5]
    assert camera.counters.reopened == 0


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (CameraTimeout("scripted", "no answer within 10 s", "Check cable and power"),
         "Lost scripted: no answer within 10 s; it was tried again 1 times. Check cable and power"),
        (CameraLost("unplugged"), "Lost scripted: unplugged; it was tried again 1 times. Check cable, power and lamp"),
    ],
)  # fmt: skip
def test_a_lost_camera_is_named_once_and_so_is_what_to_do(failure, told):
    bench = Bench(failure, failure)
    with pytest.raises(CameraLost) as lost:
        bench.guard(back_off=BackOff(attempts=1)).read()
    assert str(lost.value) == told


def test_opening_without_ever_delivering_is_no_recovery():
    bench = Bench(*[LOST] * 9)
    with pytest.raises(CameraLost):
        bench.guard().read()
    assert len(bench.cameras) == 4


def test_after_it_was_lost_a_further_read_tries_again():
    camera = Bench(*[LOST] * 4, FIELD).guard()
    with pytest.raises(CameraLost):
        camera.read()
    assert camera.read().sequence == 0


def test_each_loss_starts_with_a_short_wait_again():
    bench = Bench(LOST, FIELD, LOST, FIELD)
    camera = bench.guard()
    camera.read()
    camera.read()
    assert bench.slept_s == [1, 1]


def test_a_camera_that_is_not_there_is_told_at_once():
    bench = Bench(openings=[CameraNotFound("scripted", "no such camera")])
    with pytest.raises(CameraNotFound):
        bench.guard()
    assert bench.slept_s == []


def test_an_open_that_hangs_is_told_within_its_limit(hang):
    with pytest.raises(CameraTimeout, match=r"scripted: no answer within 1 s"):
        Bench(openings=[hang]).guard(HASTY)


def test_a_finite_source_is_not_reopened_since_it_would_start_over():
    bench = Bench(FIELD, LOST, FIELD, finite=True)
    camera = bench.guard()
    camera.read()
    with pytest.raises(CameraLost, match="pulled out"):
        camera.read()
    with pytest.raises(EndOfFrames):
        camera.read()
    assert len(bench.cameras) == 1


def test_a_programming_error_is_not_taken_for_a_lost_camera():
    bench = Bench(ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        bench.guard().read()
    assert len(bench.cameras) == 1


def test_closing_closes_and_ends():
    bench = Bench(FIELD, FIELD)
    camera = bench.guard()
    camera.read()
    camera.close()
    camera.close()
    assert bench.cameras[0].closed
    with pytest.raises(EndOfFrames):
        camera.read()
    assert len(bench.cameras) == 1


def test_ctrl_c_interrupts_a_hanging_capture_and_closing_does_not_wait_for_it(hang):
    camera = Bench(hang).guard(CameraSettings(um_per_px=0.1, timeout_s=60))
    started_s = time.monotonic()
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        camera.read()
    camera.close()
    # Far from the limit of 60 s is all that this is about.
    assert time.monotonic() - started_s < 30


def test_closing_from_elsewhere_ends_the_attempts():
    bench = Bench(*[LOST] * 99)
    camera = GuardedCamera("scripted", SETTINGS, BackOff(99), bench.open, lambda _: camera.close())
    with pytest.raises(EndOfFrames):
        camera.read()
    assert len(bench.cameras) == 1


def test_closing_from_elsewhere_ends_a_read_that_hangs(hang):
    camera = Bench(hang).guard(CameraSettings(um_per_px=0.1, timeout_s=3600))
    threading.Timer(0.1, camera.close).start()
    with pytest.raises(EndOfFrames):
        camera.read()


def test_closing_from_elsewhere_ends_a_read_whose_camera_does_not_open_again():
    openings = []

    def opener(specification, settings):
        openings.append(specification)
        if len(openings) == 2:
            closing = threading.Thread(target=camera.close)
            closing.start()
            closing.join()
            raise LOST
        return ScriptedCamera(iter([LOST]), settings)

    camera = GuardedCamera("scripted", SETTINGS, BackOff(99), opener, lambda _: None)
    with pytest.raises(EndOfFrames):
        camera.read()
    assert len(openings) == 2


def test_no_frame_is_kept_alive_by_the_worker():
    bench = Bench()
    bench.script = (np.zeros((32, 32, 3), np.uint8) for _ in range(2))
    camera = bench.guard()
    pixels = weakref.ref(camera.read().pixels)
    gc.collect()
    assert pixels() is None


def noisy(seed, height_px=32):
    return np.random.default_rng(seed).integers(0, 256, (height_px, 32, 3), np.uint8)


def test_a_camera_that_gives_the_same_picture_again_or_another_size_is_opened_anew():
    told = []
    camera = Bench(noisy(0), noisy(0), noisy(1), noisy(2, height_px=12), noisy(3)).guard()
    frames = [camera.read(lambda *fact: told.append(fact[1])) for _ in range(3)]
    assert [frame.pixels.shape for frame in frames] == [(32, 32, 3)] * 3
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [int(noisy(seed)[0, 0, 0]) for seed in (0, 1, 3)]
    assert "same picture twice" in told[0]
    assert "32x32 and then 32x12" in told[2]
    assert camera.counters.reopened == 2


def test_dark_frames_may_be_alike_and_so_may_files():
    dark = Bench(FIELD, FIELD).guard()
    files = Bench(noisy(0), noisy(0), finite=True).guard()
    for camera in (dark, files):
        assert [camera.read().sequence for _ in range(2)] == [0, 1]
        assert camera.counters.lost == 0
