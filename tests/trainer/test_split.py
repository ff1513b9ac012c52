"""Groups stay whole, folds are disjoint and cover everything, and what is held out is seen by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainer import split
from trainer.errors import DataError
from trainer.manifest import LabelledField


def fields_of(origins):
    return [
        LabelledField(Path(f"{number}.png"), label, group, lab, 0.5)
        for number, (label, group, lab) in enumerate(origins)
    ]


# A group's laboratory is its first letter, so that no group is in two.
origins = st.lists(
    st.tuples(st.sampled_from(["ALL", "MM", "normal"]), st.from_regex("[abc][0-9]", fullmatch=True)).map(
        lambda drawn: (drawn[0], drawn[1], drawn[1][0])
    ),
    min_size=4,
    max_size=60,
)


@given(origins, st.integers(2, 5), st.integers(0, 99), st.sets(st.sampled_from(["a", "b1", "c2"])))
def test_parts_are_disjoint_whole_and_all(origins, folds, seed, hold_out):
    fields = fields_of(origins)
    held = sorted(hold_out & ({field.group for field in fields} | {field.lab for field in fields}))
    try:
        parts = split.by_group(fields, held, folds, seed)
    except DataError:
        assume(False)
    dealt = [parts.test, *parts.folds]
    assert sum(len(part) for part in dealt) == len(frozenset().union(*dealt))
    assert frozenset().union(*dealt) == {field.group for field in fields}
    assert parts.test == {field.group for field in fields if field.group in held or field.lab in held}
    assert all(parts.folds)
    assert len(parts.folds) <= folds
    for label in {field.label for field in fields}:
        assert sum(any(f.label == label and f.group in fold for f in fields) for fold in parts.folds) >= 2


def test_the_deal_depends_on_the_seed_alone():
    fields = fields_of([(label, f"{lab}{n}", lab) for label in ("ALL", "MM") for lab in "abc" for n in range(6)])
    assert split.by_group(fields, (), 3, 1) == split.by_group(list(reversed(fields)), (), 3, 1)
    assert split.by_group(fields, (), 3, 1) != split.by_group(fields, (), 3, 2)


def test_a_laboratorys_groups_are_dealt_out_evenly():
    fields = fields_of([("ALL", f"a{n}", "a") for n in range(6)] + [("MM", f"b{n}", "b") for n in range(6)])
    for fold in split.by_group(fields, (), 3, 0).folds:
        assert sorted(group[0] for group in fold) == ["a", "a", "b", "b"]


def test_a_name_that_is_neither_group_nor_laboratory_is_refused():
    fields = fields_of([("ALL", "a1", "a"), ("ALL", "a2", "a")])
    with pytest.raises(DataError, match="--hold-out a3: is neither a group nor a laboratory"):
        split.by_group(fields, ["a3"], 2, 0)


def test_a_class_must_be_left_in_two_folds():
    fields = fields_of([("ALL", "a1", "a"), ("ALL", "a2", "a"), ("MM", "b1", "b"), ("MM", "b2", "b")])
    split.by_group(fields, [], 2, 0)
    with pytest.raises(DataError, match=r"class 'MM'.*fewer than two groups"):
        split.by_group(fields, ["b1"], 2, 0)
    with pytest.raises(DataError, match=r"class 'ALL'.*fewer than two groups"):
        split.by_group(fields, ["a"], 2, 0)


@given(st.integers(0, 999), st.integers(2, 5))
def test_a_class_that_is_in_groups_of_another_only_is_left_in_two_folds_too(seed, folds):
    fields = fields_of([("ALL", f"a{n}", "a") for n in range(7)] + [("normal", f"a{n}", "a") for n in (0, 3)])
    parts = split.by_group(fields, (), folds, seed)
    assert sum(not fold.isdisjoint({"a0", "a3"}) for fold in parts.folds) == 2


def test_fewer_groups_than_folds_make_fewer_folds():
    fields = fields_of([("ALL", "a1", "a"), ("MM", "a1", "a"), ("ALL", "b1", "b"), ("MM", "b1", "b")])
    assert sorted(map(sorted, split.by_group(fields, (), 5, 0).folds)) == [["a1"], ["b1"]]


def test_a_laboratory_is_left_out_with_the_classes_that_others_have_too():
    fields = fields_of(
        [
            ("ALL", "a1", "a"),
            ("ALL", "a2", "a"),
            ("normal", "a3", "a"),
            ("MM", "b1", "b"),
            ("normal", "c1", "c"),
            ("normal", "c2", "c"),
        ]
    )
    assert split.by_laboratory(fields) == [("a", frozenset({"a3"})), ("c", frozenset({"c1", "c2"}))]


def test_where_no_class_is_shared_no_laboratory_can_be_left_out():
    assert split.by_laboratory(fields_of([("ALL", "a1", "a"), ("MM", "b1", "b")])) == []


def test_a_group_with_a_class_of_one_laboratory_stays_with_all_its_fields():
    fields = fields_of([("ALL", "a1", "a"), ("normal", "a1", "a"), ("normal", "b1", "b")])
    assert split.by_laboratory(fields) == [("b", frozenset({"b1"}))]
