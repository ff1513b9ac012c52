"""`wbc-edge capture` shows a person a table, gives a program JSON, and logs all of it."""

import os

import pytest

from edge import RESEARCH_USE_ONLY
from edge.camera.attached import AttachedCamera
from edge.capture import Finished
from edge.cli import options
from edge.cli.report import TableReport
from edge.errors import CameraNotFound
from edge.journal import Journal
from edge.result import SampleResult


def test_a_program_gets_an_object_a_frame_and_one_for_the_sample(simulate, journal):
    ran = simulate("--classify", "--count", 2, "--sample", "S-1", "--json")
    *frames, sample = ran.lines
    assert ran.code == 0
    assert len(frames) == 2
    for frame in frames:
        assert frame.keys() >= {"frame", "verdict", "reason", "probabilities", "tiles", "quality", "ms", "model"}
        assert frame["tiles"].keys() == {"total", "used"}
        assert frame["quality"].keys() >= {"usable", "focus", "saturation", "foreground", "reasons"}
        assert frame["ms"].keys() >= {"capture", "quality", "tile", "infer", "log", "total"}
        stages = {stage: ms for stage, ms in frame["ms"].items() if stage != "total"}
        assert frame["ms"]["total"] == pytest.approx(sum(stages.values()), abs=0.01)
        assert sum(frame["probabilities"].values()) == pytest.approx(1)
    assert (sample["sample"], sample["frames"]) == ("S-1", 2)
    assert sample.keys() == {"sample", "verdict", "reason", "probabilities", "frames", "indeterminate"}
    with Journal.open_read_only(journal) as log:
        assert [record.record for record in log.frames(sample="S-1")] == [frame["record"] for frame in frames]


def test_a_person_gets_a_line_a_frame_and_the_samples_verdict(simulate):
    ran = simulate("--classify", "--count", 2, "--sample", "S-1")
    header, first, second, *rest = ran.out.splitlines()
    assert header.split() == ["record", "frame", "verdict", "prob", "tiles", "ms", "quality"]
    assert first.split()[:2] == ["1", "sim-MM-000000"]
    assert second.split()[:2] == ["2", "sim-MM-000001"]
    column = header.index("verdict")
    assert {line[column - 2 :].split()[0] for line in (first, second)} <= {"ALL", "MM", "normal", "indeterminate"}
    assert any(line.startswith("Sample S-1: ") and "2 frames" in line for line in rest)
    assert rest[-1] == RESEARCH_USE_ONLY
    assert "Logging to" in ran.err


def test_without_classify_quality_is_measured(simulate):
    frame, sample = simulate("--count", 1, "--json").lines
    assert (frame["verdict"], frame["model"], frame["probabilities"]) == (None, None, {})
    assert frame["quality"]["usable"] is True
    assert frame["ms"].keys() >= {"capture", "quality", "tile", "infer", "log", "total"}
    assert (sample["verdict"], sample["frames"]) == (None, 1)
    assert "1 frames measured" in simulate("--count", 1).out


def test_a_blank_field_is_indeterminate_and_says_why(wbc):
    camera = "sim:normal,white_cells=0,red_cells=0,debris=0"
    ran = wbc("capture", "--classify", "--camera", camera, "--size", "320x240", "--count", 1, "--json")
    frame, sample = ran.lines
    assert frame["verdict"] == sample["verdict"] == "indeterminate"
    assert frame["reason"] == "blank field"
    assert frame["quality"]["reasons"] == ["blank field"]
    assert sample["indeterminate"] == 1


def test_a_new_sample_is_begun_unless_one_is_named(simulate):
    names = {simulate("--count", 1, "--json").lines[-1]["sample"] for _ in range(3)}
    assert len(names) == 3


def test_a_named_sample_is_continued(simulate):
    simulate("--classify", "--count", 2, "--sample", "S-1")
    assert simulate("--classify", "--count", 1, "--sample", "S-1", "--json").lines[-1]["frames"] == 3


def test_pictures_are_saved_on_demand(simulate, journal):
    assert simulate("--classify", "--count", 1, "--save", "overlays").code == 0
    assert [path.suffix for path in journal.parent.glob("pictures/*/*")] == [".jpg"]


def test_a_gpu_that_was_asked_for_and_is_not_there_is_told(simulate, monkeypatch):
    monkeypatch.setenv("VK_DRIVER_FILES", "/nonexistent")
    told = "Not on the GPU that was asked for: no Vulkan driver is installed"
    assert told in simulate("--classify", "--count", 1, "--accelerator", "gpu").err.splitlines()
    assert told not in simulate("--classify", "--count", 1, "--accelerator", "auto").err.splitlines()


