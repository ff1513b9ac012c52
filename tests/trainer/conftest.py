"""Fields that every test of the trainer learns from: drawn, of two laboratories with different stains."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny

from edge.simulator import Smear, Stain, draw
from trainer.cells import Cells
from trainer.manifest import LabelledField

VIOLET = Stain(
    nucleus=(0.17, 0.62, 0.44),
    cytoplasm=(0.07, 0.17, 0.22),
    red_cell=(0.09, 0.11, 0.09),
    granule=(0.34, 0.36, 0.12),
    film=(0.03, 0.05, 0.04),
)
COLUMNS = ("path", "label", "group", "lab", "um_per_px")
UM_PER_PX = 0.5


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Draw two fields of each of two slides of each class in each laboratory; give the rows of their manifest."""
    folder = tmp_path_factory.mktemp("fields")
    rows = []
    for lab, stain in (("purple", Stain()), ("violet", VIOLET)):
        for kind in ("ALL", "MM", "normal"):
            smear = Smear(kind=kind, size_px=(320, 240), um_per_px=UM_PER_PX, stain=stain, white_cells=1500.0)
            for number in range(4):
                path = folder / f"{lab}-{kind}-{number}.png"
                cv2.imwrite(str(path), draw(smear, len(rows)).pixels)
                rows.append((str(path), kind, f"{lab}-{kind}-{number // 2}", lab, str(UM_PER_PX)))
    return rows


@pytest.fixture
def write_manifest(tmp_path):
    """Give a function that writes rows as a manifest."""

    def write(rows, columns=COLUMNS, name="fields.csv"):
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([columns, *rows])
        return path

    return write


@pytest.fixture(scope="session")
def manifest_file(drawn, tmp_path_factory):
    """Write the drawn fields' manifest."""
    path = tmp_path_factory.mktemp("manifest") / "fields.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *drawn])
    return path


@pytest.fixture
def make_cells():
    """Give a function that makes cells of the given origins (label, lab, group), one field an origin."""

    def make(origins, per_field=4, side_px=48, seed=0):
        rng = np.random.default_rng(seed)
        classes = tuple(sorted({label for label, _, _ in origins}))
        sources = tuple(
            LabelledField(Path(f"{number}.png"), label, group, lab, UM_PER_PX)
            for number, (label, lab, group) in enumerate(origins)
        )
        fields = np.repeat(np.arange(len(origins)), per_field)
        labels = np.array([classes.index(label) for label, _, _ in origins])[fields]
        # Each laboratory has a colour of its own.
        labs = sorted({lab for _, lab, _ in origins})
        tints = np.array([(210 - 40 * labs.index(lab), 120, 150 + 25 * labs.index(lab)) for _, lab, _ in origins])
        noise = rng.normal(0, 12, (len(fields), side_px, side_px, 3))
        tiles = np.clip(tints[fields][:, None, None] + noise, 0, 255).astype(np.uint8)
        return Cells(tiles, labels, fields, classes, sources)

    return make


@pytest.fixture
def quick_training(monkeypatch):
    """Choose a network that is trained in seconds."""
    import trainer
    from trainer.networks import NETWORKS

    monkeypatch.setitem(NETWORKS, "tiny", tiny.build)
    return trainer.Settings(network="tiny", steps=1, batch=2, tile_px=32)
