"""Turned pictures and edge maps: what they are, how many, and of which field."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.paper import augmentation
from trainer.paper.fields import AS_TAKEN


def test_four_turns_lead_back(taken):
    picture = taken.pixels[0]
    turned = picture
    for _ in range(4):
        turned = augmentation.turned(turned)
    np.testing.assert_array_equal(turned, picture)
    np.testing.assert_array_equal(augmentation.turned(picture)[0], picture[:, -1])


def test_an_edge_map_is_black_where_it_is_flat_and_bright_along_a_step():
    picture = np.full((32, 32, 3), 60, np.uint8)
    picture[:, 16:] = 220
    edges = augmentation.edge_map(picture)
    assert edges.shape == picture.shape
    assert (edges[:, 15:17] == 255).all()
    assert not edges[:, :14].any()
    assert not edges[:, 18:].any()


def test_of_190_pictures_424_are_made(taken):
    many = taken.where(np.arange(190) % 24)
    made = augmentation.expand(replace(many, fields=np.arange(190)))
    assert len(made.pixels) == len(made.labels) == len(made.fields) == len(made.variants) == 424


@settings(max_examples=20, deadline=None)
@given(st.floats(1, 3), st.integers(0, 2**31))
def test_every_picture_added_is_made_of_the_field_it_is_said_to_be(taken, share, seed):
    made = augmentation.expand(taken, share, seed)
    assert len(made.labels) == min(72, 24 + round(24 * (share - 1)))
    np.testing.assert_array_equal(made.pixels[:24], taken.pixels)
    assert (made.variants[:24] == AS_TAKEN).all()
    assert len({*zip(made.fields.tolist(), made.variants.tolist(), strict=True)}) == len(made.labels)
    for row in range(24, len(made.labels)):
        of = made.fields[row]
        expected = augmentation.VARIANTS[str(made.variants[row])](taken.pixels[of])
        np.testing.assert_array_equal(made.pixels[row], expected)
        assert made.labels[row] == taken.labels[of]


def test_the_background_of_a_turned_picture_is_turned_and_of_an_edge_map_is_not(taken):
    made = augmentation.expand(taken, 3)
    for variant, expected in (("turned", np.rot90(taken.background[3])), ("edges", taken.background[3])):
        row = np.flatnonzero((made.fields == 3) & (made.variants == variant))
        np.testing.assert_array_equal(made.background[row[0]], expected)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_draws_the_same(taken, seed):
    first, second = augmentation.expand(taken, 2, seed), augmentation.expand(taken, 2, seed)
    np.testing.assert_array_equal(first.fields, second.fields)
    assert not np.array_equal(first.fields, augmentation.expand(taken, 2, seed + 2).fields)
