"""A part of the comparison that was kept is taken up when it is whole and of the same question, and otherwise not."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest

from trainer import provenance
from trainer.errors import TrainingFailed
from trainer.paper import lineup, parts
from trainer.paper.protocols import Fold
from trainer.paper.results import Task
from trainer.paper.settings import Settings


@pytest.mark.parametrize("content", [b"", b'{"key": "a', b'{"key": "\xe4"}', b'{"key": 7}'])
def test_a_damaged_part_is_found_anew(tmp_path, content):
    path = tmp_path / "part.json"
    assert parts.kept(path, "a") is None
    path.write_bytes(content)
    assert parts.kept(path, "a") is None


@pytest.mark.parametrize("library", ["keras", "tensorflow", "numpy", "scikit-learn", "opencv"])
def test_what_other_versions_made_is_found_anew(monkeypatch, library):
    asked = "digest", Task("fields", ("ALL", "MM")), "group", "svm", Settings()
    before = parts.key(*asked)
    assert parts.key(*asked) == before
    installed = provenance.version
    monkeypatch.setattr(provenance, "version", lambda name: "0" if name == library else installed(name))
    if library == "opencv":
        monkeypatch.setattr(cv2, "__version__", "0")
    assert parts.key(*asked) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Task("my fields", ("ALL", "MM")), Task("my+fields", ("ALL", "MM"))),
        (Task("fields", ("ALL+", "MM")), Task("fields", ("ALL ", "MM"))),
        (Task("fields", ("ALL", "MM-1")), Task("fields-ALL", ("MM", "1"))),
        (Task("fields", ("ALL", "MM-1")), Task("fields", ("ALL-MM", "1"))),
    ],
)
def test_no_two_tasks_have_the_same_files(one, other):
    assert one.slug != other.slug
    assert Task("fields", ("ALL", "MM")).slug == "fields-ALL-MM"


def test_a_loss_that_is_no_number_names_the_pictures_of_the_batch(pictures, monkeypatch):
    count = len(pictures.labels)
    # The level of a picture is its number, so that a batch tells which pictures it is of.
    levels = np.arange(count, dtype=np.uint8)[:, None, None, None]
    pictures = replace(pictures, pixels=np.broadcast_to(levels, pictures.pixels.shape))
    system = replace(lineup.systems(["paper"], 48, 4, 2, 40, "none", 0)["paper"], batch=2)
    seen = []

    def step(_, tiles, *__):
        seen.append(sorted(set(tiles[:, 0, 0, 0].astype(int).tolist())))
        return math.nan if len(seen) == 3 else 1.0

    monkeypatch.setattr(keras.Model, "train_on_batch", step)
    everything = np.arange(count)
    dealt = [Fold(everything[count // 2 :], everything[: count // 2])]
    with pytest.raises(TrainingFailed) as failed:
        parts.fit("key", system, pictures.pixels, pictures.labels % 2, pictures, dealt, 0)
    said = str(failed.value)
    assert "network of the paper, part 1 of 1, step 3: the loss is nan, on " in said
    named = {str(pictures.sources[pictures.fields[row]].path) for row in seen[-1]}
    assert {str(source.path) for source in pictures.sources if str(source.path) in said} == named
