"""A run as the trainer writes it, made by hand: a small network that was never trained."""

from __future__ import annotations

import numpy as np
import pytest

from edge.model import run as runs
from edge.model.description import Tiling, Training
from edge.model.run import Run
from edge.verdict import Decision

CLASSES = ("ALL", "MM", "normal")
TILE_PX = 32


@pytest.fixture(scope="session")
def tiles():
    """Sixty tiles of squares in all colours."""
    rng = np.random.default_rng(0)
    drawn = np.full((60, TILE_PX, TILE_PX, 3), 238, np.uint8)
    for tile in drawn:
        x, y = rng.integers(0, TILE_PX // 2, 2)
        tile[y : y + 14, x : x + 14] = rng.integers(0, 256, 3)
    return drawn


@pytest.fixture(scope="session")
def network():
    """Build a network of the form that the trainer's have."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    shown = keras.Input((TILE_PX, TILE_PX, 3))
    x = layers.Rescaling(1 / 127.5, -1)(shown)
    x = layers.ReLU(6)(layers.Conv2D(8, 3, 2)(x))
    embedding = layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3)(x))
    return keras.Model(shown, [layers.Dense(len(CLASSES))(embedding), embedding])


@pytest.fixture
def run_folder(tmp_path, network, tiles):
    """Write a whole run; its labels are what the float network decides."""
    folder = tmp_path / "run"
    folder.mkdir()
    network.save(folder / runs.NETWORK)
    logits = np.asarray(network.predict_on_batch(tiles.astype(np.float32))[0])
    np.save(folder / runs.CALIBRATION, tiles[:40])
    np.save(folder / runs.HELD_OUT_TILES, tiles)
    np.save(folder / runs.HELD_OUT_LABELS, logits.argmax(axis=1).astype(np.int64))
    np.save(folder / runs.NOVELTY, np.vstack([np.zeros(8), np.eye(8)]).astype(np.float32))
    (folder / runs.CARD).write_text("# small\n\nWhat must not be believed.\n", encoding="utf-8")
    run = Run(
        name="small",
        version="1",
        created="2026-11-01",
        classes=CLASSES,
        um_per_px=0.5,
        tiling=Tiling(strategy="nuclei", tile_px=TILE_PX),
        decision=Decision(
            pseudo_counts=(0.1,) * 3,
            temperature=1.0,
            bias=(0.0,) * 3,
            least_probability=0.7,
            least_tiles=1,
            novelty_warns=0.7,
        ),
        training=Training(data=("squares",), licence="research only", held_out_groups=("g1",)),
        metrics={"cross-validated decided": 0.5},
    )
    runs.write(run, folder)
    return folder
