"""A page shows where the network saw its class, and the fields that it is surest of, least sure of, and wrong on."""

from __future__ import annotations

from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from edge.verdict import Decision, Evidence
from trainer import explain, figures, manifest
from trainer.evaluate import Judged
from trainer.networks import NETWORKS
from trainer.report import plots, sheet
from trainer.report.sheet import Shown

DECISION = Decision(
    pseudo_counts=(0.1,) * 3, temperature=1.0, bias=(0.0,) * 3, least_probability=0.7, least_tiles=1, novelty_warns=0.5
)
CLASSES = ("ALL", "MM", "normal")


@pytest.fixture(scope="module", params=["cell-dense", "cell-dense-light"])
def network(request):
    keras.utils.set_random_seed(1)
    return NETWORKS[request.param](32, 3)


def test_places_add_up_to_the_logits(network):
    tiles = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    maps = explain.activation_maps(network, tiles)
    logits = np.asarray(network.predict_on_batch(tiles.astype(np.float32))[0])
    logits = logits - np.asarray(network.get_layer("logits").bias)
    assert maps.shape[0] == 3
    assert maps.mean(axis=(1, 2)) == pytest.approx(logits - logits.mean(axis=1, keepdims=True), abs=1e-4)


def test_a_network_made_otherwise_has_no_maps():
    tiles = keras.Input((32, 32, 3))
    embedding = keras.layers.Flatten(name="embedding")(keras.layers.Conv2D(2, 16, 16)(tiles))
    other = keras.Model(tiles, [keras.layers.Dense(3, name="logits")(embedding), embedding])
    assert explain.activation_maps(other, np.zeros((1, 32, 32, 3), np.uint8)) is None


def test_what_speaks_for_a_class_is_tinted_and_what_does_not_is_not():
    pixels = np.full((64, 96, 3), 200, np.uint8)
    maps = np.array([[[5.0, -5.0], [-5.0, -5.0]]], np.float32)
    # The tile reaches beyond the left edge.
    tinted = sheet.overlay(pixels, np.array([[-8, 16]], np.int32), 32, maps, called=0)
    changed = (tinted != pixels).any(axis=2)
    assert tinted.shape == pixels.shape
    assert changed[18:28, 0:6].all()
    assert not changed[:, 30:].any()
    assert not changed[:14].any()
    assert (pixels == 200).all()


@pytest.fixture
def shown(manifest_file, network):
    """Show the drawn fields as judged by a reader who is surer the later the field, and wrong on the first."""
    sources = tuple(manifest.read([manifest_file]))
    labels = np.array([CLASSES.index(source.label) for source in sources])
    evidence = []
    for number, label in enumerate(labels.tolist()):
        called = (label + 1) % 3 if number == 0 else label
        rows = np.full(3, 1.0)
        rows[called] += 2 + number
        evidence.append(Evidence(tuple((20 * rows / rows.sum()).tolist()), 20))
    judged = Judged(
        labels=labels,
        groups=np.array([source.group for source in sources]),
        labs=np.array([source.lab for source in sources]),
        classes=CLASSES,
        paths=np.array([str(source.path) for source in sources]),
        evidence=evidence,
        embeddings=np.zeros((len(labels), 2), np.float32),
        owners=np.arange(len(labels)),
    )
    only = np.zeros(len(labels), np.int64)
    decided = figures.decided(judged, np.zeros(len(labels)), [DECISION] * len(labels))
    return Shown("test", judged, decided, (network,), only, sources)


def test_the_sheet_shows_the_surest_the_least_sure_and_the_wrong(shown):
    found = dict(sheet.rows(shown, 0.5, 32))
    names = [Path(path).name for path in shown.judged.paths.tolist()]
    assert [picture.path for picture in found["most certain"]] == names[::-1][: sheet.EACH]
    assert [picture.path for picture in found["least certain"]] == names[: sheet.EACH]
    (wrong,) = found["wrong, the most certain first"]
    assert wrong.path == names[0]
    assert "called MM" in wrong.caption
    assert cv2.imdecode(np.frombuffer(wrong.jpeg, np.uint8), cv2.IMREAD_COLOR).shape[1] == 320


def test_a_picture_that_is_gone_is_left_out(shown):
    shown.judged.paths[0] = "gone.png"
    sources = (manifest.LabelledField(Path("gone.png"), "ALL", "g", "l", 0.5), *shown.sources)
    gone = Shown("test", shown.judged, shown.decided, shown.networks, shown.judges, sources)
    assert "wrong, the most certain first" not in dict(sheet.rows(gone, 0.5, 32))


def test_drawings_are_pieces_of_a_page(shown):
    curve = {"coverage": [0.5, 1.0], "risk": [0.0, 0.0]}
    for drawing in (
        plots.confusion(shown.judged, shown.decided.probabilities),
        plots.roc(shown.judged, shown.decided.probabilities),
        plots.reliability([{"confidence": 0.9, "accuracy": 0.8, "share": 1.0}]),
        plots.risk_coverage(curve),
    ):
        assert drawing.startswith("<svg")
