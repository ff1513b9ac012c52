"""Settings that nothing can be trained with are refused when they are read, not after hours."""

from __future__ import annotations

import json

import pytest

from edge.errors import ConfigurationError
from trainer import settings
from trainer.augment import Augmentation
from trainer.settings import Settings


@pytest.fixture
def written(tmp_path):
    def write(values):
        path = tmp_path / "best.json"
        path.write_text(json.dumps(values), encoding="utf-8")
        return path

    return write


def test_what_a_file_does_not_name_has_its_default(written):
    assert settings.read(written({"steps": 7, "augmentation": {"gray": 0}})) == Settings(
        steps=7, augmentation=Augmentation(gray=0)
    )


@pytest.mark.parametrize(
    "values", [{"step": 400}, {"augmentation": {"zom": 0.1}}, {"augmentation": {}, "seeds": 1}], ids=str
)
def test_a_name_that_is_no_setting_is_refused_and_the_settings_are_named(written, values):
    with pytest.raises(ConfigurationError, match=r"'(step|zom|seeds)' is none\. There are ") as refused:
        settings.read(written(values))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 0},
        {"batch": 0},
        {"batch": 1},
        {"learning_rate": 0},
        {"learning_rate": -0.1},
        {"label_smoothing": 1},
        {"simulate": -1},
        {"least_probability": 1.1},
        {"seed": -1},
        {"tile_px": 14},
        {"tile_px": 100_000},
    ],
    ids=str,
)
def test_a_number_beyond_its_bounds_is_refused_and_named(written, values):
    (name,) = values
    with pytest.raises(ConfigurationError, match=rf"{name} .* must be between"):
        Settings(**values)
    with pytest.raises(ConfigurationError, match=rf"{name} .* must be between"):
        settings.read(written(values))


@pytest.mark.parametrize(
    "values", [{"zoom": -2}, {"zoom": 1}, {"restain": 1.5}, {"gray": -0.1}, {"noise": float("nan")}], ids=str
)
def test_an_augmentation_that_would_spoil_tiles_is_refused(values):
    (name,) = values
    with pytest.raises(ConfigurationError, match=rf"{name} .* must be between"):
        Augmentation(**values)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"augmentation": 3}', '{"steps": "many"}'])
def test_what_holds_no_settings_is_refused(tmp_path, text):
    path = tmp_path / "best.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"best\.json"):
        settings.read(path)
