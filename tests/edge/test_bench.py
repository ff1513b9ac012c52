"""The benchmark times the same work in whole and in parts, and leaves nothing behind."""

import numpy as np
import pytest

from edge import bench
from edge.errors import ConfigurationError, OutputError
from edge.frame import Frame
from edge.model import open_model, shelf


@pytest.fixture(scope="module")
def model():
    return open_model(shelf.find(None))


@pytest.fixture(scope="module")
def frame():
    return bench.simulated_frame((640, 480))


def test_figures_are_of_one_run(frame, model, tmp_path):
    figures = bench.measure(frame, model, tmp_path / "new" / "folder", repeats=2)
    assert figures.size_px == (640, 480)
    assert figures.tiles > 0
    assert figures.stages_ms.keys() >= {"quality", "tile", "infer", "log"}
    assert figures.floors_ms.keys() == {"resize", "tiles", "invoke", "transaction"}
    assert min(*figures.stages_ms.values(), *figures.floors_ms.values()) >= 0
    assert figures.floor_ms == pytest.approx(sum(figures.floors_ms.values()))
    assert (figures.repeats, figures.model) == (2, model.bundle.identity)
    assert list(tmp_path.iterdir()) == []


def test_the_ratio_is_that_of_a_turn(frame, model, tmp_path):
    figures = bench.measure(frame, model, tmp_path, repeats=1)
    assert figures.ratio == pytest.approx(figures.total_ms / figures.floor_ms)


def test_a_frame_without_cells_times_nothing(model, tmp_path):
    blank = Frame(np.full((240, 320, 3), 235, np.uint8), "blank", 0, 0.1, 0.0, 0.0)
    with pytest.raises(ConfigurationError, match="larger"):
        bench.measure(blank, model, tmp_path)


def test_a_folder_that_cannot_be_made_is_told(frame, model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        bench.measure(frame, model, tmp_path / "file" / "folder")


def test_the_field_is_the_same_every_time(frame):
    assert np.array_equal(bench.simulated_frame((640, 480)).pixels, frame.pixels)
