"""Runs as the trainer writes them, made by hand, and networks from elsewhere, good and hard to quantize."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from convert import subject
from convert.quantize import Plan, quantize
from edge.model import run as runs
from edge.model.description import Tiling, Training
from edge.model.run import Run
from edge.simulator import Smear, draw
from edge.verdict import Decision

CLASSES = ("ALL", "MM", "normal")
TILE_PX = 32


def squares(number, seed):
    """Draw tiles of a square whose strongest channel is its class; tiles and labels."""
    rng = np.random.default_rng(seed)
    drawn, labels = np.full((number, TILE_PX, TILE_PX, 3), 238, np.uint8), rng.integers(0, 3, number)
    for tile, label in zip(drawn, labels, strict=True):
        colour = rng.integers(0, 256, 3)
        colour[label] = min(255, colour.max() + rng.integers(5, 80))
        x, y = rng.integers(0, TILE_PX // 2, 2)
        tile[y : y + 14, x : x + 14] = colour
    return drawn, labels.astype(np.int64)


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


def write_run(folder, network, calibration, held_out, labels, sources=None, least_probability=0.7):
    """Write a run; held-out tiles are of five a field where sources are asked for."""
    folder.mkdir()
    network.save(folder / runs.NETWORK)
    _, embeddings = (np.asarray(part) for part in network.predict_on_batch(calibration.astype(np.float32)))
    depth = embeddings.shape[1]
    np.save(folder / runs.CALIBRATION, calibration)
    np.save(folder / runs.HELD_OUT_TILES, held_out)
    np.save(folder / runs.HELD_OUT_LABELS, labels)
    if sources is not None:
        np.save(folder / runs.HELD_OUT_FIELDS, np.arange(len(labels)) // 5)
        np.save(folder / runs.HELD_OUT_SOURCES, np.array(sources))
    np.save(folder / runs.NOVELTY, np.vstack([embeddings.mean(axis=0), np.eye(depth)]).astype(np.float32))
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
            least_probability=least_probability,
            least_tiles=1,
            novelty_warns=0.7,
        ),
        training=Training(
            data=("squares",),
            licence="research only",
            held_out_groups=tuple(sorted({group for _, group, _ in sources})) if sources else ("g1",),
        ),
        metrics={"cross-validated decided": 0.5},
    )
    runs.write(run, folder)
    return folder


@pytest.fixture
def run_folder(tmp_path, network, tiles):
    """Write a whole run; its labels are what the float network decides, its fields of two laboratories."""
    labels = np.asarray(network.predict_on_batch(tiles.astype(np.float32))[0]).argmax(axis=1).astype(np.int64)
    order = np.argsort(labels, kind="stable")
    sources = [(CLASSES[labels[order][5 * field]], f"g{field}", ("north", "south")[field % 2]) for field in range(12)]
    return write_run(tmp_path / "run", network, tiles[:40], tiles[order], labels[order], sources, 0.4)


@pytest.fixture(scope="session")
def mobile():
    """Train a network like MobileNetV2 on squares, then make it quantize badly; it still does the same.

    Three channels of each linear bottleneck are made 32 times as wide, and what reads them as much narrower: the same
    function in float, and hardly any step left in int8 for the other channels.
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)

    def convolved(x, filters, kernel=1, stride=1, *, linear=False):
        layer = layers.Conv2D(filters, kernel, stride, "same") if filters else layers.DepthwiseConv2D(3, stride, "same")
        return layer(x) if linear else layers.ReLU(6)(layer(x))

    shown = keras.Input((TILE_PX, TILE_PX, 3))
    x = convolved(layers.Rescaling(1 / 127.5, -1)(shown), 16, 3, 2)
    narrow = convolved(x, 12, linear=True)
    x = convolved(convolved(convolved(narrow, 48), 0), 12, linear=True)
    x = layers.Add()([narrow, x])
    x = convolved(convolved(convolved(x, 48), 0, stride=2), 16, linear=True)
    embedding = layers.GlobalAveragePooling2D()(convolved(x, 64))
    model = keras.Model(shown, [layers.Dense(len(CLASSES))(embedding), embedding])
    drawn, labels = squares(512, 1)
    taught = keras.Model(shown, model.outputs[0])
    taught.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    taught.fit(drawn.astype(np.float32), labels, batch_size=64, epochs=12, verbose=0)
    weighted = [layer for layer in model.layers if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D)]
    for writes, reads in ((1, 2), (4, 5), (7, 8)):
        kernel, bias = weighted[writes].get_weights()
        kernel[..., :3] *= 32
        bias[:3] *= 32
        weighted[writes].set_weights([kernel, bias])
        kernel, bias = weighted[reads].get_weights()
        kernel[:, :, :3] /= 32
        weighted[reads].set_weights([kernel, bias])
    return model


@pytest.fixture(scope="session")
def mobile_run(mobile, tmp_path_factory):
    """Write a run of that network."""
    calibration, _ = squares(200, 3)
    held_out, labels = squares(300, 2)
    order = np.argsort(labels, kind="stable")
    sources = [(CLASSES[labels[order][5 * field]], f"g{field}", "north") for field in range(60)]
    folder = tmp_path_factory.mktemp("mobile") / "run"
    return write_run(folder, mobile, calibration, held_out[order], labels[order], sources, 0.5)


def converted(folder, out, progress=lambda _: None, **plan):
    """Convert a run."""
    return quantize(subject.of_run(folder, None, None, progress), out, Plan(**plan), progress)


@pytest.fixture(scope="session")
def whole(network, tiles, tmp_path_factory):
    """Convert a run to all types, once; the bundle as read back, and the parity."""
    folder = tmp_path_factory.mktemp("whole")
    labels = np.asarray(network.predict_on_batch(tiles.astype(np.float32))[0]).argmax(axis=1).astype(np.int64)
    write_run(folder / "run", network, tiles[:40], tiles, labels)
    return converted(folder / "run", folder / "small.wbc", kinds=("int8", "float16", "float32", "dynamic"))


@pytest.fixture(scope="session")
def drawn_fields(tmp_path_factory):
    """Draw fields of the three classes and write them with a manifest of two groups a class."""
    folder = tmp_path_factory.mktemp("fields")
    lines = ["path,label,group,lab,um_per_px"]
    for label in CLASSES:
        for number in (0, 1):
            smear = Smear(kind=label, size_px=(320, 240), um_per_px=0.5, white_cells=1500.0)
            path = folder / f"{label}-{number}.png"
            cv2.imwrite(str(path), draw(smear, number).pixels)
            lines.append(f"{path.name},{label},{label}-{number},lab-{number},{smear.um_per_px}")
    return write_manifest(folder / "all.csv", lines)


def write_manifest(path: Path, lines):
    """Write a manifest."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def part_of(drawn_fields):
    """Write a manifest of some of the drawn fields, by what a line must hold."""

    def chosen(name, *wanted):
        head, *rows = drawn_fields.read_text(encoding="utf-8").splitlines()
        kept = [row for row in rows if any(part in row for part in wanted)]
        return write_manifest(drawn_fields.with_name(name), [head, *kept])

    return chosen
