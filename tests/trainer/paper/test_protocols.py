"""Who is trained on and who is tested: the paper's protocol mixes, the others do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import DataError
from trainer.paper import protocols
from trainer.paper.fields import AS_TAKEN
from trainer.paper.protocols import PROTOCOLS

SEEDS = st.integers(0, 1000)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_as_in_the_paper_a_field_is_on_both_sides(pictures, seed):
    dealt = protocols.as_in_paper(pictures, 4, seed)
    tested = np.concatenate([fold.test for fold in dealt])
    assert sorted(tested.tolist()) == list(range(len(pictures.labels)))
    assert any(set(pictures.fields[fold.test]) & set(pictures.fields[fold.training]) for fold in dealt)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from(["field", "group", "lab"]))
def test_honest_protocols_test_every_field_once_as_taken(pictures, seed, name):
    dealt = PROTOCOLS[name].deal(pictures, 2, seed)
    tested = np.concatenate([fold.test for fold in dealt])
    assert sorted(pictures.fields[tested].tolist()) == list(range(24))
    assert (pictures.variants[tested] == AS_TAKEN).all()
    for fold in dealt:
        assert set(pictures.labels[fold.training]) == {0, 1, 2}
        # What augmentation made of training fields is trained on.
        assert (pictures.variants[fold.training] != AS_TAKEN).any()


@settings(max_examples=20, deadline=None)
@given(SEEDS)
@pytest.mark.parametrize(("name", "unit"), [("field", "fields"), ("group", "groups"), ("lab", "labs")])
def test_no_honest_protocol_has_a_unit_on_both_sides(pictures, name, unit, seed):
    units = getattr(pictures, unit)
    for fold in PROTOCOLS[name].deal(pictures, 2, seed):
        assert not set(units[fold.test].tolist()) & set(units[fold.training].tolist())


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_same_seed_deals_the_same(pictures, name):
    first, second = (PROTOCOLS[name].deal(pictures, 2, 7) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.training, other.training)
        np.testing.assert_array_equal(one.test, other.test)


def test_a_class_of_one_laboratory_cannot_lose_that_laboratory(pictures):
    confounded = pictures.where((pictures.labels != 0) | (pictures.labs == "purple"))
    with pytest.raises(DataError, match="class 'ALL': comes from one laboratory only"):
        protocols.by_laboratory(confounded, 4, 0)


@pytest.mark.parametrize("name", ["paper", "field"])
def test_three_pictures_are_too_few(taken, name):
    few = taken.where(np.flatnonzero((taken.labels > 0) | (taken.fields < 3)))
    with pytest.raises(DataError, match="class 'ALL': has 3 pictures, too few for 4 folds"):
        PROTOCOLS[name].deal(few, 4, 0)


def test_a_class_of_one_group_cannot_be_split_by_group(taken):
    with pytest.raises(DataError, match="fewer than two groups"):
        protocols.by_group(taken.where((taken.labels > 0) | (taken.groups == "purple-ALL-0")), 4, 0)
