"""Time `wbc-edge classify` of one BMP, whole process, beside a bare process that invokes the model once.

The two take turns, so that what else the machine does slows both; the ratio is that of the medians::

    python benchmarks/classify_start.py --repeats 15
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from edge.model import shelf
from edge.simulator import Smear, draw

BARE = """
import sys
import cv2
import numpy
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
(details,) = interpreter.get_input_details()
interpreter.set_tensor(details["index"], numpy.zeros(details["shape"], details["dtype"]))
interpreter.invoke()
"""
WHOLE = "from edge.cli import main; main()"


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, network = folder / "field.bmp", folder / "network.tflite"
        write_bmp(image)
        with zipfile.ZipFile(shelf.find(None)) as bundle:
            network.write_bytes(bundle.read("network-int8.tflite"))
        command = ["classify", str(image), "--um-per-px", "0.1", "--json", "--journal", str(folder / "journal.sqlite3")]
        processes = {
            "bare": [sys.executable, "-c", BARE, str(network)],
            "whole": [sys.executable, "-c", WHOLE, *command],
        }
        # As on a device: the first start keeps what it compiled.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        taken: dict[str, list[float]] = {process: [] for process in processes}
        for _ in range(repeats + 1):
            for process, arguments in processes.items():
                begun_s = time.perf_counter()
                subprocess.run(arguments, check=True, capture_output=True, env=environment)
                taken[process].append((time.perf_counter() - begun_s) * 1e3)
    # The first of each reads its files from the disk.
    medians = {f"{process}_ms": round(statistics.median(ms[1:]), 1) for process, ms in taken.items()}
    print(json.dumps({**medians, "ratio": round(medians["whole_ms"] / medians["bare_ms"], 3), "repeats": repeats}))


def write_bmp(path: Path) -> None:
    """Write a simulated field of 2560x1920."""
    import cv2

    path.write_bytes(cv2.imencode(".bmp", draw(Smear(kind="MM"), 3).pixels)[1].tobytes())


if __name__ == "__main__":
    main()
