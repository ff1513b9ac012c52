"""A video plays to its last whole frame; what is missing after that is told once."""

import cv2
import numpy as np
import pytest

from edge.camera import CameraSettings, EndOfFrames, open_camera
from edge.camera.file import VIDEO_SUFFIXES
from edge.errors import ImageError

SETTINGS = CameraSettings(um_per_px=0.1)
FRAMES = 8


def noise(number, size=(160, 120)):
    picture = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    picture[:16] = number * 30
    return cv2.GaussianBlur(picture, (0, 0), 1)


@pytest.fixture(params=[("avi", "MJPG"), ("mkv", "MJPG"), ("avi", "XVID")], ids="-".join)
def video(request, tmp_path):
    suffix, codec = request.param
    path = tmp_path / f"Feld 视野.{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, (160, 120))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no {codec}")
    for number in range(FRAMES):
        writer.write(noise(number))
    writer.release()
    return path


def play(path):
    assert path.is_dir() or path.suffix in VIDEO_SUFFIXES
    camera = open_camera(f"file:{path}", SETTINGS)
    frames, errors = [], []
    while True:
        try:
            frames.append(camera.read())
        except ImageError as error:
            errors.append(str(error))
        except EndOfFrames:
            return frames, errors


def test_every_frame_comes_once_in_order(video, capfd):
    frames, errors = play(video)
    assert errors == []
    assert [frame.sequence for frame in frames] == list(range(FRAMES))
    assert [frame.name for frame in frames] == [f"{video}#{number:06d}" for number in range(FRAMES)]
    for number, frame in enumerate(frames):
        assert frame.pixels[:12].mean() == pytest.approx(number * 30, abs=6)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_torn_tail_costs_one_error_and_no_whole_frame(video, share, capfd):
    whole, _ = play(video)
    data = video.read_bytes()
    video.write_bytes(data[: int(len(data) * share)])
    frames, errors = play(video)
    assert 0 < len(frames) < FRAMES
    for frame, before in zip(frames, whole, strict=False):
        np.testing.assert_array_equal(frame.pixels, before.pixels)
    assert errors == [f"{video}: the video is truncated, {len(frames)} of {FRAMES} frames are whole"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("data", [b"", b"RIFF", b"not a video at all" * 99])
def test_what_is_no_video_is_one_error(tmp_path, data, capfd):
    path = tmp_path / "field.mp4"
    path.write_bytes(data)
    frames, errors = play(path)
    assert frames == []
    assert len(errors) == 1
    assert capfd.readouterr().err == ""


def test_images_and_videos_of_a_folder_take_turns(video):
    video.with_name("A.png").write_bytes(cv2.imencode(".png", noise(1))[1].tobytes())
    video.with_name("Z.png").write_bytes(cv2.imencode(".png", noise(1))[1].tobytes())
    frames, errors = play(video.parent)
    assert errors == []
    assert [frame.sequence for frame in frames] == list(range(FRAMES + 2))
    assert frames[0].name.endswith("A.png")
    assert frames[-1].name.endswith("Z.png")


def test_a_video_of_icons_is_refused(tmp_path):
    path = tmp_path / "icon.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (16, 16))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MJPG")
    writer.write(noise(0, (16, 16)))
    writer.release()
    _, (error,) = play(path)
    assert "16x16 pixels are too few" in error
