"""`wbc-edge calibrate` measures, keeps and shows; every later frame is taken by it."""

import json

import cv2
import pytest

from edge.simulator import Smear, glass, micrometer

LIGHT = "illumination=0.3,brightest=0.4/0.5"
SIZE = ("--size", "1000x750")


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "calibration.json"
    monkeypatch.setenv("WBC_EDGE_CALIBRATION", str(path))
    return path


@pytest.fixture
def calibrate(wbc, file):
    def run(what, slide, *more):
        return wbc("calibrate", what, "--camera", f"sim:{slide},{LIGHT}", *SIZE, *more)

    return run


def test_light_and_scale_are_measured_kept_logged_and_used(wbc, calibrate, file):
    assert calibrate("light", "glass", "--objective", "100x").code == 0
    (shown,) = calibrate("micrometer", "micrometer", "--json").lines
    assert shown["scale"]["um_per_px"] == pytest.approx(0.1, rel=0.002)
    assert (shown["scale"]["method"], shown["objective"]) == ("micrometer", "100x")
    assert shown["light"]["exposure_us"] == 10_000
    assert wbc("calibrate", "show", "--json").lines == [shown]
    text = wbc("calibrate", "show").out
    assert "um per pixel (0." in text
    assert "exposure 10000 us" in text
    details = [event["detail"] for event in wbc("log", "events", "--json").lines if event["kind"] == "calibration"]
    assert len(details) == 2
    assert "by micrometer" in details[1]
    first, _ = wbc("capture", "--camera", f"sim:ALL,exposure=0.6,{LIGHT}", *SIZE, "--count", 1, "--json").lines
    assert first["quality"]["brightness"] > 0.85  # locked to the exposure it was calibrated at


def test_a_field_that_is_not_empty_changes_nothing(calibrate, file):
    ran = calibrate("light", "ALL")
    assert (ran.code, ran.err.count("\n")) == (5, 1)
    assert "not empty" in ran.err
    assert not file.exists()


def test_no_lines_and_no_red_cells_change_nothing(calibrate, file):
    assert calibrate("micrometer", "glass").code == 5
    assert calibrate("red-cells", "glass", "--frames", 1).code == 5
    assert not file.exists()


def test_red_cells_give_a_scale_where_there_is_none_and_prove_one_that_is_there(wbc, calibrate, file):
    ran = calibrate("red-cells", "normal", "--frames", 3)
    assert ran.code == 0, ran.err
    assert json.loads(file.read_text())["scale"]["method"] == "red cells"
    calibrate("micrometer", "micrometer")
    kept = file.read_text()
    ran = calibrate("red-cells", "normal", "--frames", 3)
    assert (ran.code, "agree" in ran.err) == (0, True)
    assert file.read_text() == kept
    data = json.loads(kept)
    data["scale"]["um_per_px"] = 0.25  # as with another objective
    file.write_text(json.dumps(data))
    ran = calibrate("red-cells", "normal", "--frames", 3)
    assert (ran.code, "objective" in ran.err) == (5, True)


def test_another_objective_begins_anew(calibrate, file):
    calibrate("light", "glass", "--objective", "100x")
    calibrate("micrometer", "micrometer", "--objective", "40x")
    data = json.loads(file.read_text())
    assert (data["objective"], data["light"]) == ("40x", None)


def test_without_one_it_is_said_so_and_a_damaged_one_stops_no_silently_wrong_frame(wbc, file):
    assert wbc("calibrate", "show").code == 5
    file.write_text("{")
    ran = wbc("capture", "--camera", "sim", *SIZE, "--count", 1)
    assert (ran.code, ran.err.count("\n")) == (5, 1)


def test_one_that_is_named_and_not_there_is_an_error(wbc, tmp_path):
    ran = wbc("capture", "--camera", "sim", *SIZE, "--count", 1, "--calibration", tmp_path / "typo.json")
    assert (ran.code, ran.out, ran.err.count("\n")) == (5, "", 1)
    assert "typo.json: there is none" in ran.err


def test_one_that_does_not_apply_is_told_in_a_line(wbc, calibrate, file, tmp_path, fields):
    calibrate("light", "glass")
    as_it_is, smaller, of_another = (
        wbc("capture", *camera, "--um-per-px", 0.1, "--count", 1).err.splitlines()
        for camera in (
            ("--camera", "sim:ALL", *SIZE),
            ("--camera", "sim:ALL", "--size", "640x480"),
            ("--camera", f"file:{fields}", *SIZE),
        )
    )
    assert [line for line in as_it_is if str(file) in line] == []
    (line,) = [line for line in smaller if str(file) in line]
    assert "was made at 1000x750: at 640x480" in line
    (line,) = [line for line in of_another if str(file) in line]
    assert "is of sim, and not used for file:" in line


def test_pictures_are_of_the_size_that_they_have(wbc, file, tmp_path):
    smear = Smear(size_px=(640, 480), illumination=0.3)
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f"glass{number}.png"), glass(smear, number))
        cv2.imwrite(str(tmp_path / f"lines{number}.png"), micrometer(smear, number))
    for what, pictures in (("light", "glass*"), ("micrometer", "lines*")):
        ran = wbc("calibrate", what, "--camera", f"file:{tmp_path}/{pictures}", "--json")
        assert (ran.code, ran.lines[0]["size_px"]) == (0, [640, 480])
        assert "not as calibrated" not in ran.err


@pytest.mark.parametrize("what", ["light", "micrometer", "red-cells"])
def test_pictures_of_two_sizes_calibrate_nothing(wbc, file, tmp_path, what):
    for number, size_px in enumerate([(640, 480), (320, 240)]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), glass(Smear(size_px=size_px), number))
    ran = wbc("calibrate", what, "--camera", f"file:{tmp_path}")
    assert (ran.code, ran.err.count("\n"), file.exists()) == (5, 1, False)
    assert "640x480 and then 320x240" in ran.err


@pytest.mark.parametrize("what", ["light", "micrometer", "red-cells", "show"])
def test_each_has_examples(wbc, what):
    assert f"wbc-edge calibrate {what}" in wbc("calibrate", what, "--help").out
