"""Ten thousand frames, small ones and at full size: nothing is lost, and memory does not grow."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from statistics import median

import pytest
from beds.process import Service

from edge.journal import Journal

FRAMES = 10_000
SETTLED = 1_000
SETTINGS = 'camera = "faulty:{mode}"\nsize = "{size}"\num_per_px = {um_per_px}\ninterval = 0.001\ntimeout = 120\n'


@pytest.mark.parametrize(("size", "um_per_px"), [("640x480", 0.4), ("2560x1920", 0.1)])
def test_ten_thousand_frames(tmp_path: Path, figures, size: str, um_per_px: float) -> None:
    settings = SETTINGS.format(mode=tmp_path / "mode", size=size, um_per_px=um_per_px)
    one = Service(tmp_path, tmp_path / "state", settings)
    try:
        one.until(lambda report: report["state"] == "ready", 300)
        # Of a sample every frame counts; otherwise a frame makes way for a newer one.
        one.ask("start", sample="soak")
        one.until(lambda report: report["frames"] >= SETTLED, 1200)
        begun_s, begun, first_mb = time.monotonic(), one.status()["frames"], one.memory_mb()
        most_mb = first_mb
        while (report := one.status())["frames"] < FRAMES:
            assert report["state"] == "ready", report
            most_mb = max(most_mb, one.memory_mb())
            time.sleep(1)
        last_mb, took_s, frames = one.memory_mb(), time.monotonic() - begun_s, report["frames"]
        assert one.end() == 0
        logged = one.rows()
        with closing(Journal.open_read_only(tmp_path / "state/journal.sqlite3")) as journal:
            parts = [frame.result.ms for frame in journal.frames(limit=1000)]
            sequences = {frame.result.sequence for frame in journal.frames(sample="soak", after=SETTLED)}
    finally:
        one.close()
    cost = {name: round(median(each[name] for each in parts), 2) for name in parts[0]}
    lost = max(sequences) - min(sequences) + 1 - len(sequences)
    figures(
        f"soak at {size}",
        frames=len(logged),
        lost=lost,
        memory_mb=[round(value, 1) for value in (first_mb, most_mb, last_mb)],
        frames_per_s=round((frames - begun) / took_s, 1),
        median_ms=cost,
    )
    assert lost == 0
    assert len(logged) >= FRAMES
    assert last_mb - first_mb < 5
