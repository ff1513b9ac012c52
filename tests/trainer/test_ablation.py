"""Variants differ in one thing, and are measured on the same fields by what saw nothing of their fold."""

from __future__ import annotations

from dataclasses import asdict, replace

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from interrupted import Stopped

from edge.errors import ConfigurationError
from edge.verdict import Evidence
from trainer import dataset
from trainer.ablation import ablate as ablation
from trainer.ablation import measured, morphology, table
from trainer.ablation.ablate import TABLE, ablate
from trainer.ablation.measured import AS_THEY_ARE, RESTAINED, Figure, Measured
from trainer.ablation.variants import GIVEN, lineup
from trainer.cli import main
from trainer.errors import DataError, TrainingFailed
from trainer.evaluate import Judged
from trainer.figures import Decided
from trainer.settings import Settings

CLASSES = ("ALL", "normal")


def flat(settings):
    values = asdict(settings)
    return values | values.pop("augmentation")


def test_each_variant_changes_what_it_is_named_after_and_nothing_else():
    given = Settings(simulate=3)
    changed = {
        variant.name: {name for name, value in flat(variant.change(given)).items() if value != flat(given)[name]}
        for variant in lineup([1, 2], ["slide"])
    }
    assert changed == {
        GIVEN: set(),
        "seed-1": {"seed"},
        "seed-2": {"seed"},
        "stopped-early": {"stop_on"},
        "no-restaining": {"restain"},
        "no-drawn-fields": {"simulate"},
        "no-averaging": {"weight_averaging"},
        "no-density-jitter": {"density_jitter", "gamma"},
        "no-blur": {"blur_px"},
        "no-gray": {"gray"},
        "no-label-smoothing": {"label_smoothing"},
        "no-colour-augmentation": {"restain", "density_jitter", "gamma", "gray"},
        "no-zoom": {"zoom"},
    }


def test_nothing_is_stopped_early_where_nothing_is_named():
    assert "stopped-early" not in {variant.name for variant in lineup([1], [])}


def test_an_ablation_goes_on_where_it_was_stopped(manifest_file, tmp_path, quick_training):
    stages = []

    def stop_in_the_second(stage, _done, _of):
        stages.append(stage)
        if stage.startswith("without restaining, fold 2"):
            raise Stopped

    chosen = {"chosen": ["no-restaining"], "folds": 2, "hold_out": ["violet-MM-0"]}
    with pytest.raises(Stopped):
        ablate([manifest_file], tmp_path, quick_training, progress=stop_in_the_second, **chosen)
    first = (tmp_path / f"{GIVEN}.json").read_bytes()
    assert "without restaining" not in (tmp_path / TABLE).read_text()
    stages.clear()
    found = ablate([manifest_file], tmp_path, quick_training, progress=lambda stage, *_: stages.append(stage), **chosen)
    # The network of the first fold had been trained.
    assert [stage for stage in dict.fromkeys(stages) if "fold " in stage] == ["without restaining, fold 2 of 2"]
    assert (tmp_path / f"{GIVEN}.json").read_bytes() == first
    assert [each.variant for each in found] == [GIVEN, "no-restaining"]
    assert found[1].settings == replace(quick_training, augmentation=replace(found[0].settings.augmentation, restain=0))
    assert [(seen.path, seen.fold) for seen in found[0].fields] == [(seen.path, seen.fold) for seen in found[1].fields]
    assert "violet-MM-0" not in {seen.group for seen in found[0].fields}
    assert not list(tmp_path.glob(".*"))
    assert (tmp_path / TABLE).read_text() == table.write(found)


