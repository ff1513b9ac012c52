"""Watch the memory of `wbc-edge capture` at 2560x1920 over many frames: how much at most, and whether it grows.

The frames are files, one field over and over, so that a thousand take minutes and not the hours of drawing them::

    python benchmarks/capture_memory.py --frames 1000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

from edge.simulator import Smear, draw

SETTLED = 50
"""After so many frames everything that is kept for good is there."""

WHOLE = "from edge.cli import main; main()"


def main() -> None:
    """Measure and print one JSON object, megabytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--save", choices=["none", "frames", "overlays"], default="none")
    asked = parser.parse_args()
    if asked.frames <= SETTLED:
        parser.error(f"--frames must be more than {SETTLED}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fields = folder / "fields"
        fields.mkdir()
        field = fields / "0000.bmp"
        field.write_bytes(cv2.imencode(".bmp", draw(Smear(kind="ALL"), 1).pixels)[1].tobytes())
        for number in range(1, asked.frames):
            (fields / f"{number:04d}.bmp").symlink_to(field)
        command = ["capture", "--classify", "--json", "--camera", f"file:{fields}", "--um-per-px", "0.1"]
        command += ["--journal", str(folder / "journal.sqlite3"), "--save", asked.save]
        resident = []
        with subprocess.Popen([sys.executable, "-c", WHOLE, *command], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if "record" in json.loads(line):
                    resident.append((memory_mb(process.pid, "VmRSS"), memory_mb(process.pid, "VmHWM")))
    if process.returncode:
        sys.exit(process.returncode)
    print(
        json.dumps(
            {
                "frames": len(resident),
                "peak_mb": max(peak for _, peak in resident),
                "settled_mb": resident[SETTLED][0],
                "last_mb": resident[-1][0],
                "peak_growth_mb": round(resident[-1][1] - resident[SETTLED][1], 1),
                "save": asked.save,
            }
        )
    )


def memory_mb(process: int, kind: str) -> float:
    """Read a process's memory, resident now (VmRSS) or at most so far (VmHWM), megabytes."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(kind):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return 0.0  # it has just ended


if __name__ == "__main__":
    main()
