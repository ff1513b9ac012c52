"""What is there twice is found, however it was saved, turned or moved, and different fields are not mistaken for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import manifest
from trainer.data import duplicates
from trainer.data.duplicates import Pair
from trainer.manifest import LabelledField, Roi

REAL = Path(__file__).parents[4] / "shared" / "data" / "manifest.csv"


@pytest.fixture(scope="module")
def picture(drawn):
    return cv2.imread(drawn[0][0])


def bits_between(one, other):
    found = duplicates.close(np.stack([duplicates.hashes(one), duplicates.hashes(other)]), most_bits=256)
    ((first, second, bits),) = found.tolist()
    assert (first, second) == (0, 1)
    return bits


def recompressed(picture):
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    "changed",
    [
        lambda picture: picture.copy(),
        recompressed,
        lambda picture: cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        lambda picture: cv2.convertScaleAbs(picture, alpha=0.8, beta=10),
        lambda picture: picture[2:, 3:],
        lambda picture: picture[::-1],
        lambda picture: picture[:, ::-1],
        np.rot90,
        lambda picture: np.rot90(picture, 3)[::-1],
    ],
    ids=["same", "jpeg", "half size", "darker", "moved", "flipped", "mirrored", "turned", "transposed"],
)
def test_a_changed_copy_is_a_near_duplicate(picture, changed):
    assert bits_between(picture, np.ascontiguousarray(changed(picture))) <= duplicates.MOST_BITS


def test_different_fields_of_one_stain_are_none(drawn):
    hashed = np.stack([duplicates.hashes(cv2.imread(row[0])) for row in drawn])
    assert len(duplicates.close(hashed)) == 0


@given(st.integers(2, 40), st.integers(0, 2**32 - 1), st.integers(0, 256))
def test_every_pair_is_compared_once_in_every_orientation(count, seed, most_bits):
    hashed = np.random.default_rng(seed).integers(0, 2**64, (count, 8, 4), np.uint64, endpoint=False)
    bits = np.unpackbits(hashed.view(np.uint8), axis=-1)
    expected = [
        (one, other, least)
        for one in range(count)
        for other in range(one + 1, count)
        if (least := int((bits[one, 0] != bits[other]).sum(axis=-1).min())) <= most_bits
    ]
    assert sorted(map(tuple, duplicates.close(hashed, most_bits).tolist())) == expected


def test_pairs_beyond_a_block_are_found():
    rng = np.random.default_rng(0)
    hashed = rng.integers(0, 2**64, (700, 8, 4), np.uint64, endpoint=False)
    hashed[650, 5] = hashed[3, 0]
    hashed[699, 0] = hashed[698, 0]
    assert duplicates.close(hashed).tolist() == [[3, 650, 0], [698, 699, 0]]


def test_no_field_and_one_field_have_no_pair(drawn, tmp_path):
    assert duplicates.find([]) == []
    assert duplicates.find([LabelledField(Path(drawn[0][0]), "ALL", "g", "l", 0.5)]) == []


def test_files_are_told_apart_from_pictures_and_the_unreadable_is_passed_over(drawn, picture, tmp_path):
    shutil.copy(drawn[0][0], tmp_path / "copy.png")
    cv2.imwrite(str(tmp_path / "again.jpg"), picture)
    (tmp_path / "broken.png").write_bytes(b"no picture")

    def field(path, group, label="ALL", roi=None):
        return LabelledField(Path(path), label, group, "l", 0.5, roi=roi)

    original, broken = field(drawn[0][0], "g"), field(tmp_path / "broken.png", "g")
    copy, again = field(tmp_path / "copy.png", "h"), field(tmp_path / "again.jpg", "g", "MM")
    other = field(drawn[5][0], "g")
    seen = []
    found = duplicates.find([original, broken, other, again, copy], seen.append)
    assert seen == [1, 2, 3, 4, 5]
    assert {(pair.first, pair.second, pair.identical) for pair in found} == {
        (original, copy, True),
        (original, again, False),
        (again, copy, False),
    }
    assert found[0].identical
    of = {(pair.first, pair.second): (pair.across_groups, pair.across_labels) for pair in found}
    assert of == {(original, copy): (True, False), (original, again): (False, True), (again, copy): (True, True)}
    # Two regions of one picture are two fields.
    halves = [field(drawn[0][0], "g", roi=Roi(x, 0, 160, 240)) for x in (0, 160)]
    assert duplicates.find(halves) == []


def test_pairs_that_a_split_parts_are_chosen():
    def pair(first, second):
        one, other = (LabelledField(Path("a"), "ALL", group, "l", 0.5) for group in (first, second))
        return Pair(one, other, 0, False)

    found = [pair("a", "a"), pair("a", "b"), pair("a", "c"), pair("c", "b"), pair("a", "nowhere")]
    parted = duplicates.across(found, [{"a", "b"}, frozenset({"c"}), ()])
    assert parted == [found[2], found[3]]


@pytest.mark.skipif(not REAL.is_file(), reason="the real images are not on this machine")
def test_the_known_near_duplicates_of_the_real_data_are_found():
    wanted = {"WBC-Benign-238", "WBC-Benign-241", "WBC-Malignant-Early-559", "WBC-Malignant-Early-561"}
    fields = manifest.read([REAL])
    beside = [field for field in fields if field.path.stem[:-1] in {name[:-1] for name in wanted}]
    across = [pair for pair in duplicates.find(beside) if pair.across_groups]
    assert {frozenset((pair.first.path.stem, pair.second.path.stem)) for pair in across} == {
        frozenset(("WBC-Benign-238", "WBC-Benign-241")),
        frozenset(("WBC-Malignant-Early-559", "WBC-Malignant-Early-561")),
    }


def test_what_a_split_has_parted_is_said_in_a_line_each(tmp_path, picture, drawn):
    for name, pixels in (("a", picture), ("b", recompressed(picture)), ("c", cv2.imread(drawn[-1][0]))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    shutil.copy(tmp_path / "a.png", tmp_path / "copy.png")
    fields = [
        LabelledField(tmp_path / "a.png", "ALL", "g1", "l", 0.5),
        LabelledField(tmp_path / "b.png", "ALL", "g1", "l", 0.5),
        LabelledField(tmp_path / "copy.png", "MM", "g2", "l", 0.5),
        LabelledField(tmp_path / "c.png", "MM", "g3", "l", 0.5),
    ]
    seen = []
    first, second = duplicates.between(fields, [{"g2"}, {"g1"}, {"g3"}], seen.append)
    assert first == (
        "a.png of group g1 and copy.png of group g2 are the same file, labelled ALL and MM, in two parts of the split"
    )
    assert second.startswith("b.png of group g1 and copy.png of group g2 show the same (")
    assert seen == [1, 2, 3, 4]
    assert duplicates.between(fields, [{"g1", "g2"}, {"g3"}]) == []
