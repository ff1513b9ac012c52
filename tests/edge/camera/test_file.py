"""Files play as frames: in natural order, each once, an unreadable one costing one error."""

import os

import cv2
import numpy as np
import pytest

from edge.camera import CameraSettings, EndOfFrames, open_camera
from edge.camera.file import FileCamera, find_files
from edge.errors import ImageError, NoImages, ScaleError

SETTINGS = CameraSettings(um_per_px=0.1)


def picture(value):
    return np.full((64, 80, 3), value, np.uint8)


def write(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, picture(value))[1].tobytes())
    return path


def play(camera):
    """Read to the end; errors stand where they happened."""
    frames = []
    while True:
        try:
            frames.append(camera.read())
        except ImageError as error:
            frames.append(error)
        except EndOfFrames:
            return frames


@pytest.fixture
def folder(tmp_path):
    for name, value in (("field10.png", 10), ("field2.png", 2), ("field1.bmp", 1), ("b/deep/er.JPG", 200)):
        write(tmp_path / name, value)
    write(tmp_path / ".thumbnails/field.png")
    write(tmp_path / "._field1.png")
    (tmp_path / "notes.txt").write_text("stained on Monday")
    return tmp_path


def test_a_folder_is_searched_in_natural_order(folder):
    frames = play(open_camera(f"file:{folder}", SETTINGS))
    assert [os.path.relpath(frame.name, folder) for frame in frames] == [
        "b/deep/er.JPG", "field1.bmp", "field2.png", "field10.png",
    ]  # fmt: skip
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [200, 1, 2, 10]
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3]
    assert {frame.um_per_px for frame in frames} == {0.1}


def test_an_empty_path_is_not_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(NoImages, match=r"empty"):
        find_files("")
    assert len(find_files(".")) == 4


def test_a_pattern_takes_what_matches(folder):
    assert [file.name for file in find_files(folder / "field*.png")] == ["field2.png", "field10.png"]
    assert [file.name for file in find_files(folder / "**" / "*.JPG")] == ["er.JPG"]
    assert find_files(folder / "**") == [*find_files(folder), folder / "notes.txt"]  # and no file for each folder above


def test_a_file_named_like_a_pattern_is_itself(tmp_path):
    path = write(tmp_path / "slide [1]?.png")
    write(tmp_path / "slide 1x.png")
    assert find_files(path) == [path]


@pytest.mark.parametrize("name", ["dead.png", "dead [1].png"])
def test_a_link_that_leads_nowhere_is_an_unreadable_file_whatever_its_name(folder, name):
    (folder / name).symlink_to(folder / "nowhere.png")
    assert find_files(folder / name) == [folder / name]
    frames = play(open_camera(f"file:{folder}", SETTINGS))
    (error,) = [frame for frame in frames if isinstance(frame, ImageError)]
    assert (error.what, len(frames)) == (str(folder / name), 5)


def test_the_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_files("~/field.png" if write(tmp_path / "field.png") else "") == [tmp_path / "field.png"]


def test_several_paths_are_one_sequence(folder):
    camera = FileCamera([folder / "field2.png", *find_files(folder / "b")], SETTINGS, name="two")
    assert [(frame.sequence, int(frame.pixels[0, 0, 0])) for frame in play(camera)] == [(0, 2), (1, 200)]


def test_an_unreadable_image_costs_one_error_and_one_number(folder):
    (folder / "field2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    frames = play(open_camera(f"file:{folder}/field*", SETTINGS))
    assert isinstance(frames[1], ImageError)
    assert "field2.png" in str(frames[1])
    assert [frame.sequence for frame in (frames[0], frames[2])] == [0, 2]


def test_each_page_of_a_tiff_is_a_frame_and_one_of_another_size_costs_one_error(folder):
    path = folder / "field3.tif"
    cv2.imwritemulti(str(path), [picture(50), picture(60)[:48], picture(70)])
    frames = play(open_camera(f"file:{folder}/field[13].*", SETTINGS))
    assert [type(frame).__name__ for frame in frames] == ["Frame", "Frame", "ImageError", "Frame"]
    assert [frame.name for frame in frames[1:2] + frames[3:]] == [str(path), f"{path}[3]"]
    assert [int(frame.pixels[0, 0, 0]) for frame in frames[1:2] + frames[3:]] == [50, 70]
    assert frames[2].what == f"{path}[2]"
    assert frames[3].sequence == 3


def test_an_image_that_vanished_is_an_error_of_its_own(folder):
    camera = open_camera(f"file:{folder}/field*", SETTINGS)
    (folder / "field2.png").unlink()
    assert [type(frame).__name__ for frame in play(camera)] == ["Frame", "ImageError", "Frame"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_told(folder):
    (folder / "b" / "deep").chmod(0)
    try:
        frames = play(open_camera(f"file:{folder}", SETTINGS))
    finally:
        (folder / "b" / "deep").chmod(0o700)
    assert "ermission" in str(frames[0])
    assert len(frames) == 4


@pytest.mark.parametrize("pattern", ["", "empty", "absent.png", "*.png", "empty/**"])
def test_no_image_is_an_error_when_opening(tmp_path, monkeypatch, pattern):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoImages):
        open_camera(f"file:{pattern}", SETTINGS)


def test_a_pixel_size_is_required(folder):
    with pytest.raises(ScaleError, match="--um-per-px"):
        open_camera(f"file:{folder}", CameraSettings())


def test_closing_ends_it_and_may_be_repeated(folder):
    camera = open_camera(f"file:{folder}", SETTINGS)
    camera.read()
    camera.close()
    camera.close()
    with pytest.raises(EndOfFrames):
        camera.read()


def test_names_are_printable_whatever_bytes_they_have(tmp_path):
    write(tmp_path / os.fsdecode(b"\xffield.png"))
    (frame,) = play(open_camera(f"file:{tmp_path}", SETTINGS))
    frame.name.encode("utf-8")


def test_a_name_that_no_file_can_have_names_no_image(tmp_path):
    with pytest.raises(NoImages, match="too long"):
        find_files(tmp_path / ("x" * 300 + ".png"))
    write(tmp_path / "field1.png")
    assert find_files(tmp_path / f"field[{'1' * 300}].png") == [tmp_path / "field1.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_is_told(folder):
    (folder / "b").chmod(0o400)
    try:
        with pytest.raises(NoImages, match="ermission"):
            find_files(folder / "b" / "deep")
        assert find_files(folder / "b" / "*") == [folder / "b" / "deep"]
    finally:
        (folder / "b").chmod(0o700)


def test_a_pipe_is_never_waited_for(folder):
    files = find_files(folder)
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "b" / "pipe.mp4")
    assert find_files(folder) == files
    assert folder / "pipe.png" not in find_files(folder / "*.png")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(os.devnull)], ids=["pipe", "device"])
def test_a_pipe_or_device_by_name_is_refused(tmp_path, make):
    make(tmp_path / "field.png")
    with pytest.raises(NoImages, match="pipe, socket or device"):
        find_files(tmp_path / "field.png")


def test_the_home_of_nobody_names_no_image():
    with pytest.raises(NoImages, match="no such file or folder"):
        find_files("~nobody-of-that-name/field.png")
