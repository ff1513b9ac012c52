"""A run becomes a bundle that decides as it did, or nothing is written and one line says why."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from convert import novelty as novelties
from convert import report, subject
from convert.errors import CalibrationRefused, NetworkUnreadable, QuantizationRefused
from convert.network import Preprocessing
from convert.parity import Budget
from convert.quantize import SELFTEST_TILES, Plan, quantize
from edge import verdict
from edge.errors import BundleCorrupt, BundleNotFound, ConfigurationError, OutputError
from edge.model import bundle as bundles
from edge.model import open_model, selftest, shelf
from edge.model import run as runs


def converted(folder, out, progress=lambda _: None, **plan):
    return quantize(subject.of_run(folder, None, None, progress), out, Plan(**plan), progress)


STRICT = Budget(min_agreement=1.01)


def test_a_run_becomes_a_bundle_of_every_type(whole, network, tiles):
    bundle, parity = whole
    exact = np.asarray(network.predict_on_batch(tiles.astype(np.float32))[0])
    for kind in ("int8", "float16", "float32", "dynamic"):
        model = open_model(bundle.path, kind=kind)
        assert len(bundle.selftest_tiles) == SELFTEST_TILES
        assert selftest.check(model.bundle, model.runtime, kind) == 0
        found = parity.types[kind].comparison.whole
        assert found.tile_agreement >= 0.98
        largest = np.abs(model.runtime.run(tiles).logits - exact).max()
        assert largest == pytest.approx(found.largest_difference, abs=1e-3)
        assert bundle.description.metrics[f"{kind} agreement with float"] == found.tile_agreement
    assert open_model(bundle.path).kind == "int8"


def test_every_decision_of_the_self_test_is_clear(whole):
    bundle, _ = whole
    model = open_model(bundle.path)
    lead = np.diff(np.sort(bundle.selftest_logits["int8"], axis=1)[:, -2:]).ravel()
    assert lead.min() > 2 * selftest.MOST_STEPS * model.runtime.logit_step


def test_the_bundle_says_what_became_of_the_network(whole):
    bundle, parity = whole
    assert report.of(bundle) == parity
    assert bundle.description.metrics["cross-validated decided"] == 0.5
    assert bundle.description.training.held_out_groups == ("g1",)
    assert "What must not be believed." in bundle.card
    assert "held-out tiles, each counted as a field (60 tiles)" in bundle.card
    assert "| float16 | 100.00% |" in bundle.card


def test_the_bundled_model_says_what_the_converter_says_today():
    bundled = bundles.read(shelf.find(None))
    parity = report.of(bundled)
    assert report.mended(parity)
    assert report.mended(parity) in bundled.card
    assert f"| {report.share(parity.types['int8'].comparison.whole.novel)} |" in bundled.card
    assert parity.types["int8"].comparison.whole.novel is not None


def test_the_steps_are_told_and_the_figures_are_by_class_and_laboratory(run_folder, tmp_path):
    steps = []
    bundle, parity = converted(run_folder, tmp_path / "small.wbc", steps.append)
    assert steps[0] == "loading the network"
    assert steps[-1] == "packing"
    assert any(step.endswith("within the budget") for step in steps)
    assert (parity.trained.whole.fields, parity.trained.whole.tiles) == (12, 60)
    assert set(parity.types["int8"].comparison.by_lab) == {"north", "south"}
    assert parity.packed == ("int8",)
    assert [tried.refused for tried in parity.tried] == [""]
    assert "On 12 held-out fields (60 tiles)" in bundle.card
    page = (tmp_path / "small.parity.html").read_text(encoding="utf-8")
    for told in ("north", "south", "same verdict", "conv2d", "For research use only", "multiply-accumulates"):
        assert told in page
    assert "http" not in page.replace("https://www.w3.org", "")


def test_a_run_without_a_held_out_part_says_which_tiles_were_compared(run_folder, tmp_path):
    change(run_folder, training={"data": ["squares"], "licence": "research only"})
    assert "On 12 training fields" in converted(run_folder, tmp_path / "small.wbc")[0].card


def test_training_fields_are_not_called_held_out_where_the_held_out_groups_show_no_nucleus(run_folder, tmp_path):
    change(run_folder, training={"data": ["squares"], "licence": "r", "held_out_groups": ["blank-1"]})
    bundle, parity = converted(run_folder, tmp_path / "small.wbc")
    assert parity.kind_of_fields == report.TRAINING
    assert "On 12 training fields" in bundle.card


def test_what_lost_its_judgement_is_refused_and_nothing_is_written_but_the_report_asked_for(run_folder, tmp_path):
    out = tmp_path / "out" / "small.wbc"
    out.parent.mkdir()
    with pytest.raises(QuantizationRefused, match="At least 101% are asked for") as refused:
        converted(run_folder, out, budget=STRICT, mend=())
    assert refused.value.exit_code == 72
    assert not list(out.parent.iterdir())
    with pytest.raises(QuantizationRefused):
        converted(run_folder, out, budget=STRICT, mend=(), report=tmp_path / "why.html")
    assert "decides only 100.0% of 12 fields" in (tmp_path / "why.html").read_text(encoding="utf-8")


def test_a_network_that_a_device_would_refuse_fields_by_as_novel_is_refused_though_its_verdicts_agree(
    run_folder, tmp_path
):
    given = subject.of_run(run_folder, None, None, lambda _: None)
    bundle, _ = quantize(given, tmp_path / "small.wbc", Plan())
    novelty = np.load(run_folder / runs.NOVELTY)
    trained, int8 = (
        novelties.of_fields(embeddings, given.fields.owners, novelty[0], novelty[1:])
        for embeddings in (
            given.network.run(given.fields.tiles)[1],
            open_model(bundle.path).runtime.run(given.fields.tiles).embeddings,
        )
    )
    # A threshold at which rounding alone makes fields novel.
    threshold = next(each for each in sorted((trained + int8) / 2) if (int8 > each).sum() > (trained > each).sum())
    novelty[1:] /= threshold
    np.save(run_folder / runs.NOVELTY, novelty)
    with pytest.raises(QuantizationRefused, match=r"refuses .*% of 12 fields as novel, the trained one ") as refused:
        converted(run_folder, tmp_path / "novel.wbc")
    assert refused.value.exit_code == 72
    assert not (tmp_path / "novel.wbc").exists()
    converted(run_folder, tmp_path / "novel.wbc", budget=Budget(min_agreement=0))


def test_a_bundle_that_is_there_stays_when_the_new_one_is_refused(run_folder, tmp_path):
    (tmp_path / "small.wbc").write_bytes(b"older")
    with pytest.raises(QuantizationRefused):
        converted(run_folder, tmp_path / "small.wbc", budget=STRICT, mend=())
    assert (tmp_path / "small.wbc").read_bytes() == b"older"


def test_an_output_that_cannot_be_written_is_said(run_folder, tmp_path):
    with pytest.raises(OutputError) as refused:
        converted(run_folder, tmp_path / "missing" / "small.wbc")
    assert refused.value.exit_code == 50


def test_a_full_disk_leaves_no_half_bundle(run_folder, tmp_path, disk_of):
    disk = disk_of("4k")
    with pytest.raises(OutputError, match="No space left"):
        converted(run_folder, disk / "small.wbc", report=tmp_path / "report.html")
    assert not list(disk.iterdir())


def test_no_report_stays_of_a_bundle_that_could_not_be_written(run_folder, tmp_path):
    (tmp_path / "out" / "small.wbc").mkdir(parents=True)
    with pytest.raises(OutputError):
        converted(run_folder, tmp_path / "out" / "small.wbc")
    assert [left.name for left in (tmp_path / "out").iterdir()] == ["small.wbc"]


def change(folder, **values):
    described = json.loads((folder / runs.DESCRIPTION).read_bytes())
    (folder / runs.DESCRIPTION).write_bytes(msgspec.json.encode(described | values))


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        (runs.HELD_OUT_TILES, np.zeros((3, 16, 16, 3), np.uint8), "no tiles of 32 px"),
        (runs.HELD_OUT_TILES, np.zeros((0, 32, 32, 3), np.uint8), "no tiles of 32 px"),
        (runs.HELD_OUT_TILES, np.zeros((3, 32, 32, 3), np.float32), "holds float32, not uint8"),
        (runs.HELD_OUT_LABELS, np.zeros(3, np.int64), "do not fit each other"),
        (runs.HELD_OUT_LABELS, np.array(["ALL"] * 60), "holds <U3, not int64"),
        (runs.NOVELTY, np.zeros((8, 8), np.float32), "do not fit each other"),
        (runs.CALIBRATION, np.zeros((0, 32, 32, 3), np.uint8), "no tiles of 32 px"),
        (runs.CALIBRATION, np.zeros((9, 32, 32, 1), np.uint8), "no tiles of 32 px"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(run_folder, tmp_path, file, content, told):
    np.save(run_folder / file, content)
    with pytest.raises(BundleCorrupt, match=told):
        converted(run_folder, tmp_path / "small.wbc")
    assert not (tmp_path / "small.wbc").exists()


@pytest.mark.parametrize("file", [runs.HELD_OUT_TILES, runs.HELD_OUT_LABELS, runs.NOVELTY, runs.CALIBRATION, runs.CARD])
def test_a_missing_file_is_named(run_folder, tmp_path, file):
    (run_folder / file).unlink()
    with pytest.raises(BundleCorrupt, match=file):
        converted(run_folder, tmp_path / "small.wbc")


@pytest.mark.parametrize("content", [b"", b"no array", np.lib.format.magic(1, 0)])
def test_a_damaged_array_is_named(run_folder, tmp_path, content):
    (run_folder / runs.HELD_OUT_TILES).write_bytes(content)
    with pytest.raises(BundleCorrupt, match=runs.HELD_OUT_TILES):
        converted(run_folder, tmp_path / "small.wbc")


def test_an_unfinished_run_is_no_run(run_folder, tmp_path):
    (run_folder / runs.DESCRIPTION).unlink()
    with pytest.raises(BundleNotFound, match="not a finished training run"):
        converted(run_folder, tmp_path / "small.wbc")


@pytest.mark.parametrize(
    "values",
    [
        {"classes": ["ALL"]},
        {"name": "../small"},
        {"um_per_px": 0.0},
        {"decision": {}},
    ],
)
def test_a_description_that_is_not_valid_is_refused(run_folder, tmp_path, values):
    change(run_folder, **values)
    with pytest.raises(BundleCorrupt, match="description is not valid"):
        converted(run_folder, tmp_path / "small.wbc")


def test_classes_that_no_device_would_take_are_not_written(run_folder, tmp_path):
    change(run_folder, classes=["ALL", "ALL", "normal"])
    with pytest.raises(BundleCorrupt, match="not distinct"):
        converted(run_folder, tmp_path / "small.wbc")
    assert not (tmp_path / "small.wbc").exists()


def test_a_network_that_cannot_be_read_is_refused(run_folder, tmp_path):
    (run_folder / runs.NETWORK).write_bytes(b"no network")
    with pytest.raises(NetworkUnreadable):
        converted(run_folder, tmp_path / "small.wbc")


def test_a_dataset_that_calibrates_nothing_is_refused(run_folder, tmp_path):
    np.save(run_folder / runs.CALIBRATION, np.full((9, 32, 32, 3), 200, np.uint8))
    with pytest.raises(CalibrationRefused, match="the same tile throughout") as refused:
        converted(run_folder, tmp_path / "small.wbc")
    assert refused.value.exit_code == 71


@pytest.fixture
def foreign(tmp_path):
    """Save a classifier of RGB tiles from -1 to 1, as others train them."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(5)
    shown = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(12, 3, activation="relu")(shown))
    path = tmp_path / "foreign.keras"
    keras.Model(shown, layers.Dense(3, activation="softmax")(x)).save(path)
    return path


