"""What is logged of a frame is what is read back, whatever it was."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

import edge
from edge.errors import RecordNotFound
from edge.frame import SensorReport
from edge.journal import Journal
from edge.result import FrameResult, SampleResult, TileResult
from edge.vision.morphology import Morphology
from edge.vision.quality import Quality

reals = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(-(2**63), 2**63 - 1)
names = st.text()
numbers_by_name = st.dictionaries(names, reals, max_size=4)
shares = st.tuples(*[st.floats(0, 1)] * 3)
tiles = st.lists(st.builds(TileResult, counts, counts, counts, counts, names, shares), max_size=4).map(tuple)
results = st.builds(
    FrameResult,
    frame=names,
    sequence=counts,
    size_px=st.tuples(counts, counts),
    um_per_px=reals,
    wall_time_s=reals,
    monotonic_s=reals,
    sensor=st.builds(SensorReport, st.none() | reals, st.none() | reals, st.none() | st.tuples(reals, reals)),
    quality=st.builds(
        Quality, st.booleans(), st.lists(names, max_size=3).map(tuple), reals, reals, reals, reals, reals, reals, reals
    ),
    verdict=st.none() | names,
    reason=st.none() | names,
    warnings=st.lists(names, max_size=3).map(tuple),
    probabilities=numbers_by_name,
    tiles_total=counts,
    tiles=tiles,
    morphology=st.none() | st.builds(Morphology, counts, reals, reals, reals),
    novelty=st.none() | reals,
    model=st.none() | names,
    ms=numbers_by_name,
)


@given(result=results, sample=names)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_frame_is_read_back_as_it_was_logged(journal: Journal, result: FrameResult, sample: str) -> None:
    record = journal.record(journal.sample(sample), result)
    kept = journal.frame(record)
    assert kept.result == result
    assert kept.sample == sample
    assert kept.software == edge.__version__
    assert list(kept.result.probabilities) == list(result.probabilities), "the model's order of classes"


def test_a_frame_keeps_the_boot_in_which_its_clock_counts(journal: Journal, result: FrameResult) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id")
    kept = journal.frame(journal.record(journal.sample("S1"), result))
    assert kept.boot_id == (boot.read_text(encoding="ascii").strip() if boot.exists() else kept.boot_id)
    assert len(kept.boot_id) > 8


def test_a_number_that_is_none_does_not_lose_the_frame(journal: Journal, result: FrameResult) -> None:
    blind = replace(
        result,
        um_per_px=math.nan,
        quality=replace(result.quality, focus=math.nan),
        probabilities={"ALL": math.nan, "MM": 0.5},
        tiles=(structs.replace(result.tiles[0], probabilities=(math.nan, 0.5)),),
    )
    kept = journal.frame(journal.record(journal.sample("S1"), blind)).result
    assert math.isnan(kept.um_per_px)
    assert math.isnan(kept.quality.focus)
    assert math.isnan(kept.probabilities["ALL"])
    assert math.isnan(kept.tiles[0].probabilities[0])
    assert kept.probabilities["MM"] == kept.tiles[0].probabilities[1] == 0.5


def test_numbers_straight_from_numpy_are_logged_as_numbers(journal: Journal, result: FrameResult) -> None:
    half: Any = np.float32(0.5)
    one: Any = np.int64(1)
    true: Any = np.bool_(True)
    raw = replace(
        result,
        sequence=one,
        quality=replace(result.quality, usable=true, focus=half),
        probabilities={"ALL": half},
        tiles=(TileResult(one, one, one, one, "ALL", (half, half)),),
        novelty=half,
    )
    assert journal.frame(journal.record(journal.sample("S1"), raw)).result == raw


def test_a_file_name_that_is_not_utf8_is_logged_legibly(journal: Journal, result: FrameResult) -> None:
    name = b"caf\xe9.bmp".decode("utf-8", "surrogateescape")
    kept = journal.frame(journal.record(journal.sample(name), replace(result, frame=name)))
    assert kept.result.frame == kept.sample == r"caf\udce9.bmp"


def test_what_people_query_has_a_column_of_its_own(journal: Journal, path: Path, result: FrameResult) -> None:
    journal.record(journal.sample("S1"), result)
    with closing(sqlite3.connect(path)) as plain:
        row = plain.execute(
            "SELECT verdict, probability, tiles_used, tiles_total, focus, nuclei, typeof(novelty) FROM frames"
            " WHERE verdict = 'ALL' AND probability > 0.8 AND usable"
        ).fetchone()
    assert row == ("ALL", 0.9, 2, 30, 1.25, 12, "real")


def test_a_record_number_that_was_never_given_is_not_found(journal: Journal) -> None:
    with pytest.raises(RecordNotFound, match="record 17"):
        journal.frame(17)


def test_nothing_is_logged_for_a_sample_or_record_that_does_not_exist(journal: Journal, result: FrameResult) -> None:
    verdict = SampleResult("S1", "MM", None, {"MM": 0.9}, 1, 0)
    for write in (
        lambda: journal.record(99, result),
        lambda: journal.record_failure(99, "a.bmp", ValueError("bad")),
        lambda: journal.attach_picture(99, "overlay", "a.jpg"),
        lambda: journal.finish_sample(99, lambda: verdict),
    ):
        with pytest.raises(RecordNotFound):
            write()
    assert not [*journal.frames(), *journal.samples(), *journal.events(), *journal.check()]
