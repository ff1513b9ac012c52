"""A calibration is kept whole, read back as it was, and what departs from it is named."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge import calibration
from edge.calibration import Calibration, departures
from edge.camera import CameraSettings, device
from edge.camera.guard import GuardedCamera
from edge.errors import CalibrationRefused, OutputError
from edge.frame import Frame, SensorReport, WhiteField
from edge.model import open_model, shelf
from edge.pipeline import classify, measure
from edge.simulator import Smear, draw, glass
from edge.vision import illumination
from edge.vision.micrometer import MeasuredScale

SIZE = (640, 480)
SENSOR = SensorReport(8000.0, 2.0, (1.5, 1.25))


@pytest.fixture(scope="module")
def made() -> Calibration:
    seen = Smear(size_px=SIZE, illumination=0.3, brightest=(0.4, 0.5))
    white = illumination.white_field(illumination.average([glass(seen, seed) for seed in range(3)]))
    return Calibration(
        camera="sim",
        size_px=SIZE,
        objective="100x/1.25",
        who="pi",
        light=calibration.light(white, SENSOR),
        scale=calibration.scale(MeasuredScale(0.1, 0.099, 0.101, 40), "micrometer"),
    )


def test_it_is_read_back_as_it_was_and_the_one_before_is_kept(made: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "state" / "calibration.json"
    assert calibration.read(path) is None
    calibration.write(path, made)
    assert calibration.read(path) == made
    later = msgspec.structs.replace(made, objective="40x")
    calibration.write(path, later)
    assert calibration.read(path) == later
    assert calibration.read(path.with_name("calibration.json.before")) == made
    assert made.locked == SENSOR
    assert made.white is not None
    assert made.white.um_per_px == 0.1


def test_a_colour_temperature_is_kept_locked_and_compared(made: Calibration, tmp_path: Path) -> None:
    usb = SensorReport(8000.0, 64.0, colour_temperature_k=4600.0)
    assert made.white is not None
    kept = msgspec.structs.replace(made, light=calibration.light(made.white, usb))
    path = tmp_path / "calibration.json"
    calibration.write(path, kept)
    read = calibration.read(path)
    assert read is not None
    assert read.locked == usb
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    frame = Frame(pixels, "f", 0, 0.1, 0.0, 0.0, sensor=replace(usb, colour_temperature_k=5200.0))
    assert departures(kept, frame) == ["colour_temperature_k 5200, not 4600"]
    # An older wbc-edge, which one may go back to, refuses a setting that it does not know.
    calibration.write(path, made)
    assert "colour_temperature_k" not in path.read_text("utf-8")


def test_what_root_measured_the_service_reads(made: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    before = os.umask(0o077)
    try:
        calibration.write(path, made)
        calibration.write(path, made)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(each.stat().st_mode) for each in sorted(tmp_path.iterdir())] == [0o644, 0o644]


def test_what_is_no_calibration_is_not_copied_to_where_everybody_can_read_it(made: Calibration, tmp_path: Path) -> None:
    secret, path = tmp_path / "secret", tmp_path / "calibration.json"
    secret.write_text("what root alone may read", "utf-8")
    path.symlink_to(secret)
    with pytest.raises(CalibrationRefused):
        calibration.write(path, made)
    assert sorted(tmp_path.iterdir()) == [path, secret]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"camera": "sim"}', b'{"camera": "sim", "size_px": [1, 2], "colour": 3}'],
)
def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(content)
    with pytest.raises(CalibrationRefused, match="calibrate"):
        calibration.read(path)


def test_one_that_may_not_be_read_is_not_advised_to_be_removed(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").mkdir()  # which root cannot read either
    with pytest.raises(CalibrationRefused, match="right to read it"):
        calibration.read(tmp_path / "calibration.json")


def test_values_out_of_bounds_are_refused(made: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    assert made.light is not None
    calibration.write(path, msgspec.structs.replace(made, light=msgspec.structs.replace(made.light, level=(300, 1, 1))))
    with pytest.raises(CalibrationRefused, match="level"):
        calibration.read(path)


def test_where_it_cannot_be_written_is_told(made: Calibration) -> None:
    with pytest.raises(OutputError):
        calibration.write(Path("/proc/wbc-edge/calibration.json"), made)


def test_what_departs_from_it_is_named(made: Calibration) -> None:
    pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    frame = Frame(pixels, "f", 0, 0.1, 0.0, 0.0, sensor=SENSOR)
    assert departures(made, frame) == []
    assert departures(made, replace(frame, sensor=SensorReport())) == []
    for other, name in (
        (replace(frame, sensor=replace(SENSOR, exposure_us=9000.0)), "exposure_us 9000, not 8000"),
        (replace(frame, sensor=replace(SENSOR, analogue_gain=1.0)), "analogue_gain"),
        (replace(frame, sensor=replace(SENSOR, white_balance=(1.0, 1.25))), "red gain"),
        (replace(frame, sensor=replace(SENSOR, white_balance=(1.5, 2.0))), "blue gain"),
        (replace(frame, um_per_px=0.25), "um_per_px 0.25, not 0.1"),
        (replace(frame, pixels=pixels[:100]), "frames of 640x100"),
    ):
        (departure,) = departures(made, other)
        assert name in departure


def test_the_simulated_slide_is_no_part_of_the_camera() -> None:
    assert device("sim:MM,seed=3") == "sim"
    assert device("v4l2:/dev/video0") == "v4l2:/dev/video0"


def test_a_calibrated_camera_keeps_its_settings_and_gives_its_white_field_on(made: Calibration) -> None:
    asked = CameraSettings(size_px=SIZE, locked=SensorReport(12_000.0, None, (1.1, 0.9)), white=made.white)
    camera = GuardedCamera("sim:glass,exposure=0.5,white_balance=1/1", asked)
    frame = camera.read()
    camera.close()
    assert frame.white is asked.white
    assert frame.sensor.exposure_us == 12_000.0
    assert frame.sensor.white_balance == (1.1, 0.9)
    brighter = GuardedCamera("sim:glass,exposure=0.5", CameraSettings(size_px=SIZE)).read()
    assert frame.pixels.mean() > 1.8 * brighter.pixels.mean()


def test_drift_stands_among_a_frames_warnings(made: Calibration) -> None:
    model = open_model(shelf.find(None))
    assert made.white is not None
    seen = {"kind": "ALL", "size_px": SIZE, "illumination": 0.3, "brightest": (0.4, 0.5)}
    for extra, drifted in (
        ({}, set()),
        ({"exposure": 0.7}, {illumination.BRIGHTNESS_DRIFTED}),
        ({"white_balance": (1.0, 0.75)}, {illumination.COLOUR_DRIFTED}),
    ):
        pixels = draw(Smear(**{**seen, **extra}), 2).pixels  # type: ignore[arg-type]
        frame = Frame(pixels, "f", 1, 0.1, 0.0, 0.0, white=made.white)
        for result in (classify(frame, model), measure(frame)):
            assert illumination.DRIFTS.intersection(result.warnings) == drifted
        assert not illumination.DRIFTS.intersection(classify(replace(frame, white=None), model).warnings)


@pytest.mark.parametrize("calibrated", [True, False])
def test_another_objective_or_a_wrong_pixel_size_stands_among_the_warnings_now_and_then(calibrated: bool) -> None:
    white = WhiteField((232.0, 232.0, 232.0), np.ones((18, 24, 3), np.float32)) if calibrated else None
    pixels = draw(Smear(kind="normal", size_px=(1280, 960), um_per_px=0.2), 1).pixels
    said = [
        measure(Frame(pixels, "f", number, um, 0, 0, white=white)).warnings
        for number, um in ((0, 0.2), (0, 0.1), (64, 0.1), (1, 0.1))
    ]
    assert [illumination.SCALE_DRIFTED in warnings for warnings in said] == [False, True, True, False]


@pytest.mark.parametrize(("um_per_px", "is_told"), [(0.05, True), (0.2, False), (0.3, True), (0.5, True)])
def test_nuclei_of_another_size_than_cells_have_stand_among_the_warnings(um_per_px: float, is_told: bool) -> None:
    pixels = draw(Smear(kind="ALL", size_px=(1280, 960), um_per_px=0.2), 1).pixels
    for number in (1, 2):
        warnings = measure(Frame(pixels, "f", number, um_per_px, 0, 0)).warnings
        assert (illumination.NUCLEI_DRIFTED in warnings) is is_told
