"""What a network's shape costs: an untrained network as int8 and as float32, 64 tiles in the calls that a device makes.

    python benchmarks/network_speed.py [--network cell-dense] [--tile 64] [--repeats 40]

prints parameters, and the least and the median milliseconds of each, taking turns. Training changes none of them, so
that a shape can be chosen before it is trained.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from convert import network as conversion
from convert import tflite
from edge.model import runtime
from edge.model.description import Kind
from trainer.networks import NETWORKS

CLASSES = 3
TILES = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="cell-dense", choices=sorted(NETWORKS))
    parser.add_argument("--tile", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=40)
    arguments = parser.parse_args()
    network = NETWORKS[arguments.network](arguments.tile, CLASSES)
    shape = (TILES, arguments.tile, arguments.tile, 3)
    tiles = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    frozen = conversion.of_keras(network, Path(arguments.network))
    kinds: tuple[Kind, ...] = ("int8", "float32")
    networks = {kind: tflite.convert(frozen, kind, tiles[:8]) for kind in kinds}
    loaded = {kind: runtime.load(content, CLASSES) for kind, content in networks.items()}
    taken: dict[Kind, list[float]] = {kind: [] for kind in loaded}
    for _ in range(arguments.repeats):
        for kind, each in loaded.items():
            begun_s = time.perf_counter()
            each.run(tiles)
            taken[kind].append((time.perf_counter() - begun_s) * 1e3)
    print(f"{arguments.network}, {network.count_params()} parameters, {TILES} tiles of {arguments.tile} px")
    for kind, ms in taken.items():
        print(f"{kind:8} {min(ms):6.2f} ms least, {statistics.median(ms):6.2f} median, {len(networks[kind])} bytes")


if __name__ == "__main__":
    main()
