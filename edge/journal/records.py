"""How a result becomes rows of the journal, and rows a record: the two directions side by side."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import nan
from os import urandom
from pathlib import Path

import msgspec

from edge.frame import SensorReport
from edge.result import FrameResult, SampleResult, TileResult
from edge.verdict import Evidence, Tally
from edge.vision.morphology import Morphology
from edge.vision.quality import Quality

TILE_COLUMNS = ("record", "tile", "x_px", "y_px", "width_px", "height_px", "label", "probabilities")
"""Columns of ``tiles`` in the order of :func:`tile_rows`."""

_ENCODER = msgspec.json.Encoder(enc_hook=float)
"""What JSON does not know among the values of a frame are NumPy's numbers."""


@dataclass(frozen=True, slots=True)
class Review:
    """What a person said of a frame.

    Attributes
    ----------
    label : str
        What it shows, in that person's eyes.
    note : str
        What else was to be said; may be empty.
    who : str
        On whose behalf it was logged.
    wall_time_s : float
        When, seconds since the Unix epoch.
    """

    label: str
    note: str
    who: str
    wall_time_s: float


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """A frame as the journal keeps it.

    Attributes
    ----------
    record : int
        Number of the record: the order in which frames were logged, whatever the clock said.
    sample : str
        Identifier of the sample.
    result : FrameResult
        What was logged, its tiles included.
    boot_id : str
        The boot in which ``result.monotonic_s`` counts.
    software : str
        Version of wbc-edge that logged it.
    pictures : mapping of str to Path
        File of each picture kept of the frame, by kind; made absolute with the journal's folder.
    review : Review or None
        What a person said of it.
    """

    record: int
    sample: str
    result: FrameResult
    boot_id: str
    software: str
    pictures: Mapping[str, Path] = field(default_factory=dict)
    review: Review | None = None


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """A sample as the journal keeps it.

    Attributes
    ----------
    sample : int
        Number of the sample.
    name : str
        Its identifier, as its user gave it.
    started_s, finished_s : float or None
        Wall times, seconds since the Unix epoch; None while it is unfinished.
    frames : int
        Number of frames logged for it so far.
    result : SampleResult or None
        Its verdict when it was last finished.
    """

    sample: int
    name: str
    started_s: float
    finished_s: float | None
    frames: int
    result: SampleResult | None


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something that happened beside the frames.

    Attributes
    ----------
    event : int
        Number of the event, in order.
    kind : str
        What happened: ``started``, ``failure``, ``verdict``…
    detail : str
        A sentence on it.
    sample, frame : str or None
        What it concerns.
    wall_time_s, monotonic_s : float
        When, by both clocks.
    boot_id : str
        The boot in which ``monotonic_s`` counts.
    software : str
        Version of wbc-edge that logged it.
    who : str or None
        On whose behalf; None in what older versions logged, as is `digest`.
    digest : str or None
        Digest of this event and all before it, see :mod:`edge.journal.audit`.
    """

    event: int
    kind: str
    detail: str
    sample: str | None
    frame: str | None
    wall_time_s: float
    monotonic_s: float
    boot_id: str
    software: str
    who: str | None
    digest: str | None


@cache
def boot_id() -> str:
    """Return what tells this boot from others; where the system does not say, what tells this process from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"process-{urandom(8).hex()}"


