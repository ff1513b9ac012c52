"""Each thing that can be wrong with a data set is found and named, and a sound one has nothing wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.simulator import Smear, draw
from trainer import manifest
from trainer.data import confounding
from trainer.data.check import examine
from trainer.manifest import LabelledField, Roi

COLUMNS = (*manifest.REQUIRED, *manifest.OPTIONAL)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Draw twelve different fields."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for number in range(12):
        smear = Smear(kind=("ALL", "normal")[number % 2], size_px=(160, 120), um_per_px=0.5, white_cells=3000.0)
        paths.append(folder / f"{number}.png")
        cv2.imwrite(str(paths[-1]), draw(smear, number).pixels)
    return paths


@pytest.fixture
def sound(pictures):
    """Give six fields of each of two classes, each of a group of its own, from one laboratory."""
    return [
        LabelledField(path, ("ALL", "normal")[number % 2], f"g{number}", "lab", 0.5)
        for number, path in enumerate(pictures)
    ]


def changed(field, **values):
    return LabelledField(**{name: values.get(name, getattr(field, name)) for name in LabelledField.__slots__})


def findings(fields):
    return {finding.kind: finding for finding in examine(fields).findings}


def test_a_sound_data_set_has_nothing_wrong(sound):
    seen = []
    examined = examine(sound, seen.append)
    assert examined.findings == ()
    assert examined.pairs == ()
    assert (examined.fields, examined.groups, examined.classes) == (12, 12, ("ALL", "normal"))
    lab = examined.laboratories["lab"]
    assert (lab.fields, lab.groups) == ({"ALL": 6, "normal": 6}, {"ALL": 6, "normal": 6})
    assert (lab.um_per_px, lab.sizes_px) == ((0.5,), {"160x120": 12})
    assert 6 < lab.nuclear_diameter_um < 12
    assert set(examined.gives_away.values()) == {0.0}
    assert seen == list(range(1, 13))


def test_a_row_that_is_there_twice_is_named(sound):
    found = findings([*sound, *sound[:2]])["repeated rows"]
    assert not found.refuses
    assert "2 fields are there more than once: 0.png, 1.png" in found.said
    # Two regions of one picture are two fields.
    halves = [changed(sound[0], roi=Roi(0, 0, 80, 120)), changed(sound[0], roi=Roi(80, 0, 80, 120))]
    assert "repeated rows" not in findings([*halves, *sound[1:]])


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (slice(0, 3), "class 'normal' has only one group"),
        (slice(0, None, 2), "only one class, ALL"),
        (slice(0, 0), "no field"),
    ],
    ids=["three pictures", "one class", "none"],
)
def test_too_little_to_learn_from_is_refused(sound, chosen, told):
    found = findings(sound[chosen])["classes"]
    assert found.refuses
    assert told in found.said


def test_one_group_is_refused_and_few_are_warned_of(sound):
    one = [changed(field, group="g") for field in sound]
    assert "has only one group" in findings(one)["classes"].said
    four = findings([changed(field, group=f"g{number // 3}") for number, field in enumerate(sound)])
    assert "only 4 groups" in four["few groups"].said
    assert not four["few groups"].refuses


def test_missing_files_are_named_and_refused(sound, tmp_path):
    sound[0] = changed(sound[0], path=tmp_path / "gone.png")
    sound[1] = changed(sound[1], mask=tmp_path / "gone-mask.png")
    found = findings(sound)
    assert set(found) == {"missing files"}
    assert found["missing files"].refuses
    assert "2 of 13 files" in found["missing files"].said
    assert "gone.png" in found["missing files"].said
    assert "gone-mask.png" in found["missing files"].said


def test_unreadable_pictures_are_counted_and_named_and_refused_past_a_share(sound, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = changed(sound[0], path=tmp_path / "broken.png")
    found = findings([*sound, broken])["unreadable pictures"]
    assert found.refuses
    assert "1 of 13 pictures cannot be read" in found.said
    assert "broken.png" in found.said
    few = findings([*sound * 5, broken])["unreadable pictures"]
    assert not few.refuses


def test_a_region_that_reaches_out_of_its_picture_is_named(sound):
    sound[0] = changed(sound[0], roi=Roi(100, 0, 100, 100))
    assert "roi 100,0,100,100: reaches out of a picture of 160x120" in findings(sound)["unreadable pictures"].said


def test_masks_are_looked_at(sound, tmp_path):
    for name, level in (("black.png", 0), ("white.png", 255)):
        cv2.imwrite(str(tmp_path / name), np.full((120, 160), level, np.uint8))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    sound[0] = changed(sound[0], mask=tmp_path / "black.png")
    assert "1 masks are black all over: black.png" in findings(sound)["empty masks"].said
    sound[0] = changed(sound[0], mask=None, nucleus_mask=tmp_path / "white.png")
    assert "1 masks are nowhere black: white.png" in findings(sound)["empty masks"].said
    sound[0] = changed(sound[0], nucleus_mask=tmp_path / "broken.png")
    assert findings(sound)["unreadable masks"].refuses


def test_borders_are_told_unless_a_region_leaves_them_out(sound, pictures, tmp_path):
    cv2.imwrite(str(tmp_path / "framed.png"), cv2.copyMakeBorder(cv2.imread(pictures[0]), 8, 8, 0, 0, 0))
    sound[0] = changed(sound[0], path=tmp_path / "framed.png")
    assert "1 of 12 pictures have bars around the field: framed.png" in findings(sound)["borders"].said
    sound[0] = changed(sound[0], roi=Roi(0, 9, 160, 118))
    assert "borders" not in findings(sound)


def test_mixed_and_impossible_pixel_sizes_are_warned_of(sound):
    mixed = findings([changed(sound[0], um_per_px=0.25), *sound[1:]])["mixed pixel sizes"]
    assert "0.25 (1 fields), 0.5 (11 fields) um" in mixed.said
    assert not mixed.refuses
    doubtful = findings([changed(field, um_per_px=1.0) for field in sound])["doubtful pixel size"]
    assert "at 1 um per pixel nuclei of laboratory 'lab' would be" in doubtful.said
    assert "6 to 12 are usual" in doubtful.said
    for um_per_px in (0.01, 2.0):
        none = findings([changed(field, um_per_px=um_per_px) for field in sound])["doubtful pixel size"]
        assert none.said == f"at {um_per_px:g} um per pixel no nucleus of laboratory 'lab' could be measured"


def test_a_picture_made_smaller_without_a_word_is_warned_of(sound, pictures, tmp_path):
    cv2.imwrite(str(tmp_path / "half.png"), cv2.resize(cv2.imread(pictures[0]), (80, 60)))
    found = findings([changed(sound[0], path=tmp_path / "half.png"), *sound[1:]])["mixed sizes"]
    assert "80x60 and of 160x120 pixels" in found.said


@pytest.mark.parametrize(
    ("is_identical", "values", "kind", "refuses"),
    [
        (True, {"group": "g9"}, "duplicates across groups", False),
        (False, {"group": "g9"}, "near-duplicates across groups", False),
        (True, {"label": "normal"}, "duplicates across classes", True),
        (False, {"label": "normal"}, "near-duplicates across classes", False),
        (False, {}, None, False),
    ],
)
def test_duplicates_are_judged_by_what_they_part(sound, tmp_path, is_identical, values, kind, refuses):
    copy = tmp_path / ("copy.png" if is_identical else "copy.jpg")
    if is_identical:
        shutil.copy(sound[0].path, copy)
    else:
        cv2.imwrite(str(copy), cv2.imread(str(sound[0].path)))
    fields = [*sound, changed(sound[0], path=copy, **values)]
    examined = examine(fields)
    assert [(pair.first, pair.second) for pair in examined.pairs] == [(sound[0], fields[-1])]
    duplicated = {found.kind: found for found in examined.findings if "duplicates" in found.kind}
    assert set(duplicated) == ({kind} if kind else set())
    if kind:
        assert duplicated[kind].refuses == refuses
        assert f"0.png and {copy.name}" in duplicated[kind].said


def test_a_class_that_has_its_own_laboratory_is_confounded(sound):
    apart = [changed(field, lab=field.label) for field in sound]
    examined = examine(apart)
    assert examined.gives_away["laboratory"] == pytest.approx(1.0)
    (found,) = [finding for finding in examined.findings if finding.kind == "confounded"]
    assert "ALL and normal never come from the same laboratory (ALL: ALL; normal: normal)" in found.said
    assert "no figure for this pair is a clinical one" in found.said


def test_what_gives_the_class_away_within_a_laboratory_is_told(sound, tmp_path):
    fields = []
    for field in sound:
        path = field.path
        if field.label == "ALL":
            path = tmp_path / path.with_suffix(".bmp").name
            cv2.imwrite(str(path), cv2.imread(str(field.path)))
        fields.append(changed(field, path=path))
    (found,) = examine(fields).findings
    assert (found.kind, found.said) == ("confounded", "in laboratory 'lab' the file type gives the class away")


def test_what_refuses_stands_first(sound, tmp_path):
    fields = [changed(field, lab=field.label) for field in sound] + [changed(sound[0], path=tmp_path / "gone.png")]
    examined = examine([changed(field, lab="ALL") if field.label == "ALL" else field for field in fields])
    assert [finding.refuses for finding in examined.findings] == [True, False]
    assert examined.refused == examined.findings[:1]


@pytest.mark.parametrize(
    ("labels", "values", "expected"),
    [
        ("aabb", "xxyy", 1.0),
        ("aabbcc", "xxyyyy", 1.0),
        ("abab", "xxyy", 0.0),
        ("aabb", "xxxx", 0.0),
        ("aaaa", "xxyy", 0.0),
        ("aabb", "wxyz", 0.0),
    ],
)
def test_association_is_nothing_by_chance_and_one_when_one_follows_from_the_other(labels, values, expected):
    assert confounding.association(list(labels), list(values)) == pytest.approx(expected)


def test_many_values_do_not_look_like_knowledge():
    rng = np.random.default_rng(0)
    labels, values = rng.choice(["a", "b"], 400).tolist(), rng.integers(0, 150, 400).tolist()
    assert confounding.association(labels, values) < 0.15


def test_classes_that_share_a_laboratory_are_not_apart():
    def field(label, lab):
        return LabelledField(Path("a"), label, "g", lab, 0.5)

    fields = [field("ALL", "a"), field("MM", "b"), field("normal", "a"), field("normal", "b")]
    assert confounding.never_together(fields) == [("ALL", "MM")]
