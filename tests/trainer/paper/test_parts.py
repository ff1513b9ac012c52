"""A part of the comparison that was kept is taken up when it is whole and of the same question, and otherwise not."""

from __future__ import annotations

import cv2
import pytest

from trainer import provenance
from trainer.paper import parts
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
