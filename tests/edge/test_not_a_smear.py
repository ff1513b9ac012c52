"""What is no smear gets no verdict: blank, noise, text and photographs, with the model that ships."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera.decode import read_image
from edge.frame import Frame
from edge.model import open_model, shelf
from edge.pipeline import classify
from edge.result import INDETERMINATE

SIZE = (360, 480, 3)
PICTURES = 40
LEAST_SHARE = 0.95


@pytest.fixture(scope="module")
def model():
    return open_model(shelf.find(None))


def share_indeterminate(model, pictures, um_per_px=0.5):
    verdicts = [classify(Frame(picture, "picture", 0, um_per_px, 0.0, 0.0), model).verdict for picture in pictures]
    return verdicts.count(INDETERMINATE) / len(verdicts)


def blank(rng):
    return np.clip(rng.normal(0, 2, SIZE) + rng.integers(0, 256, 3), 0, 255).astype(np.uint8)


def noise(rng):
    coarse = cv2.GaussianBlur(rng.normal(size=SIZE).astype(np.float32), (0, 0), float(rng.uniform(0.3, 8)))
    return cv2.normalize(coarse, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def text(rng):
    page = np.full(SIZE, 255, np.uint8)
    ink = tuple(int(level) for level in rng.integers(0, 120, 3))
    for line in range(20, SIZE[0], int(rng.integers(18, 40))):
        words = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz    "), 60))
        cv2.putText(page, words, (5, line), int(rng.integers(0, 7)), float(rng.uniform(0.4, 1.2)), ink, 2)
    return page


@pytest.mark.parametrize("kind", [blank, noise, text])
def test_blank_noise_and_text_are_indeterminate(model, kind):
    rng = np.random.default_rng(7)
    assert share_indeterminate(model, [kind(rng) for _ in range(PICTURES)]) >= LEAST_SHARE


def test_photographs_are_indeterminate(model):
    if find_spec("sklearn") is None:
        pytest.skip("the photographs come with scikit-learn, which is not installed here")
    found = find_spec("sklearn.datasets.images")
    folders = [Path(place) for place in (found.submodule_search_locations or [])] if found else []
    photographs = [read_image(path) for folder in folders for path in sorted(folder.glob("*.jpg"))]
    assert photographs, "scikit-learn has moved its sample images"
    pieces = [picture[y : y + 360, x : x + 480] for picture in photographs for y in (0, 60) for x in (0, 80, 160)]
    assert share_indeterminate(model, pieces) >= LEAST_SHARE
