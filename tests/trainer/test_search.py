"""A search goes on where it was stopped, keeps the best, and never looks at the test part."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import optuna
import pytest
from click.testing import CliRunner

from edge.errors import OutputError
from trainer import search, settings
from trainer.cli import main
from trainer.errors import DataError, TrainingFailed
from trainer.search import BEST, STORAGE


@pytest.fixture
def measured(monkeypatch):
    """Let a trial cost nothing: its loss is how far its restaining is from 0.8; list what was measured on what."""
    seen = []

    def loss(found, tried, _around):
        seen.append((tried, set(found.training.of("group").tolist())))
        return abs(tried.augmentation.restain - 0.8)

    monkeypatch.setattr(search, "loss", loss)
    return seen


def test_a_search_goes_on_and_keeps_the_best(manifest_file, tmp_path, quick_training, measured):
    first = search.search([manifest_file], tmp_path, quick_training, trials=3, folds=2)
    again = search.search([manifest_file], tmp_path, quick_training, trials=8, folds=2)
    assert len(measured) == again.trials == 8
    assert again.loss <= first.loss
    assert again.loss == min(abs(tried.augmentation.restain - 0.8) for tried, _ in measured)
    assert settings.read(tmp_path / BEST) == again.settings
    assert len({tried.learning_rate for tried, _ in measured}) == 8


@pytest.fixture
def diverging(monkeypatch):
    """Let the first trials have a loss that is no number, as many as the list says; the others one of 1."""
    left = [1]

    def loss(*_):
        left[0] -= 1
        if left[0] >= 0:
            raise TrainingFailed("fold 1 of 2, step 7", "the loss is nan, on cells of a.png")
        return 1.0

    monkeypatch.setattr(search, "loss", loss)
    return left


@pytest.mark.parametrize("failing", [1, 2])
def test_a_trial_that_fails_counts_and_the_search_goes_on(manifest_file, tmp_path, quick_training, diverging, failing):
    diverging[0] = failing
    found = search.search([manifest_file], tmp_path, quick_training, trials=3, folds=2)
    assert (found.trials, found.loss) == (3, 1.0)
    why = "fold 1 of 2, step 7: the loss is nan, on cells of a.png"
    assert found.failed == tuple(f"trial {number}: {why}" for number in range(failing))
    assert settings.read(tmp_path / BEST) == found.settings
    # Asked again it does not try them once more.
    assert search.search([manifest_file], tmp_path, quick_training, trials=3, folds=2) == found


def test_a_search_all_of_whose_trials_failed_ends_in_one_line(manifest_file, tmp_path, diverging):
    diverging[0] = 2
    asked = ["search", str(manifest_file), "--out", str(tmp_path), "--folds", "2"]
    for trials in ("2", "1"):
        result = CliRunner().invoke(main, [*asked, "--trials", trials])
        assert result.exit_code == TrainingFailed.exit_code
        assert [line for line in result.stderr.splitlines() if line.startswith("trainer: ")] == [
            f"trainer: search {tmp_path}: all 2 trials failed, the last: trial 1: fold 1 of 2, step 7: "
            "the loss is nan, on cells of a.png"
        ]
        assert result.stdout == ""
    assert not (tmp_path / BEST).exists()
    more = CliRunner().invoke(main, [*asked, "--trials", "3", "--json"])
    assert more.exit_code == 0
    told = json.loads(more.stdout)
    assert (told["trials"], len(told["failed"])) == (3, 2)


def test_a_loss_on_held_out_fields_that_is_no_number_is_a_failure(manifest_file, tmp_path, quick_training, monkeypatch):
    monkeypatch.setattr(search, "loss", lambda *_: math.nan)
    with pytest.raises(TrainingFailed, match=r"all 1 trials failed.*the loss of held-out fields is nan"):
        search.search([manifest_file], tmp_path, quick_training, trials=1, folds=2)


def test_a_search_lies_in_the_folder_that_is_named_whatever_it_is_called(
    manifest_file, tmp_path, quick_training, measured
):
    out = tmp_path / "which settings? 100%"
    search.search([manifest_file], out, quick_training, trials=1, folds=2)
    assert sorted(path.name for path in out.iterdir()) == [BEST, STORAGE]
    assert search.search([manifest_file], out, quick_training, trials=1, folds=2).trials == len(measured) == 1


def test_a_full_disk_is_said_by_what_it_is(manifest_file, tmp_path, quick_training, measured, monkeypatch):
    def full(*_):
        raise optuna.exceptions.StorageInternalError("An exception is raised") from OSError("database or disk is full")

    monkeypatch.setattr(optuna.Study, "tell", full)
    with pytest.raises(OutputError, match=r"search .*: database or disk is full") as refused:
        search.search([manifest_file], tmp_path, quick_training, trials=1, folds=2)
    assert refused.value.exit_code == 50


def test_a_trial_that_was_stopped_counts_as_none(manifest_file, tmp_path, quick_training, measured):
    search.search([manifest_file], tmp_path, quick_training, trials=1, folds=2)
    study = optuna.load_study(study_name="settings", storage=f"sqlite:///{tmp_path / STORAGE}")
    study.ask()
    assert search.search([manifest_file], tmp_path, quick_training, trials=2, folds=2).trials == 2
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE", "FAIL", "COMPLETE"]


def test_network_watched_groups_precision_and_devices_are_those_of_fit(manifest_file, tmp_path, measured):
    chosen = ["--network", "cell-dense-light", "--stop-on", "violet-MM-0", "--precision", "mixed_bfloat16"]
    asked = ["search", str(manifest_file), "--out", str(tmp_path), "--folds", "2", "--trials", "1", *chosen]
    assert CliRunner().invoke(main, asked).exit_code == 0
    ((tried, _),) = measured
    assert (tried.network, tried.stop_on, tried.precision) == ("cell-dense-light", ("violet-MM-0",), "mixed_bfloat16")
    refused = CliRunner().invoke(main, [*asked, "--devices", "2"])
    assert refused.exit_code == 2
    assert "under jax only" in refused.stderr


def test_the_test_part_is_not_looked_at(manifest_file, tmp_path, quick_training, measured):
    search.search([manifest_file], tmp_path, quick_training, trials=1, folds=2, hold_out=["violet-MM-0"])
    assert all("violet-MM-0" not in groups for _, groups in measured)


def test_a_folder_of_another_search_is_refused(manifest_file, tmp_path, quick_training, measured):
    search.search([manifest_file], tmp_path, quick_training, trials=1, folds=2)
    with pytest.raises(DataError, match="is of other settings"):
        search.search([manifest_file], tmp_path, replace(quick_training, steps=2), trials=1, folds=2)


@pytest.mark.parametrize("other", [{"hold_out": ["violet-MM-0"]}, {"hold_out": ["violet-MM-1"]}, {"folds": 3}])
def test_settings_chosen_with_another_test_part_or_other_folds_are_not_passed_on(
    manifest_file, tmp_path, quick_training, measured, other
):
    chosen = {"trials": 1, "folds": 2, "hold_out": []}
    search.search([manifest_file], tmp_path, quick_training, **chosen)
    with pytest.raises(DataError, match="is of other test part and folds"):
        search.search([manifest_file], tmp_path, quick_training, **chosen | other)
    assert search.search([manifest_file], tmp_path, quick_training, **chosen).trials == 1


@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_a_search_whose_file_is_damaged_is_refused_in_one_line(manifest_file, tmp_path, quick_training, measured, kept):
    search.search([manifest_file], tmp_path, quick_training, trials=1, folds=2)
    whole = (tmp_path / STORAGE).read_bytes()
    cut = int(kept * len(whole))
    (tmp_path / STORAGE).write_bytes(whole[:cut] + b"\xff" * (len(whole) - cut))
    with pytest.raises(DataError, match=STORAGE) as refused:
        search.search([manifest_file], tmp_path, quick_training, trials=2, folds=2)
    assert "\n" not in str(refused.value)


def test_the_loss_of_settings_is_a_likelihood_of_fields_not_seen(manifest_file, quick_training):
    from trainer import dataset
    from trainer.learning import Surroundings

    sources, parts = dataset.split_up([manifest_file], None, (), 2, 0)
    found = dataset.prepare(sources, parts, quick_training)
    assert 0 < search.loss(found, quick_training, Surroundings()) < 5