@pytest.fixture
def untrained(monkeypatch):
    """Let a variant cost nothing: it has the figures of any; list what was trained."""
    trained = []

    def train(variant, key, _found, given, _checkpoints, _progress):
        trained.append(variant.name)
        fields = (field_seen(0, "ALL"),)
        looks = {look: {"accuracy": Figure(value=0.5)} for look in (AS_THEY_ARE, RESTAINED)}
        settings = variant.change(given)
        return Measured(
            variant=variant.name,
            title=variant.title,
            key=key,
            settings=settings,
            classes=CLASSES,
            loss=1.0,
            looks=looks,
            fields=fields,
        )

    monkeypatch.setattr(ablation, "_train", train)
    return trained


def field_seen(fold, label):
    cells = Evidence((1.0, 1.0), 2)
    return measured.FieldSeen(
        path="a.png", label=label, group="g", lab="l", fold=fold, cells=cells, novelty=0.5, restained=(cells, 0.5)
    )


def test_what_was_measured_before_stays_in_the_table(manifest_file, tmp_path, quick_training, untrained):
    for name in ("no-zoom", "no-gray"):
        ablate([manifest_file], tmp_path, quick_training, chosen=[name], folds=2)
    assert untrained == [GIVEN, "no-zoom", "no-gray"]
    rows = [row.split(" | ")[0] for row in (tmp_path / TABLE).read_text().splitlines() if row.startswith("| ")]
    assert rows == 2 * ["| variant", "| ---", "| as given", "| without loss of colour", "| without change of size"]


def test_rows_of_other_seeds_and_of_early_stopping_stay_in_the_table(
    manifest_file, tmp_path, quick_training, untrained
):
    watched = {"chosen": ["stopped-early"], "stop_on": ["purple-ALL-0"]}
    ablate([manifest_file], tmp_path, quick_training, seeds=[2], folds=2, **watched)
    ablate([manifest_file], tmp_path, quick_training, chosen=["no-gray"], folds=2)
    assert untrained == [GIVEN, "seed-2", "stopped-early", "no-gray"]
    table_ = (tmp_path / TABLE).read_text()
    assert table_.count("| as given, seed 2 | ") == table_.count("| stopped early on purple-ALL-0 | ") == 2


@pytest.fixture
def trained_once(monkeypatch):
    """Let all variants have the networks of the first."""
    validate, kept = ablation.cross_validate, []

    def first(*rest):
        kept[:] = kept or [validate(*rest)]
        return kept[0]

    monkeypatch.setattr(ablation, "cross_validate", first)


@pytest.fixture
def diverging(monkeypatch, trained_once):
    """Let the loss of networks that are never shown tiles without colour be no number; list what was tried."""
    tried, judged = [], ablation.cross_validate

    def validate(cells, always, folds, empty, settings, around):
        tried.append(settings)
        if settings.augmentation.gray == 0:
            raise TrainingFailed("fold 1 of 2, step 7", "the loss is nan, on cells of a|b.png")
        return judged(cells, always, folds, empty, settings, around)

    monkeypatch.setattr(ablation, "cross_validate", validate)
    return tried


def test_a_variant_that_fails_stands_in_the_table_with_its_reason_and_the_others_go_on(
    manifest_file, tmp_path, quick_training, diverging
):
    chosen = {"chosen": ["no-gray", "no-zoom"], "folds": 2}
    given, failed, other = ablate([manifest_file], tmp_path, quick_training, **chosen)
    why = "fold 1 of 2, step 7: the loss is nan, on cells of a|b.png"
    assert (failed.variant, failed.why) == ("no-gray", why)
    assert (given.variant, other.variant) == (GIVEN, "no-zoom")
    written = (tmp_path / TABLE).read_text()
    assert (
        written.count(
            "| without loss of colour | failed: fold 1 of 2, step 7: the loss is nan, on cells of a\\|b.png |"
        )
        == 2
    )
    columns = {row.replace("\\|", "").count("|") for row in written.splitlines() if row.startswith("| ")}
    assert len(columns) == 1
    # Asked again it is not tried once more, and stays in the table.
    assert ablate([manifest_file], tmp_path, quick_training, chosen=["no-zoom"], folds=2) == [given, failed, other]
    assert len(diverging) == 3


