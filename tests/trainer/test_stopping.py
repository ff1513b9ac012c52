"""What is watched is not trained on; the epoch that does best on it is kept, interrupted or not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from interrupted import Stopped, stop_at, weights_of

from trainer import settings, split, stopping
from trainer.checkpoint import FOLDER, Checkpoints
from trainer.errors import DataError, TrainingFailed
from trainer.learning import Surroundings, train
from trainer.manifest import LabelledField
from trainer.split import Parts

ORIGINS = [(label, lab, f"{lab}{n}-{label}") for label in ("ALL", "normal") for lab in "ab" for n in range(2)]


@pytest.fixture
def cells(make_cells):
    return make_cells(ORIGINS)


@pytest.fixture
def watching(quick_training, monkeypatch):
    """Give settings of three epochs of four steps that watch a group of each class."""
    monkeypatch.setattr(settings, "EPOCH_STEPS", 4)
    return replace(quick_training, steps=12, batch=4, stop_on=("a0-ALL", "b1-normal"))


@pytest.fixture
def losses(monkeypatch):
    """Let what is watched have the losses that are written into the list, an epoch each."""
    given = []
    monkeypatch.setattr(stopping.KeepBest, "_loss", lambda *_: given.pop(0))
    return given


def test_a_laboratory_or_group_that_is_watched_is_not_trained_on(cells):
    seen, watched = stopping.split_off(cells, ["a", "b1-normal", "not there"])
    assert set(watched.of("group")) == {"a0-ALL", "a1-ALL", "a0-normal", "a1-normal", "b1-normal"}
    assert set(seen.of("group")) == {"b0-ALL", "b1-ALL", "b0-normal"}


def test_where_the_last_epoch_is_best_it_is_as_if_nothing_had_been_watched(cells, watching, losses):
    losses += [3.0, 2.0, 1.0]
    seen, _ = stopping.split_off(cells, watching.stop_on)
    plain = train(seen, replace(watching, stop_on=()), "training", Surroundings())
    assert np.array_equal(weights_of(train(cells, watching, "training", Surroundings())), weights_of(plain))


def test_the_best_epoch_is_kept_whatever_comes_after_it(cells, watching, losses):
    found = {}
    for name, given in {"first": (1, 2, 3), "first again": (1, 3, 2), "second": (2, 1, 3), "last": (3, 2, 1)}.items():
        losses += map(float, given)
        found[name] = weights_of(train(cells, watching, "training", Surroundings()))
    assert np.array_equal(found["first"], found["first again"])
    assert not any(np.array_equal(found[a], found[b]) for a, b in (("first", "second"), ("second", "last")))


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_training_that_is_never_any_number_on_what_is_watched_has_failed(cells, watching, losses, number):
    losses += [number] * 3
    with pytest.raises(TrainingFailed, match="training: after no epoch was the loss on a0-ALL, b1-normal a number"):
        train(cells, watching, "training", Surroundings())


def test_an_epoch_whose_loss_is_no_number_is_not_the_best(cells, watching, losses):
    losses += [math.nan, 2.0, math.nan, 3.0, 2.0, 3.0]
    first, second = (weights_of(train(cells, watching, "training", Surroundings())) for _ in range(2))
    assert np.array_equal(first, second)


def test_what_is_kept_is_no_worse_on_what_is_watched_than_the_last_epoch(cells, watching, monkeypatch):
    seen = []
    original = stopping.KeepBest._loss

    def loss(self, network):
        seen.append(original(self, network))
        return seen[-1]

    monkeypatch.setattr(stopping.KeepBest, "_loss", loss)
    network = train(cells, watching, "training", Surroundings())
    shown, watched = stopping.split_off(cells, watching.stop_on)
    kept = original(stopping.KeepBest(network, watched, shown, watching, "training", None), network)
    assert len(set(seen)) == watching.epochs == 3
    assert kept == pytest.approx(min(seen), abs=1e-6)


# In the second epoch and in the third.
@pytest.mark.parametrize("step", [6, 11])
def test_a_watched_training_that_was_stopped_gives_the_weights_of_one_that_was_not(cells, watching, tmp_path, step):
    whole = weights_of(train(cells, watching, "training", Surroundings()))
    kept = Checkpoints(tmp_path, "key")
    with pytest.raises(Stopped):
        train(cells, watching, "training", Surroundings(stop_at(step), kept))
    steps = []
    around = Surroundings(lambda _, done, __: steps.append(done), kept)
    assert np.array_equal(weights_of(train(cells, watching, "training", around)), whole)
    assert steps[0] == 5 + 4 * (step > 8)
    # Finished now, so that nothing is trained.
    again = train(cells, watching, "training", Surroundings(stop_at(1), kept))
    assert np.array_equal(weights_of(again), whole)


def test_without_the_best_of_the_epochs_before_it_begins_anew(cells, watching, tmp_path):
    whole = weights_of(train(cells, watching, "training", Surroundings()))
    kept = Checkpoints(tmp_path, "key")
    with pytest.raises(Stopped):
        train(cells, watching, "training", Surroundings(stop_at(11), kept))
    (best,) = (tmp_path / FOLDER / "key").glob("best-of-training.*")
    best.write_bytes(best.read_bytes()[:1000])
    steps = []
    around = Surroundings(lambda _, done, __: steps.append(done), kept)
    assert np.array_equal(weights_of(train(cells, watching, "training", around)), whole)
    assert steps[0] == 1


def test_a_network_whose_part_has_nothing_that_is_watched_is_trained_to_the_end(cells, watching, losses):
    part = cells.where(~np.isin(cells.of("group"), watching.stop_on))
    plain = train(part, replace(watching, stop_on=()), "training", Surroundings())
    assert np.array_equal(weights_of(train(part, watching, "training", Surroundings())), weights_of(plain))
    assert losses == []


def test_an_average_that_keeps_nothing_is_the_last_weights(cells, watching):
    plain = replace(watching, stop_on=())
    none, hardly, much = (
        weights_of(train(cells, replace(plain, weight_averaging=share), "training", Surroundings()))
        for share in (0.0, 1e-7, 0.9)
    )
    assert np.allclose(none, hardly, rtol=1e-4, atol=1e-6)
    assert not np.allclose(none, much, rtol=1e-4, atol=1e-6)


FIELDS = [
    LabelledField(Path(f"{number}.png"), label, group, lab, 0.5)
    for number, (label, lab, group) in enumerate([*ORIGINS, ("normal", "c", "c"), ("MM", "a", "m0"), ("MM", "a", "m1")])
]
PARTS = Parts(
    frozenset({"b0-ALL"}),
    (
        frozenset({"a0-ALL", "b1-ALL", "a0-normal", "m0"}),
        frozenset({"a1-ALL", "a1-normal", "b0-normal", "b1-normal", "c", "m1"}),
    ),
)


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["elsewhere"], "--stop-on elsewhere: is neither a group nor a laboratory of the training part"),
        (["b0-ALL"], "--stop-on b0-ALL: is neither a group nor a laboratory of the training part"),
        (["a"], "--stop-on a: leaves nothing of class 'MM' to train on"),
        (["m0"], "--stop-on m0: leaves a fold nothing of class 'MM' to train on"),
    ],
)
def test_what_is_not_there_or_what_a_class_cannot_do_without_is_not_watched(names, line):
    with pytest.raises(DataError) as refused:
        split.require_watched(FIELDS, PARTS, names)
    assert line in str(refused.value)


def test_what_leaves_every_network_something_of_each_class_can_be_watched():
    split.require_watched(FIELDS, PARTS, ["c", "a0-ALL", "b0-normal"])
    with pytest.raises(DataError, match="leaves a fold nothing of class 'ALL'"):
        split.require_watched(FIELDS, PARTS, ["a0-ALL"], [frozenset({"a1-ALL", "b1-ALL"})])
