"""A configuration by which the service could never work is refused before anything is opened by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.daemon import workable
from edge.errors import WbcError
from edge.settings import Config

WRONG = [
    ({"camera": "v4l3:/dev/video0"}, "no such kind"),
    ({"camera": "sim:nonsense"}, "no kind of smear"),
    ({"camera": "sim:MM,defocus_um=-1"}, "defocus_um"),
    ({"camera": "picamera2:front"}, "numbers"),
    ({"camera": "file:/fields"}, "has an end"),
    ({"camera": "none"}, "nothing to do"),
    ({"watch_folder": "/drop"}, "config set um_per_px"),
    ({"size": "99999x99999"}, "megapixels"),
    ({"model": "doesnotexist"}, "no such bundle"),
    ({"model": "/no/such.wbc"}, "no such bundle"),
]
RIGHT: list[dict[str, Any]] = [
    {},
    {"camera": "none", "watch_folder": "/drop", "um_per_px": 0.1},
    {"camera": "sim:MM,seed=3", "size": "640x480"},
    {"camera": "picamera2:1"},
    {"camera": "v4l2:/dev/video9"},  # which may be plugged in later
    {"model": "marrow"},
]


@pytest.mark.parametrize(("settings", "why"), WRONG)
def test_what_could_never_work_is_refused_with_why(tmp_path: Path, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(WbcError, match=why):
        workable.check(Config(**settings), tmp_path)


@pytest.mark.parametrize("settings", RIGHT)
def test_what_may_work_is_not(tmp_path: Path, settings: dict[str, Any]) -> None:
    workable.check(Config(**settings), tmp_path)


def test_a_model_of_the_users_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.wbc").touch()
    workable.check(Config(model="mine"), tmp_path)