TOLD = subject.Foreign(
    classes=("ALL", "MM", "normal"),
    um_per_px=0.5,
    preprocessing=Preprocessing(127.5, (127.5,), rgb=True),
    name="foreign",
    least_probability=0.3,
)


def test_a_network_from_elsewhere_gets_the_same_guarantees(foreign, part_of, tmp_path):
    given = subject.of_network(foreign, TOLD, part_of("cal.csv", "-0,"), part_of("data.csv", "-1,"), lambda _: None)
    bundle, parity = quantize(given, tmp_path / "foreign.wbc", Plan(kinds=("int8", "float32")))
    assert parity.trained.whole.fields == 3
    assert set(parity.trained.by_lab) == {"lab-1"}
    assert parity.types["float32"].comparison.whole.largest_difference < 1e-3
    model = open_model(tmp_path / "foreign.wbc")
    assert model.bundle.description.tiling.tile_px == 32
    assert "not trained by wbc-edge" in bundle.card
    assert "On 3 fields given by --data" in bundle.card
    assert "3 fields given by --data" in (tmp_path / "foreign.parity.html").read_text(encoding="utf-8").replace(
        "\n", " "
    )


def test_a_network_with_a_wide_embedding_refuses_no_field_like_its_calibration_fields(part_of, tmp_path):
    import keras
    from keras import layers

    keras.utils.set_random_seed(6)
    shown = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(512, 5, 3, activation="relu")(shown))
    keras.Model(shown, layers.Dense(3, activation="softmax")(x)).save(tmp_path / "wide.keras")
    both = part_of("cal.csv", "-0,"), part_of("data.csv", "-1,")
    given = subject.of_network(tmp_path / "wide.keras", TOLD, *both, lambda _: None)
    _, parity = quantize(given, tmp_path / "wide.wbc", Plan(budget=Budget(min_agreement=0)))
    assert parity.trained.whole.novel == parity.types["int8"].comparison.whole.novel == 0
    model = open_model(tmp_path / "wide.wbc")
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    noisy = model.runtime.run(noise).embeddings
    assert verdict.novelty(noisy, model.bundle.novelty_mean, model.bundle.novelty_whitening) > 1


