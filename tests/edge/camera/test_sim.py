"""The simulated microscope gives the same fields whenever it is asked for the same sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera import CameraSettings, open_camera
from edge.camera.sim import SimulationOptions, parse_options
from edge.errors import CameraNotFound, ConfigurationError

SMALL = CameraSettings(size_px=(160, 120), um_per_px=0.2)

numbers = st.floats(0, 10, allow_nan=False)
options = st.builds(
    SimulationOptions,
    st.sampled_from(["ALL", "MM", "normal", "mixed"]),
    st.integers(0, 10**9),
    st.fixed_dictionaries(
        {}, optional={"defocus_um": numbers, "exposure": numbers, "white_balance": st.tuples(numbers, numbers)}
    ),
)


@given(options)
def test_an_open_simulator_names_the_specification_that_opens_it_again(asked):
    assert parse_options(str(asked)) == asked


def test_without_argument_it_is_one_patient_with_all():
    assert parse_options("") == SimulationOptions("ALL", 0, {})
    assert parse_options("seed=2") == SimulationOptions("ALL", 2, {})


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("AML", "ALL, MM, normal, mixed"),
        ("MM,blur=3", "Options are seed, white_balance,.*defocus_um"),
        ("MM,size_px=3", "no option"),
        ("MM,", "no option ''"),
        ("MM,seed=1,seed=2", "seed is given twice"),
        ("MM,seed=-1", "whole number"),
        ("MM,seed=", "whole number"),
        ("MM,exposure=bright", "bright"),
        ("MM,white_balance=1.2", "white_balance"),
    ],
)
def test_a_wrong_specification_is_explained(argument, told):
    with pytest.raises(CameraNotFound, match=told):
        open_camera(f"sim:{argument}", SMALL)


@pytest.mark.parametrize("argument", ["exposure=-1", "defocus_um=nan", "white_balance=0/0", "illumination=7"])
def test_a_number_out_of_range_is_refused_when_opening(argument):
    with pytest.raises(ConfigurationError, match=argument.partition("=")[0]):
        open_camera(f"sim:MM,{argument}", SMALL)


def test_frames_are_numbered_and_say_what_they_show():
    camera = open_camera("sim:MM,seed=3,white_balance=1.2/0.8", SMALL)
    frames = [camera.read() for _ in range(2)]
    assert [frame.name for frame in frames] == ["sim-MM-3000000", "sim-MM-3000001"]
    assert [frame.sequence for frame in frames] == [0, 1]
    assert {frame.um_per_px for frame in frames} == {0.2}
    assert frames[0].pixels.shape == (120, 160, 3)
    assert frames[0].pixels.dtype == np.uint8
    assert frames[0].sensor.white_balance == (1.2, 0.8)
    assert not np.array_equal(frames[0].pixels, frames[1].pixels)


def test_the_name_brings_back_the_very_same_fields():
    camera = open_camera("sim:normal,seed=4,exposure=0.5", SMALL)
    again = open_camera(camera.name, SMALL)
    for _ in range(2):
        np.testing.assert_array_equal(camera.read().pixels, again.read().pixels)


def test_mixed_takes_turns():
    camera = open_camera("sim:mixed", SMALL)
    assert [camera.read().name for _ in range(4)] == [
        "sim-ALL-000000", "sim-MM-000001", "sim-normal-000002", "sim-ALL-000003",
    ]  # fmt: skip


def test_options_reach_the_picture():
    dark = open_camera("sim:ALL,exposure=0.1", SMALL).read().pixels
    usual = open_camera("sim:ALL", SMALL).read().pixels
    assert dark.mean() < usual.mean() / 3


def test_pixel_size_and_frame_size_have_defaults():
    frame = open_camera("sim:white_cells=0,red_cells=0,debris=0", CameraSettings()).read()
    assert frame.um_per_px == 0.1
    assert frame.pixels.shape == (1920, 2560, 3)
