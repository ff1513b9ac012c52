"""A folder a class becomes a manifest, and what the slide or patient is must be said or seen."""

from __future__ import annotations

import re

import pytest

from edge.errors import NoImages, ScaleError
from trainer.data import folders
from trainer.errors import DataError


@pytest.fixture
def place(tmp_path):
    """Give a function that makes files below a folder, by their paths, and returns the folder."""

    def make(*names):
        for name in names:
            path = tmp_path / "slides" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "slides"

    return make


def labels_and_groups(fields):
    return [(field.path.name, field.label, field.group) for field in fields]


def test_the_folder_below_the_class_is_the_group(place):
    folder = place("ALL/p1/2.png", "ALL/p1/10.png", "ALL/p2/deeper/1.jpg", "normal/p1/1.tif")
    fields, left_out = folders.read(folder, 0.1, "clinic")
    assert labels_and_groups(fields) == [
        ("2.png", "ALL", "clinic-p1"),
        ("10.png", "ALL", "clinic-p1"),
        ("1.jpg", "ALL", "clinic-p2"),
        ("1.tif", "normal", "clinic-p1"),
    ]
    assert {(field.lab, field.um_per_px) for field in fields} == {("clinic", 0.1)}
    assert left_out == []


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [(r"^(P\d+)_", ["c-P7", "c-P12"]), (r"P\d+", ["c-P7", "c-P12"]), (".+", ["c-P7_a.png", "c-P12_a.png"])],
)
def test_a_pattern_says_what_the_group_is(place, pattern, groups):
    fields, _ = folders.read(place("ALL/P7_a.png", "ALL/P12_a.png"), 0.1, "c", re.compile(pattern))
    assert [field.group for field in fields] == groups


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (None, "is in no folder of a slide or patient"),
        (r"^slide(\d+)", "does not match"),
        (r"()", "matches nothing of it"),
        (r"(q)?P", "matches nothing of it"),
    ],
)
def test_a_picture_without_a_group_is_refused(place, pattern, told):
    with pytest.raises(DataError, match=r"P7_a\.png") as refused:
        folders.read(place("ALL/P7_a.png"), 0.1, "c", pattern and re.compile(pattern))
    assert told in str(refused.value)
    assert "--group" in refused.value.remedy


def test_masks_are_no_fields(place):
    folder = place("ALL/p1/images/17.jpg", "ALL/p1/masks/17.png", "ALL/p1/18_mask.png", "stray.png", "notes.txt")
    (field,), left_out = folders.read(folder, 0.1, "c")
    assert field.path == folder / "ALL/p1/images/17.jpg"
    assert field.mask == folder / "ALL/p1/masks/17.png"
    assert sorted(path.name for path in left_out) == ["17.png", "18_mask.png", "stray.png"]


def test_a_masks_folder_is_no_class(place):
    fields, _ = folders.read(place("images/p1/17.jpg", "masks/p1/17.png"), 0.1, "c")
    assert {field.label for field in fields} == {"images"}


def test_an_images_folder_is_no_slide(place):
    with pytest.raises(DataError, match="no folder of a slide"):
        folders.read(place("ALL/images/17.jpg"), 0.1, "c")


def test_folders_that_hold_nothing_are_refused(place, tmp_path):
    with pytest.raises(DataError, match="has no folder in it"):
        folders.read(place("stray.png"), 0.1, "c")
    (tmp_path / "slides" / "ALL").mkdir()
    with pytest.raises(NoImages, match="ALL"):
        folders.read(tmp_path / "slides", 0.1, "c")
    with pytest.raises(ScaleError):
        folders.read(tmp_path / "slides", 0.0, "c")