def text(value: str) -> str:
    r"""Return text that SQLite can hold: a byte of a file name that is no UTF-8 is written out, as in ``\udcff``."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")


def frame_row(result: FrameResult) -> dict[str, str | int | float | None]:
    """Return the columns of a frame.

    Parameters
    ----------
    result : FrameResult
        What is to be logged.

    Returns
    -------
    dict
        Value of each column of ``frames`` that comes from the result.
    """
    sensor, quality, cells = result.sensor, result.quality, result.morphology
    red_gain, blue_gain = sensor.white_balance or (None, None)
    return {
        "frame": text(result.frame),
        "sequence": int(result.sequence),
        "width_px": int(result.size_px[0]),
        "height_px": int(result.size_px[1]),
        "um_per_px": float(result.um_per_px),
        "wall_time_s": float(result.wall_time_s),
        "monotonic_s": float(result.monotonic_s),
        "exposure_us": _real(sensor.exposure_us),
        "analogue_gain": _real(sensor.analogue_gain),
        "red_gain": _real(red_gain),
        "blue_gain": _real(blue_gain),
        "usable": int(quality.usable),
        "quality_reasons": _json([text(reason) for reason in quality.reasons]),
        "focus": float(quality.focus),
        "brightness": float(quality.brightness),
        "saturation": float(quality.saturation),
        "foreground": float(quality.foreground),
        "field": float(quality.field),
        "contrast": float(quality.contrast),
        "crushed": float(quality.crushed),
        "stain": float(quality.stain),
        "model": _optional_text(result.model),
        "verdict": _optional_text(result.verdict),
        "reason": _optional_text(result.reason),
        "probability": _real(result.probabilities.get(result.verdict or "")),
        "probabilities": numbers_by_name(result.probabilities),
        "warnings": _json([text(warning) for warning in result.warnings]),
        "tiles_total": int(result.tiles_total),
        "tiles_used": len(result.tiles),
        "nuclei": None if cells is None else int(cells.nuclei),
        "nuclear_area_um2": None if cells is None else float(cells.nuclear_area_um2),
        "nucleus_to_cytoplasm": None if cells is None else float(cells.nucleus_to_cytoplasm),
        "cytoplasm_fraction": None if cells is None else float(cells.cytoplasm_fraction),
        "novelty": _real(result.novelty),
        "ms": numbers_by_name(result.ms),
    }


def tile_rows(record: int, tiles: Sequence[TileResult]) -> list[tuple[int, int, int, int, int, int, str, str]]:
    """Return the rows of a frame's tiles, in the order of :data:`TILE_COLUMNS`.

    Parameters
    ----------
    record : int
        Number of the frame's record.
    tiles : sequence of TileResult
        Its tiles.
    """
    # All in one call, a line each: dozens of calls take twice as long.
    probabilities = _ENCODER.encode_lines([tile.probabilities for tile in tiles]).decode("utf-8").splitlines()
    return [
        (
            *(record, number, int(tile.x_px), int(tile.y_px), int(tile.width_px), int(tile.height_px)),
            *(text(tile.label), shares),
        )
        for number, (tile, shares) in enumerate(zip(tiles, probabilities, strict=True))
    ]


def numbers_by_name(values: Mapping[str, float]) -> str:
    """Return named numbers as JSON; one that is not finite becomes null."""
    return _json({text(name): float(value) for name, value in values.items()})


def read_frame(row: sqlite3.Row, tiles: Sequence[sqlite3.Row], pictures: Mapping[str, Path]) -> FrameRecord:
    """Return the record that a row of ``frames`` joined with its sample's name holds.

    Parameters
    ----------
    row : sqlite3.Row
        Columns of ``frames``, ``name`` of the sample, and of the review ``review_label``, ``review_note``,
        ``reviewed_by`` and ``reviewed_s``.
    tiles : sequence of sqlite3.Row
        Its rows of ``tiles``, in order.
    pictures : mapping of str to Path
        Its pictures.

    Raises
    ------
    msgspec.DecodeError
        When a column does not hold what was once written.
    """
    gains = (row["red_gain"], row["blue_gain"])
    result = FrameResult(
        frame=row["frame"],
        sequence=row["sequence"],
        size_px=(row["width_px"], row["height_px"]),
        um_per_px=_number(row["um_per_px"]),
        wall_time_s=_number(row["wall_time_s"]),
        monotonic_s=_number(row["monotonic_s"]),
        sensor=SensorReport(row["exposure_us"], row["analogue_gain"], None if None in gains else gains),
        quality=Quality(
            usable=bool(row["usable"]),
            reasons=_texts(row["quality_reasons"]),
            focus=_number(row["focus"]),
            brightness=_number(row["brightness"]),
            saturation=_number(row["saturation"]),
            foreground=_number(row["foreground"]),
            field=_number(row["field"]),
            contrast=_number(row["contrast"]),
            crushed=_number(row["crushed"]),
            stain=_number(row["stain"]),
        ),
        verdict=row["verdict"],
        reason=row["reason"],
        warnings=_texts(row["warnings"]),
        probabilities=_numbers_by_name(row["probabilities"]),
        tiles_total=row["tiles_total"],
        tiles=tuple(
            TileResult(
                x_px=tile["x_px"],
                y_px=tile["y_px"],
                width_px=tile["width_px"],
                height_px=tile["height_px"],
                label=tile["label"],
                probabilities=_numbers(tile["probabilities"]),
            )
            for tile in tiles
        ),
        morphology=None
        if row["nuclei"] is None
        else Morphology(
            nuclei=row["nuclei"],
            nuclear_area_um2=_number(row["nuclear_area_um2"]),
            nucleus_to_cytoplasm=_number(row["nucleus_to_cytoplasm"]),
            cytoplasm_fraction=_number(row["cytoplasm_fraction"]),
        ),
        novelty=row["novelty"],
        model=row["model"],
        ms=_numbers_by_name(row["ms"]),
    )
    review = None
    if row["reviewed_s"] is not None:
        review = Review(row["review_label"], row["review_note"], row["reviewed_by"], row["reviewed_s"])
    return FrameRecord(row["record"], row["name"], result, row["boot_id"], row["software"], pictures, review)


def tally_row(tally: Tally) -> tuple[int, int, int, str]:
    """Return the columns ``frames``, ``indeterminate``, ``tiles`` and ``cells`` of a tally."""
    return tally.frames, tally.indeterminate, tally.evidence.tiles, _json(tally.evidence.cells)


def read_tally(row: sqlite3.Row, classes: int) -> Tally:
    """Return the tally that a row holds; without a tile yet its cells are zeros, one a class.

    Raises
    ------
    msgspec.DecodeError
        When a column does not hold what was once written.
    """
    cells = _numbers(row["cells"]) or (0.0,) * classes
    return Tally(Evidence(cells, row["tiles"]), row["frames"], row["indeterminate"])


def read_sample(row: sqlite3.Row) -> SampleRecord:
    """Return the record that a row of ``samples`` and the count of its frames, ``logged``, hold.

    Raises
    ------
    msgspec.DecodeError
        When a column does not hold what was once written.
    """
    result = None
    if row["verdict"] is not None:
        probabilities = _numbers_by_name(row["probabilities"])
        result = SampleResult(
            row["name"], row["verdict"], row["reason"], probabilities, row["frames"], row["indeterminate"]
        )
    return SampleRecord(row["sample"], row["name"], row["started_s"], row["finished_s"], row["logged"], result)


def _numbers_by_name(value: str) -> dict[str, float]:
    return {name: _number(number) for name, number in msgspec.json.decode(value, type=dict[str, float | None]).items()}


def _json(value: object) -> str:
    return _ENCODER.encode(value).decode("utf-8")


def _optional_text(value: str | None) -> str | None:
    return None if value is None else text(value)


def _real(value: float | None) -> float | None:
    return None if value is None else float(value)


def _number(value: float | None) -> float:
    return nan if value is None else value


def _texts(value: str) -> tuple[str, ...]:
    return msgspec.json.decode(value, type=tuple[str, ...])


def _numbers(value: str) -> tuple[float, ...]:
    return tuple(_number(number) for number in msgspec.json.decode(value, type=tuple[float | None, ...]))
