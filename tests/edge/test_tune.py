"""Threads and batch are measured on whole frames, and changed only for what is worth it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge import tune
from edge.bench import simulated_frame
from edge.errors import RuntimeUnavailable
from edge.model import Execution, shelf
from edge.tune import Timing, best


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_threads_are_doubled_up_to_the_cores(cores: int, counts: list[int]) -> None:
    assert tune.thread_counts(cores) == counts


@pytest.mark.parametrize(
    ("other", "chosen"),
    [
        ([Timing(1, 8, 9.7)], (1, 4)),
        ([Timing(1, 8, 9.0)], (1, 8)),
        ([Timing(2, 4, 20.0)], (1, 4)),
        ([Timing(2, 4, 5.0), Timing(4, 8, 4.9), Timing(1, 8, 9.0)], (2, 4)),
        ([Timing(4, 16, 5.0), Timing(4, 8, 5.1)], (4, 8)),
    ],
)
def test_the_usual_setting_stays_unless_another_is_faster_by_more_than_noise(
    other: list[Timing], chosen: tuple[int, int]
) -> None:
    found = best([Timing(1, 4, 10.0), *other])
    assert (found.threads, found.batch) == chosen


def test_every_setting_is_measured_in_a_process_that_can_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    timings = list(tune.measure(shelf.find(None), Execution(), simulated_frame((640, 480))))
    assert [(each.threads, each.batch) for each in timings] == [(1, 1), (1, 2), (1, 4), (1, 8), (1, 16)]
    assert all(each.frame_ms > 0 for each in timings)


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    frame = simulated_frame((640, 480))
    with pytest.raises(RuntimeUnavailable, match=r"nowhere\.wbc"):
        list(tune.measure(tmp_path / "nowhere.wbc", Execution(), frame))
    assert list(tmp_path.iterdir()) == []
