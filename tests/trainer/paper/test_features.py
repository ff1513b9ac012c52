"""Colour histogram, Fourier transform and the choice among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.naive_bayes import GaussianNB

from trainer.paper import features, selection

PICTURES = arrays.arrays(np.uint8, (24, 24, 3), elements=st.integers(0, 255))


@given(PICTURES)
def test_a_histogram_is_a_share_of_each_channel(picture):
    of_channels = features.colour_histogram(picture).reshape(3, features.BINS)
    np.testing.assert_allclose(of_channels.sum(axis=1), 1, rtol=1e-5)


def test_a_histogram_counts_levels_in_the_channel_they_are_in():
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[...] = (0, 130, 255)
    counted = dict(zip(features.names(), features.colour_histogram(picture), strict=False))
    assert {name for name, share in counted.items() if share} == {"blue_0", "green_128", "red_248"}


def test_a_histogram_sees_nothing_outside_its_mask(taken):
    picture, within = taken.pixels[0].copy(), taken.background[0]
    before = features.colour_histogram(picture, within)
    picture[~within] = (1, 2, 3)
    np.testing.assert_array_equal(features.colour_histogram(picture, within), before)
    assert not features.colour_histogram(picture, np.zeros_like(within)).any()


@pytest.mark.parametrize(("down", "across"), [(0, 3), (5, 0), (2, 4), (-2, 4)])
def test_a_wave_shows_at_its_frequency(down, across):
    y, x = np.mgrid[:48, :48] / 48
    wave = np.cos(2 * np.pi * (down * y + across * x))
    picture = np.repeat((128 + 100 * wave)[..., None], 3, axis=2).astype(np.uint8)
    found = dict(zip(features.names()[-153:], features.fourier(picture), strict=True))
    highest = sorted(found, key=lambda name: found[name])[::-1]
    assert highest[0] == "dft_0_0"
    assert highest[1].removeprefix("dft_") in {f"{down}_{across}", f"{-down}_{across}"}
    # Half of an amplitude of 100 on either side of the spectrum.
    assert found[highest[1]] == pytest.approx(np.log1p(50), abs=0.05)


@given(PICTURES, st.integers(0, 23), st.integers(0, 23))
def test_where_things_are_does_not_change_the_spectrum(picture, down, across):
    moved = np.roll(picture, (down, across), axis=(0, 1))
    np.testing.assert_allclose(features.fourier(moved), features.fourier(picture), atol=1e-4)


def test_every_feature_has_a_name_and_none_is_negative(taken):
    described = features.describe(taken.pixels[0])
    assert described.dtype == np.float32
    assert described.shape == (249,) == (len(set(features.names())),)
    assert (described >= 0).all()


def test_chi_square_ranks_what_tells_the_classes_apart_first():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 50)
    table = rng.random((100, 5))
    table[:, 3] += labels
    table[:, 4] = 0
    scores = selection.chi_square(table, labels)
    assert scores.argmax() == 3
    assert scores[4] == 0


def test_selection_learns_from_training_rows_alone():
    rng = np.random.default_rng(0)
    table, labels = rng.random((60, 8)), np.repeat([0, 1], 30)
    fitted = selection.best(2, GaussianNB()).fit(table[::2], labels[::2])
    again = selection.best(2, GaussianNB()).fit(table[::2].copy(), labels[::2])
    # Whatever is tested later, and outside the range seen in training, changes nothing.
    np.testing.assert_array_equal(fitted.predict(table * 100), again.predict(np.minimum(table * 100, 1e6)))
    assert fitted[1].get_support().sum() == 2
    assert fitted[0].data_max_.max() <= table[::2].max()