def test_a_recipe_that_cannot_be_trained_has_nothing_to_compare_with(
    manifest_file, tmp_path, quick_training, diverging
):
    recipe = replace(quick_training, augmentation=replace(quick_training.augmentation, gray=0.0))
    with pytest.raises(TrainingFailed, match="step 7"):
        ablate([manifest_file], tmp_path / "out", recipe, chosen=["no-zoom"], folds=2)
    assert not (tmp_path / "out").exists()


def test_a_variant_whose_fields_have_no_loss_failed(manifest_file, tmp_path, quick_training, trained_once, monkeypatch):
    measure = measured.of_validated

    def immeasurable(name, *rest):
        found = measure(name, *rest)
        return found if name == GIVEN else msgspec.structs.replace(found, loss=float("nan"))

    monkeypatch.setattr(measured, "of_validated", immeasurable)
    _, failed = ablate([manifest_file], tmp_path, quick_training, chosen=["no-zoom"], folds=2)
    assert "the loss of held-out fields is nan" in failed.why


def test_a_seed_that_is_named_is_measured_once_whatever_is_chosen(manifest_file, tmp_path, quick_training, untrained):
    ablate([manifest_file], tmp_path, quick_training, chosen=["no-zoom"], seeds=[1, 2, 1, 0], folds=2)
    assert untrained == [GIVEN, "seed-1", "seed-2", "no-zoom"]


def test_where_no_seed_is_named_the_recipe_is_trained_from_the_next_one_too(tmp_path):
    variants, _ = ablation._choose(Settings(seed=5), (), (), (), tmp_path)
    assert [variant.name for variant in variants[:3]] == [GIVEN, "seed-6", "no-restaining"]


@pytest.mark.parametrize(
    ("options", "own", "others"), [([], 7, ()), (["--seed", 3], 3, ()), (["--seed", 3, "--seed", 4], 3, (4,))]
)
def test_the_recipes_own_seed_is_that_of_its_file_unless_one_is_given(
    manifest_file, tmp_path, monkeypatch, options, own, others
):
    def seen(_manifests, _out, settings, *, seeds, **_):
        raise ConfigurationError(f"{settings.seed} {tuple(seeds)}", "were asked for")

    monkeypatch.setattr(ablation, "ablate", seen)
    recipe = tmp_path / "recipe.json"
    recipe.write_bytes(msgspec.json.encode(Settings(seed=7)))
    arguments = ["ablate", manifest_file, "--settings", recipe, "--out", tmp_path / "out", *options]
    assert (
        f"trainer: {own} {others}: were asked for" in CliRunner().invoke(main, [str(each) for each in arguments]).stderr
    )


def test_what_the_recipe_does_not_have_is_not_taken_away(manifest_file, tmp_path, quick_training, untrained):
    ablate([manifest_file], tmp_path, quick_training, chosen=["no-drawn-fields"], folds=2)
    assert untrained == [GIVEN]


@pytest.mark.parametrize("other", [{"hold_out": ["violet-MM-0"]}, {"folds": 3}])
def test_an_ablation_of_other_folds_is_not_gone_on_with(manifest_file, tmp_path, quick_training, untrained, other):
    chosen = {"chosen": ["no-zoom"], "folds": 2}
    ablate([manifest_file], tmp_path, quick_training, **chosen)
    with pytest.raises(DataError, match="is of other data, folds, settings or software"):
        ablate([manifest_file], tmp_path, quick_training, **chosen | other)


@pytest.mark.parametrize("damage", [b'{"variant": "as-g', b'{"variant": "\xe4"}'], ids=["torn", "no text"])
def test_a_damaged_file_is_named(manifest_file, tmp_path, quick_training, untrained, damage):
    place = tmp_path / f"{GIVEN}.json"
    place.write_bytes(damage)
    with pytest.raises(DataError, match=rf"{GIVEN}\.json: is damaged"):
        ablate([manifest_file], tmp_path, quick_training, chosen=["no-zoom"], folds=2)


