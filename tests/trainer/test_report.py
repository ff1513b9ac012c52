"""A page shows where the network saw its class, and the fields that it is surest of, least sure of, and wrong on."""

from __future__ import annotations

from dataclasses import replace
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


def test_what_speaks_for_a_class_is_warm_and_what_does_not_is_not():
    maps = np.array([[[5.0, -5.0], [-5.0, -5.0]]], np.float32)
    # The tile reaches beyond the left edge.
    heat = sheet.heat(96, 64, np.array([[-8, 16]], np.int32), 32, maps)
    assert heat.shape == (64, 96)
    assert (heat[18:28, 0:4] > 0).all()
    assert not heat[:, 30:].any()
    assert not heat[:14].any()
    assert heat.max() == 1


def test_a_tile_that_speaks_for_its_class_everywhere_shows_no_edge():
    heat = sheet.heat(96, 96, np.array([[32, 32]], np.int32), 32, np.full((1, 8, 8), 3, np.float32))
    assert heat[48, 48] > 0.99
    steps = np.abs(np.diff(heat[48]))
    assert 0 < steps.max() < 0.15


def test_a_field_where_nothing_speaks_for_the_class_is_not_warm():
    maps = np.full((1, 8, 8), -1, np.float32)
    assert not sheet.heat(64, 64, np.array([[16, 16]], np.int32), 32, maps).any()


def test_a_tint_takes_the_class_s_colour_and_lets_the_stain_be_seen():
    pixels = np.full((64, 96, 3), 200, np.uint8)
    heat = np.zeros((32, 48), np.float32)
    heat[:16, :24] = 1
    tinted = sheet.tinted(pixels, heat, called=0)
    assert tinted.shape == pixels.shape
    assert tinted[5, 5].tolist() == [152, 152, 206]
    assert (tinted[40:, 60:] == 200).all()
    assert (pixels == 200).all()


@pytest.mark.parametrize(("width", "um_per_px"), [(480, 0.18), (224, 0.5), (30, 1.0)])
def test_the_scale_bar_is_as_long_as_it_says(width, um_per_px):
    picture = sheet.with_scale_bar(np.full((width * 2 // 3, width, 3), 200, np.uint8), um_per_px)
    rows = (picture == 0).all(axis=2)
    assert rows.any(axis=0).sum() * um_per_px == pytest.approx(sheet.BAR_UM, abs=um_per_px)
    assert not rows[: width // 3].any()


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
        names=np.array([str(source.path) for source in sources]),
        evidence=evidence,
        embeddings=np.zeros((len(labels), 2), np.float32),
        owners=np.arange(len(labels)),
    )
    only = np.zeros(len(labels), np.int64)
    decided = figures.decided(judged, np.zeros(len(labels)), [DECISION] * len(labels))
    return Shown("test", judged, decided, (network,), only, sources)


def test_the_sheet_shows_the_surest_the_least_sure_and_the_wrong(shown):
    found = dict(sheet.rows(shown, 0.5, 32))
    names = [Path(path).name for path in shown.judged.names.tolist()]
    assert list(found)[:3] == [f"most certain of {label}, a group once" for label in CLASSES]
    assert [picture.path for picture in found["least certain"]] == names[: sheet.EACH]
    (wrong,) = found["wrong, the most certain first"]
    assert wrong.path == names[0]


def test_of_each_slide_the_surest_field_is_shown(shown):
    found = dict(sheet.rows(shown, 0.5, 32))
    # Two slides a laboratory, two fields a slide, the later the surer.
    for label in CLASSES:
        surest = [f"{lab}-{label}-{number}.png" for lab in ("violet", "purple") for number in (3, 1)]
        assert [picture.path for picture in found[f"most certain of {label}, a group once"]] == surest


def test_a_caption_tells_the_verdict_and_not_the_most_probable_class_alone(shown):
    found = dict(sheet.rows(shown, 0.5, 32))
    (wrong,) = found["wrong, the most certain first"]
    assert wrong.caption.startswith("ALL, purple: verdict indeterminate (MM ")
    assert wrong.caption.endswith("%, novelty 0.00)")
    assert "normal, violet: verdict normal (normal 9" in found["most certain of normal, a group once"][0].caption


def test_a_field_is_shown_finer_than_the_network_sees_it(tmp_path):
    fine = cv2.resize(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), (640, 480))
    cv2.imwrite(str(tmp_path / "fine.png"), fine)
    source = manifest.LabelledField(tmp_path / "fine.png", "ALL", "g", "lab", 0.1)
    judged = Judged(
        labels=np.array([0]),
        groups=np.array(["g"]),
        labs=np.array(["lab"]),
        classes=CLASSES,
        names=np.array([str(source.path)]),
        evidence=[Evidence((1.0, 0.0, 0.0), 1)],
        embeddings=np.zeros((1, 2), np.float32),
        owners=np.zeros(1, np.int64),
    )
    decided = figures.decided(judged, None, [DECISION])
    other = keras.Sequential([keras.Input((32, 32, 3))])
    (_, (picture,)), *_ = sheet.rows(
        Shown("test", judged, decided, (other,), np.zeros(1, np.int64), (source,)), um_per_px=0.5, tile_px=32
    )
    assert cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (360, 480, 3)


def test_of_a_picture_with_two_regions_each_field_is_shown_by_its_own(shown, network):
    source = shown.sources[0]
    regions = [manifest.Roi(0, 0, 320, 240), manifest.Roi(0, 0, 160, 240)]
    sources = tuple(replace(source, roi=roi) for roi in regions)
    judged = shown.judged.where(np.arange(len(shown.judged.labels)) < 2)
    judged = replace(judged, labels=np.zeros(2, np.int64), names=np.array([each.name for each in sources]))
    decided = figures.decided(judged, None, [DECISION] * 2)
    found = dict(sheet.rows(Shown("test", judged, decided, (network,), np.zeros(2, np.int64), sources), 0.5, 32))
    shapes = [
        cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR).shape[1::-1]
        for picture in found["least certain"]
    ]
    surest = decided.probabilities.max(axis=1)
    assert shapes == [(regions[field].width, regions[field].height) for field in np.argsort(surest, kind="stable")]


def test_a_picture_that_is_gone_is_left_out(shown):
    shown.judged.names[0] = "gone.png"
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