def test_overlays_need_a_model(simulate):
    ran = simulate("--count", 1, "--save", "overlays")
    assert ran.code == 2
    assert "--classify" in ran.err


def test_without_a_camera_the_simulated_one_is_named(tmp_path):
    with pytest.raises(CameraNotFound, match=r"none is attached.*--camera sim"):
        options.the_camera(tmp_path)


def test_a_camera_that_cannot_be_used_is_named_with_its_problem(tmp_path):
    (tmp_path / "video0").touch()
    with pytest.raises(CameraNotFound, match=r"video0: .+--camera sim"):
        options.the_camera(tmp_path)


@pytest.mark.parametrize("command", [["capture"], ["calibrate", "light"]])
def test_a_service_without_a_camera_leaves_the_one_that_is_attached(wbc, monkeypatch, command):
    monkeypatch.setenv("WBC_EDGE_CAMERA", "none")
    monkeypatch.setattr("edge.camera.attached_cameras", lambda _: [])
    ran = wbc(*command)
    assert ran.code == 11
    assert "none is attached" in ran.err


def test_the_only_camera_attached_is_used_and_told(monkeypatch, capsys, tmp_path):
    scope, other = (AttachedCamera(f"v4l2:/dev/video{number}", "MicroCam", None) for number in (0, 2))
    broken = AttachedCamera("picamera2:0", "Raspberry Pi camera", "picamera2 is not installed")
    monkeypatch.setattr("edge.camera.attached_cameras", lambda _: [broken, scope])
    assert options.the_camera(tmp_path) == "v4l2:/dev/video0"
    assert "v4l2:/dev/video0 (MicroCam)" in capsys.readouterr().err
    monkeypatch.setattr("edge.camera.attached_cameras", lambda _: [scope, other])
    with pytest.raises(CameraNotFound, match=r"video0, v4l2:/dev/video2.*--camera"):
        options.the_camera(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--camera", "periscope"], 11, "periscope"),
        (["--camera", "v4l2:/dev/null", "--um-per-px", "0.1"], 11, "/dev/null"),
        (["--camera", "picamera2:0"], 3, "--um-per-px"),
        (["--camera", "file:/nowhere", "--um-per-px", "0.1"], 21, "/nowhere"),
        (["--camera", "sim", "--um-per-px", "0"], 3, "pixel size"),
        (["--camera", "sim", "--um-per-px", "nan"], 3, "pixel size"),
        (["--camera", "sim", "--size", "big"], 2, "2560x1920"),
        (["--camera", "sim", "--count", "0"], 2, "--count"),
        (["--camera", "sim", "--interval", "nan"], 2, "--interval"),
        (["--camera", "sim", "--interval", "inf"], 2, "--interval"),
        (["--camera", "sim", "--timeout", "nan"], 2, "--timeout"),
        (["--camera", "sim", "--timeout", "1e5"], 2, "--timeout"),
        (["--camera", "sim", "--sample", " "], 2, "empty"),
    ],
)
def test_what_cannot_be_is_told_in_a_line_with_its_own_code(arguments, code, named, wbc):
    ran = wbc("capture", *arguments)
    assert ran.code == code
    assert named in ran.err
    assert ran.out == ""
    if code != 2:
        assert len(ran.err.splitlines()) == 1 or ran.err.startswith("Logging to")


def test_a_class_of_a_model_cannot_drive_the_terminal(capsys):
    decided = SampleResult("S-1", "ALL\x1b[2J", "no\x07reason", {"ALL\x1b[2J": 0.9}, 1, 0)
    TableReport(lambda: None).finished(Finished("S-1", 1, decided))
    assert capsys.readouterr().out.startswith("\nSample S-1: ALL\ufffd[2J (no\ufffdreason); ALL\ufffd[2J 0.90")


def test_the_environment_sets_options(wbc, monkeypatch):
    monkeypatch.setenv("WBC_EDGE_CAMERA", "sim:ALL")
    monkeypatch.setenv("WBC_EDGE_SIZE", "320x240")
    monkeypatch.setenv("WBC_EDGE_CAPTURE_COUNT", "1")
    assert [line.get("frame") for line in wbc("capture", "--json").lines] == ["sim-ALL-000000", None]


def test_a_sample_of_any_bytes_has_one_name_everywhere(simulate, journal):
    ran = simulate("--count", 1, "--sample", os.fsdecode(b"S-\xff"), "--json")
    assert ran.code == 0
    with Journal.open_read_only(journal) as log:
        assert [sample.name for sample in log.samples()] == [ran.lines[-1]["sample"]] == [r"S-\udcff"]