def test_a_variant_that_is_none_and_a_group_that_cannot_be_watched_are_refused_first(manifest_file, tmp_path):
    with pytest.raises(ConfigurationError, match=r"variant 'no-mercy': there are as-given, seed-1, no-restaining, "):
        ablate([manifest_file], tmp_path, Settings(), chosen=["no-mercy"])
    out = tmp_path / "out"
    told = CliRunner().invoke(main, ["ablate", str(manifest_file), "--out", str(out), "--stop-on", "nowhere"])
    assert told.exit_code == 60
    assert "--stop-on nowhere: is neither a group nor a laboratory of the training part" in told.stderr
    assert not out.exists()


def judged_of(rows, evidence):
    """Make fields of (label, lab, group), each with evidence of its own."""
    labels, labs, groups = zip(*rows, strict=True)
    return Judged(
        labels=np.array([CLASSES.index(label) for label in labels]),
        groups=np.array(groups),
        labs=np.array(labs),
        classes=CLASSES,
        names=np.array([f"{number}.png" for number in range(len(rows))]),
        evidence=evidence,
        embeddings=np.zeros((0, 0), np.float32),
        owners=np.zeros(0, np.int64),
    )


def test_only_a_laboratory_that_lies_in_one_fold_whole_was_left_out():
    labs, folds = np.array(["a", "a", "b", "b", "c"]), np.array([0, 1, 1, 1, 0])
    assert measured.left_out(labs, folds).tolist() == [False, False, True, True, True]


def test_figures_count_what_their_names_say():
    rows = [("ALL", "a", "1"), ("ALL", "a", "2"), ("normal", "a", "3"), ("normal", "a", "4")]
    rows += [("normal", "b", "b"), ("normal", "b", "b")]
    judged = judged_of(rows, [Evidence((1.0, 1.0), 2)] * 6)
    of_all = np.array([0.9, 0.6, 0.7, 0.2, 0.8, 0.1])
    verdicts = np.array(["ALL", "indeterminate", "indeterminate", "normal", "ALL", "normal"])
    found = measured.of_look(
        judged, Decided(np.column_stack([of_all, 1 - of_all]), verdicts, None), judged.labs == "b", 0
    )
    assert found["AUROC ALL against normal, a"].value == 0.75
    assert found["left-out laboratories, called another class"].value == 0.5
    assert found["ALL called ALL"].value == 0.5
    # Laboratories weigh alike: a half in each.
    assert found["normal called normal"].value == 0.5
    # ALL 2 of 2 right; of normal cells one of two in each laboratory.
    assert found["accuracy"].value == pytest.approx(0.75)
    likelihood = np.where(judged.labels == 0, of_all, 1 - of_all)
    assert found["log loss"].value == pytest.approx(-(judged.weights * np.log(likelihood)).sum())


def test_the_table_has_the_difference_of_what_it_shows():
    def of(name, title, share, auroc, loss):
        looks = {
            look: {"AUROC of two": Figure(value=auroc, low=0.8, high=1.0), "accuracy": Figure(value=share)}
            for look in (AS_THEY_ARE, RESTAINED)
        }
        return Measured(
            variant=name,
            title=title,
            key="",
            settings=Settings(),
            classes=CLASSES,
            loss=loss,
            looks=looks,
            fields=(),
        )

    text = table.write([of("a", "as given", 0.95, 0.9, 0.2), of("b", "without it", 0.937, 0.9111, 0.1996)])
    assert "| as given | 0.900 (0.800 to 1.000) | 95.0% | 0.200 |" in text
    assert text.count("| without it | 0.911 (0.800 to 1.000), +0.011 | 93.7%, -1.3 | 0.200, +0.000 |") == 2


