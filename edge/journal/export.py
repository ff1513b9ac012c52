"""The journal's frames for other programs: CSV for spreadsheets, JSON Lines for everything else."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import datetime, timezone
from math import isnan
from typing import Any, TextIO

import msgspec

from edge.journal.records import FrameRecord

COLUMNS = {
    "record": "record",
    "sample": "sample",
    "frame": "frame",
    "sequence": "sequence",
    "wall_time": "wall_time",
    "wall_time_s": "wall_time_s",
    "monotonic_s": "monotonic_s",
    "boot_id": "boot_id",
    "software": "software",
    "model": "model",
    "verdict": "verdict",
    "reason": "reason",
    "probability": "probability",
    "probabilities": "probabilities",
    "warnings": "warnings",
    "tiles_total": "tiles.total",
    "tiles_used": "tiles.used",
    "usable": "quality.usable",
    "quality_reasons": "quality.reasons",
    "focus": "quality.focus",
    "brightness": "quality.brightness",
    "saturation": "quality.saturation",
    "foreground": "quality.foreground",
    "field": "quality.field",
    "nuclei": "morphology.nuclei",
    "nuclear_area_um2": "morphology.nuclear_area_um2",
    "nucleus_to_cytoplasm": "morphology.nucleus_to_cytoplasm",
    "cytoplasm_fraction": "morphology.cytoplasm_fraction",
    "novelty": "novelty",
    "width_px": "size_px.0",
    "height_px": "size_px.1",
    "um_per_px": "um_per_px",
    "exposure_us": "sensor.exposure_us",
    "analogue_gain": "sensor.analogue_gain",
    "red_gain": "sensor.white_balance.0",
    "blue_gain": "sensor.white_balance.1",
    "ms": "ms",
    "pictures": "pictures",
    "contrast": "quality.contrast",
    "crushed": "quality.crushed",
    "stain": "quality.stain",
    "review": "review.label",
    "review_note": "review.note",
    "reviewed_by": "review.who",
}
"""Columns of the CSV in their order, and where each is in :func:`to_object`; new ones are only ever appended."""

_LOGGED_OF_SENSOR = ("exposure_us", "analogue_gain", "white_balance")
"""What the journal has a column for."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their full-width forms


def to_csv(records: Iterable[FrameRecord], stream: TextIO) -> None:
    """Write frames as CSV with a header, :data:`COLUMNS`, a line each.

    Free text that a spreadsheet would run as a formula gets an apostrophe before it. Missing values are empty; mappings
    (``probabilities``, ``ms``, ``pictures``) are JSON; several reasons or warnings are joined by semicolons.

    Parameters
    ----------
    records : iterable of FrameRecord
        The frames.
    stream : text stream
        Opened with ``encoding="utf-8", newline=""``.
    """
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    for record in records:
        row = to_object(record)
        writer.writerow([_cell(_at(place, row)) for place in COLUMNS.values()])


def to_json_lines(records: Iterable[FrameRecord], stream: TextIO) -> None:
    """Write frames as JSON Lines: all that the journal holds of a frame, tiles included, as an object a line.

    Parameters
    ----------
    records : iterable of FrameRecord
        The frames.
    stream : text stream
        Opened with ``encoding="utf-8"``.
    """
    for record in records:
        stream.write(msgspec.json.encode(to_object(record)).decode("utf-8") + "\n")


def to_object(record: FrameRecord) -> dict[str, Any]:
    """Return a frame as what JSON can hold; numbers that are not finite become null when it is encoded.

    Parameters
    ----------
    record : FrameRecord
        The frame.
    """
    result = record.result
    return {
        "record": record.record,
        "sample": record.sample,
        "frame": result.frame,
        "sequence": result.sequence,
        "wall_time": _iso_time(result.wall_time_s),
        "wall_time_s": result.wall_time_s,
        "monotonic_s": result.monotonic_s,
        "boot_id": record.boot_id,
        "software": record.software,
        "model": result.model,
        "verdict": result.verdict,
        "reason": result.reason,
        "probability": result.probabilities.get(result.verdict or ""),
        "probabilities": dict(result.probabilities),
        "warnings": list(result.warnings),
        "tiles": {
            "total": result.tiles_total,
            "used": len(result.tiles),
            "judged": msgspec.to_builtins(result.tiles),
        },
        "quality": msgspec.to_builtins(result.quality),
        "morphology": msgspec.to_builtins(result.morphology),
        "novelty": result.novelty,
        "size_px": list(result.size_px),
        "um_per_px": result.um_per_px,
        "sensor": {name: msgspec.to_builtins(getattr(result.sensor, name)) for name in _LOGGED_OF_SENSOR},
        "ms": dict(result.ms),
        "pictures": {kind: str(path) for kind, path in record.pictures.items()},
        "review": msgspec.to_builtins(record.review),
    }


def _at(place: str, value: Any) -> Any:
    for key in place.split("."):
        if value is None:
            return None
        value = value[key if isinstance(value, dict) else int(key)]
    return value


def _cell(value: Any) -> str | int | float | None:
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode("utf-8")
    if isinstance(value, list | tuple):
        return _cell("; ".join(value))
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    if isinstance(value, bool):
        return int(value)
    return None if isinstance(value, float) and isnan(value) else value


def _iso_time(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return None
