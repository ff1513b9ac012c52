"""Bundles to read: the one that ships, and a small one whose network no runtime need load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.model import bundle as bundles
from edge.model import shelf
from edge.model.bundle import Bundle
from edge.model.description import FORMAT, Description, Tiling, Training
from edge.verdict import Decision


@pytest.fixture(scope="session")
def small() -> Bundle:
    rng = np.random.default_rng(0)
    return Bundle(
        description=Description(
            format=FORMAT,
            name="small",
            version="1.0.0",
            created="2026-11-23",
            classes=("ALL", "MM", "normal"),
            normalisation="clear-glass-240",
            um_per_px=0.5,
            tiling=Tiling(strategy="nuclei", tile_px=8),
            decision=Decision(
                pseudo_counts=(1.0, 1.0, 1.0),
                temperature=0.5,
                bias=(0.0, 0.5, -0.5),
                least_probability=0.6,
                least_tiles=2,
                novelty_warns=0.5,
            ),
            networks={"int8": "network-int8.tflite", "float16": "network-float16.tflite"},
            training=Training(data=("drawn, Apache-2.0",), licence="research only"),
            metrics={"auroc": 0.95},
        ),
        networks={"int8": rng.bytes(300), "float16": rng.bytes(300)},
        card="# Small\n\nÄ model of nothing.\n",
        novelty_mean=rng.normal(size=4).astype(np.float32),
        novelty_whitening=rng.normal(size=(4, 4)).astype(np.float32),
        selftest_tiles=rng.integers(0, 256, (2, 8, 8, 3), np.uint8),
        selftest_logits={kind: rng.normal(size=(2, 3)).astype(np.float32) for kind in ("int8", "float16")},
        parity=b'{"tiles": 2}',
    )


@pytest.fixture(scope="session")
def whole(small: Bundle, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the small bundle's file."""
    path = tmp_path_factory.mktemp("whole") / "small.wbc"
    bundles.write(small, path)
    return path.read_bytes()


@pytest.fixture(scope="session")
def bundled() -> Bundle:
    return bundles.read(shelf.find(None))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a model, größer.wbc"