@pytest.fixture(scope="module")
def mixed():
    """Give two looks at 60 fields of three folds whose cells say little, and shapes that tell the classes."""
    rng = np.random.default_rng(0)
    rows = [(CLASSES[number % 2], "ab"[number % 4 // 2], f"g{number % 20}") for number in range(60)]
    looks = {}
    for look in (AS_THEY_ARE, RESTAINED):
        shares = rng.uniform(0.4, 0.6, 60)
        looks[look] = judged_of(rows, [Evidence((8 * share, 8 - 8 * share), 8) for share in shares.tolist()])
    labels = looks[AS_THEY_ARE].labels
    telling = rng.normal(size=(60, 3)) + np.column_stack([4 * labels, 0 * labels, 0 * labels])
    telling[::9] = np.nan
    return looks, np.arange(60) % 3, {AS_THEY_ARE: telling, RESTAINED: telling}


def accuracy(judged, probabilities):
    return (probabilities.argmax(axis=1) == judged.labels).mean()


def test_shapes_that_tell_the_classes_are_read_and_what_was_not_measured_is_borne(mixed):
    looks, folds, shapes = mixed
    without = morphology.cross_fitted(looks, folds, {}, 0.7)
    joined = morphology.cross_fitted(looks, folds, shapes, 0.7)
    for look, judged in looks.items():
        assert np.allclose(joined[look].sum(axis=1), 1)
        assert accuracy(judged, joined[look]) > accuracy(judged, without[look]) + 0.2


def test_a_reader_knows_nothing_of_the_fold_that_it_reads(mixed):
    looks, folds, shapes = mixed
    swapped = {
        look: replace(judged, labels=np.where(folds == 1, 1 - judged.labels, judged.labels))
        for look, judged in looks.items()
    }
    # Each laboratory and class keeps its share of the weights of other folds.
    told = morphology.cross_fitted(looks, folds, shapes, 0.7)
    again = morphology.cross_fitted(swapped, folds, shapes, 0.7)
    for look in looks:
        assert np.allclose(told[look][folds == 1], again[look][folds == 1])
        assert not np.allclose(told[look][folds != 1], again[look][folds != 1], atol=0.05)


def test_fields_are_measured_in_the_order_in_which_networks_judge_them(manifest_file, tmp_path, quick_training):
    (given, *read) = ablate([manifest_file], tmp_path, quick_training, chosen=["morphology", "linear-reader"], folds=2)
    sources, parts = dataset.split_up([manifest_file], None, (), 2, 0)
    found = dataset.prepare(sources, parts, quick_training)
    shapes = morphology.measure(found, quick_training)
    by_path = {}
    for number, fold in enumerate(found.folds):
        alone = found._replace(
            training=found.training.where(np.isin(found.training.of("group"), sorted(fold))), folds=[fold]
        )
        cells = alone.training
        by_path |= {str(cells.sources[field].path): number for field in np.unique(cells.fields).tolist()}
    assert [by_path[seen.path] for seen in given.fields] == [seen.fold for seen in given.fields]
    assert shapes[AS_THEY_ARE].shape == shapes[RESTAINED].shape == (len(given.fields), 3)
    area, ratio, fraction = shapes[AS_THEY_ARE].T
    assert ((np.exp(area) > 10) & (np.exp(area) < 300)).all()
    assert ((fraction >= 0) & (fraction <= 1)).all()
    assert not np.allclose(shapes[AS_THEY_ARE], shapes[RESTAINED])
    # Lymphoblasts have less cytoplasm than plasma cells, whatever the laboratory: the simulator draws them so.
    labels = np.array([seen.label for seen in given.fields])
    assert np.median(ratio[labels == "ALL"]) > np.median(ratio[labels == "MM"])
    assert [each.variant for each in read] == ["linear-reader", "morphology"]
    assert msgspec.json.decode((tmp_path / "morphology.json").read_bytes(), type=Measured) == read[1]
    # A network of one step knows nothing; drawn cells are told apart by their shapes.
    assert read[1].loss < read[0].loss
