"""The journal for other programs: CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frame import SensorReport
from edge.journal import FrameRecord
from edge.journal.export import COLUMNS, to_csv, to_json_lines
from edge.result import FrameResult
from edge.vision.quality import Quality


@pytest.fixture
def record(result: FrameResult) -> FrameRecord:
    return FrameRecord(17, "S1", result, "boot", "0.1.0", {"overlay": Path("/data/000017-overlay.jpg")})


def csv_rows(*records: FrameRecord) -> list[dict[str, str]]:
    stream = io.StringIO(newline="")
    to_csv(records, stream)
    stream.seek(0)
    return list(csv.DictReader(stream))


def test_csv_has_the_same_columns_in_the_same_order_whatever_is_in_it(record: FrameRecord) -> None:
    empty, full = io.StringIO(), io.StringIO()
    to_csv([], empty)
    to_csv([record], full)
    header = full.getvalue().splitlines()[0]
    assert empty.getvalue().splitlines() == [header]
    assert header.startswith("record,sample,frame,sequence,wall_time,")
    assert header.split(",") == list(COLUMNS)


def test_csv_tells_what_the_record_holds(record: FrameRecord) -> None:
    (row,) = csv_rows(record)
    expected = {
        "record": "17",
        "sample": "S1",
        "wall_time": "2027-01-15T08:00:00.250+00:00",
        "verdict": "ALL",
        "reason": "",
        "probability": "0.9",
        "warnings": "not the microscope I was trained on",
        "tiles_total": "30",
        "tiles_used": "2",
        "usable": "1",
        "focus": "1.25",
        "contrast": "0.75",
        "crushed": "0.03",
        "stain": "0.62",
        "nuclei": "12",
        "width_px": "2560",
        "height_px": "1920",
        "red_gain": "1.75",
        "blue_gain": "1.625",
    }
    assert {column: row[column] for column in expected} == expected
    assert json.loads(row["probabilities"]) == record.result.probabilities
    assert json.loads(row["pictures"]) == {"overlay": "/data/000017-overlay.jpg"}


def test_csv_leaves_empty_what_is_missing(record: FrameRecord) -> None:
    quality = replace(record.result.quality, focus=math.nan)
    bare = replace(
        record.result, morphology=None, sensor=SensorReport(), verdict=None, quality=quality, wall_time_s=math.inf
    )
    (row,) = csv_rows(replace(record, result=bare))
    missing = ("nuclei", "red_gain", "exposure_us", "verdict", "probability", "focus", "wall_time")
    assert {row[column] for column in missing} == {""}


@pytest.mark.parametrize(
    ("reasons", "cell"),
    [((), ""), (("over-exposed",), "over-exposed"), (("out of focus", "over-exposed"), "out of focus; over-exposed")],
)
def test_csv_joins_reasons_and_warnings_by_semicolons(record: FrameRecord, reasons: tuple[str, ...], cell: str) -> None:
    quality = replace(record.result.quality, reasons=reasons)
    (row,) = csv_rows(replace(record, result=replace(record.result, quality=quality, warnings=reasons)))
    assert (row["quality_reasons"], row["warnings"]) == (cell, cell)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\uff1d1"])
def test_csv_text_is_never_a_formula(record: FrameRecord, name: str) -> None:
    named = replace(record.result, frame=name, reason=name, warnings=(name,), verdict=name, model=name)
    (row,) = csv_rows(replace(record, sample=name, result=named))
    for column in ("sample", "frame", "reason", "warnings", "verdict", "model"):
        assert row[column] == f"'{name}"


def test_csv_numbers_stay_numbers(record: FrameRecord) -> None:
    (row,) = csv_rows(replace(record, result=replace(record.result, sequence=-1, novelty=-0.5)))
    assert (row["sequence"], row["novelty"]) == ("-1", "-0.5")


@given(
    names=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=3)
)
def test_csv_keeps_any_name_in_its_cell(names: list[str]) -> None:
    quality = Quality(True, (), 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.6)
    results = [FrameResult(name, 0, (1, 1), 1.0, 0.0, 0.0, SensorReport(), quality) for name in names]
    rows = csv_rows(*(FrameRecord(1, "S1", result, "boot", "0.1.0") for result in results))
    assert [row["frame"].removeprefix("'") for row in rows] == [name.removeprefix("'") for name in names]


def test_json_lines_hold_all_of_each_frame(record: FrameRecord) -> None:
    stream = io.StringIO()
    named = replace(record, sample="Präparat\n3", result=replace(record.result, novelty=math.nan))
    to_json_lines([named, record], stream)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert "Präparat" in stream.getvalue()
    assert (first["sample"], first["novelty"]) == ("Präparat\n3", None)
    assert (second["record"], second["verdict"], second["probability"]) == (17, "ALL", 0.9)
    assert second["probabilities"] == record.result.probabilities
    assert second["quality"]["focus"] == 1.25
    assert (second["quality"]["contrast"], second["quality"]["crushed"]) == (0.75, 0.03)
    assert second["tiles"]["used"] == 2
    assert second["tiles"]["judged"][0] == {
        "x_px": -20,
        "y_px": 40,
        "width_px": 224,
        "height_px": 223,
        "label": "ALL",
        "probabilities": [0.95, 0.03, 0.02],
    }
    assert second["morphology"]["nuclei"] == 12
    assert second["sensor"] == {"exposure_us": 1000.0, "analogue_gain": 1.5, "white_balance": [1.75, 1.625]}
    assert second["ms"] == record.result.ms