def test_a_network_from_elsewhere_must_have_the_classes_that_are_named(foreign, part_of):
    both = part_of("cal.csv", "-0,"), part_of("data.csv", "-1,")
    with pytest.raises(NetworkUnreadable, match="has 3 outputs, but the classes are ALL, MM"):
        subject.of_network(foreign, replace(TOLD, classes=("ALL", "MM")), *both, lambda _: None)
    with pytest.raises(ConfigurationError, match="not distinct"):
        subject.of_network(foreign, replace(TOLD, classes=("ALL", "ALL", "MM")), *both, lambda _: None)


def test_what_a_network_from_elsewhere_is_tested_on_may_not_calibrate_it(foreign, drawn_fields, part_of):
    with pytest.raises(CalibrationRefused, match="of the test part"):
        subject.of_network(foreign, TOLD, drawn_fields, part_of("data.csv", "-1,"), lambda _: None)


def test_a_run_may_be_calibrated_and_compared_by_manifests(run_folder, part_of, tmp_path):
    given = subject.of_run(run_folder, part_of("cal.csv", "-0,"), part_of("data.csv", "-1,"), lambda _: None)
    assert given.fields.groups.tolist() == ["ALL-1", "MM-1", "normal-1"]
    assert given.kind_of_fields == report.GIVEN
    change(run_folder, training={"data": ["squares"], "licence": "r", "held_out_groups": ["ALL-1", "MM-1"]})
    given = subject.of_run(run_folder, None, part_of("two.csv", "ALL-1,", "MM-1,"), lambda _: None)
    assert given.kind_of_fields == report.HELD_OUT
    change(run_folder, training={"data": ["squares"], "licence": "r", "held_out_groups": ["MM-0"]})
    with pytest.raises(CalibrationRefused, match="MM-0"):
        subject.of_run(run_folder, part_of("cal.csv", "-0,"), None, lambda _: None)
