"""A video plays to its last whole frame; what is missing after that is told once."""

import struct

import cv2
import numpy as np
import pytest

from edge.camera import CameraSettings, EndOfFrames, open_camera
from edge.camera.file import VIDEO_SUFFIXES, read_video
from edge.errors import ImageError

SETTINGS = CameraSettings(um_per_px=0.1)
FRAMES = 8


def noise(number, size=(160, 120)):
    picture = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    picture[:16] = number * 30
    return cv2.GaussianBlur(picture, (0, 0), 1)


def element(name, *parts, length=None):
    """Write a part of a Matroska file; a length of ``None`` is the true one."""
    body = b"".join(parts)
    size = (len(body) if length is None else length) | 1 << 56
    return bytes.fromhex(name) + size.to_bytes(8, "big") + body


def number(name, value):
    return element(name, value.to_bytes(4, "big"))


UNKNOWN = (1 << 56) - 1


def matroska(times_ms, *, is_live=False):
    """Write a Matroska file by hand: JPEGs at any times, and the length noted or, as of a live stream, unknown."""
    pictures = [cv2.imencode(".jpg", noise(each))[1].tobytes() for each in range(len(times_ms))]
    size = element("e0", number("b0", 160), number("ba", 120))
    track = [number("d7", 1), number("73c5", 1), number("83", 1), element("86", b"V_MJPEG"), size]
    duration = element("4489", struct.pack(">d", times_ms[-1] + 100.0))
    known = [element("1549a966", number("2ad7b1", 1_000_000), b"" if is_live else duration)]
    known += [element("1654ae6b", element("ae", *track, number("23e383", 100_000_000)))]
    length = UNKNOWN if is_live else None
    clusters = [
        element("1f43b675", number("e7", time_ms), element("a3", b"\x81\0\0\x80", picture), length=length)
        for time_ms, picture in zip(times_ms, pictures, strict=True)
    ]
    return element("1a45dfa3", element("4282", b"matroska")) + element("18538067", *known, *clusters, length=length)


@pytest.fixture(params=[("avi", "MJPG"), ("mkv", "MJPG"), ("avi", "XVID")], ids="-".join)
def video(request, tmp_path):
    suffix, codec = request.param
    return recorded(tmp_path / f"Feld 视野.{suffix}", codec)


def recorded(path, codec):
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
    whole = f"{len(frames)} of {FRAMES}" if video.suffix == ".avi" else f"{len(frames)}"
    assert errors == [f"{video}: the video is truncated, {whole} frames are whole"]
    assert capfd.readouterr().err == ""


EVEN = [100 * number for number in range(FRAMES)]
TIMES_MS = {"late": [5000 + time_ms for time_ms in EVEN], "slower": [time_ms**2 // 100 for time_ms in EVEN]}


@pytest.mark.parametrize("is_live", [False, True], ids=["finished", "live"])
@pytest.mark.parametrize("times_ms", TIMES_MS.values(), ids=TIMES_MS)
@pytest.mark.parametrize("suffix", ["mkv", "webm"])
def test_a_whole_video_is_whole_at_whatever_times_its_frames_are(tmp_path, suffix, times_ms, is_live):
    path = tmp_path / f"timelapse.{suffix}"
    path.write_bytes(matroska(times_ms, is_live=is_live))
    frames, errors = play(path)
    assert (len(frames), errors) == (FRAMES, [])


@pytest.mark.parametrize("is_live", [False, True], ids=["finished", "live"])
@pytest.mark.parametrize("times_ms", TIMES_MS.values(), ids=TIMES_MS)
def test_one_that_ends_in_mid_frame_has_as_many_frames_as_are_whole(tmp_path, times_ms, is_live):
    path = tmp_path / "timelapse.mkv"
    data = matroska(times_ms, is_live=is_live)
    path.write_bytes(data[: -len(data) // 16])
    frames, errors = play(path)
    assert len(frames) == FRAMES - 1
    assert errors == [f"{path}: the video is truncated, {FRAMES - 1} frames are whole"]


def test_what_lies_behind_a_recording_is_no_part_of_it(tmp_path):
    path = tmp_path / "preallocated.mkv"
    for is_live in (False, True):
        path.write_bytes(matroska(EVEN, is_live=is_live) + bytes(5000))
        frames, errors = play(path)
        assert (len(frames), errors) == (FRAMES, [])


def test_a_wmv_that_is_cut_off_is_told(tmp_path):
    path = recorded(tmp_path / "field.wmv", "WMV2")
    assert play(path)[1] == []
    path.write_bytes(path.read_bytes()[:-5000])
    _, (error,) = play(path)
    assert "the video is truncated" in error


def test_a_video_that_vanished_is_one_error(tmp_path):
    path = tmp_path / "gone.mkv"
    with pytest.raises(ImageError, match="No such file"):
        next(read_video(path))


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
