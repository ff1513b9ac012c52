"""Pictures beside the journal: whole or absent, none lost, none replaced, never where a name would lead them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import durable
from edge.errors import OutputError
from edge.frame import Pixels
from edge.journal.pictures import FinishedPicture, PictureWriter, folder_name


@pytest.fixture
def pixels() -> Pixels:
    ramp = np.arange(64 * 48 * 3, dtype=np.uint32).reshape(48, 64, 3)
    return (ramp // 40 % 256).astype(np.uint8)


def read(picture: Path | OutputError) -> Pixels:
    assert isinstance(picture, Path), picture
    decoded = cv2.imread(str(picture))
    assert decoded is not None
    return decoded.astype(np.uint8, copy=False)


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_every_picture_asked_for_is_written_and_told_of_in_order(tmp_path: Path, pixels: Pixels) -> None:
    with PictureWriter(tmp_path) as writer:
        told: list[FinishedPicture] = []
        for record in range(1, 21):
            writer.put(record, "frame", pixels, sample="S1")
            writer.put(record, "overlay", pixels, sample="S1")
            told += writer.finished()
    told += writer.finished()
    assert [(record, kind) for record, kind, _ in told] == [
        (n, kind) for n in range(1, 21) for kind in ("frame", "overlay")
    ]
    assert [outcome for *_, outcome in told][:2] == [
        tmp_path / "S1" / "000001-frame.png",
        tmp_path / "S1" / "000001-overlay.jpg",
    ]
    assert {read(outcome).shape for *_, outcome in told} == {(48, 64, 3)}
    assert list(writer.finished()) == [], "each is told of once"


def test_a_frame_is_kept_to_the_last_bit_and_an_overlay_small(tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).normal(200, 8, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    with PictureWriter(tmp_path) as writer:
        writer.put(1, "frame", noisy)
        writer.put(1, "overlay", noisy)
    frame, overlay = (outcome for *_, outcome in writer.finished())
    assert np.array_equal(read(frame), noisy)
    assert isinstance(frame, Path)
    assert isinstance(overlay, Path)
    assert overlay.stat().st_size < frame.stat().st_size / 2


def test_a_picture_of_an_earlier_journal_is_not_replaced(tmp_path: Path, pixels: Pixels) -> None:
    for _ in range(2):
        with PictureWriter(tmp_path) as writer:
            writer.put(1, "frame", pixels, sample="S1")
        ((_, _, path),) = writer.finished()
    assert path == tmp_path / "S1" / "000001-frame-2.png"
    assert files(tmp_path) == ["S1/000001-frame-2.png", "S1/000001-frame.png"]


def test_a_picture_that_cannot_be_written_is_told_of_and_the_others_go_on(tmp_path: Path, pixels: Pixels) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be", encoding="utf-8")
    with PictureWriter(tmp_path) as writer:
        writer.put(1, "frame", pixels, sample="taken")
        writer.put(2, "overlay", np.zeros((1, 70_000, 3), np.uint8), sample="too wide for JPEG")
        writer.put(3, "frame", np.zeros((8, 8, 2), np.uint8), sample="no colour image")
        writer.put(4, "frame", pixels, sample="S1")
    *errors, last = (outcome for *_, outcome in writer.finished())
    assert [type(error) for error in errors] == [OutputError] * 3
    assert "\n" not in "".join(map(str, errors))
    assert last == tmp_path / "S1" / "000004-frame.png"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_no_half_picture(tmp_path: Path, pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(part: Path) -> BinaryIO:
        part.touch()
        return Path("/dev/full").open("wb")

    monkeypatch.setattr(durable, "begin", full)
    with PictureWriter(tmp_path) as writer:
        writer.put(1, "frame", pixels, sample="S1")
    ((_, _, error),) = writer.finished()
    assert isinstance(error, OutputError)
    assert "No space left" in str(error)
    assert list((tmp_path / "S1").iterdir()) == []


def test_a_link_in_the_place_of_a_picture_is_not_written_through(tmp_path: Path, pixels: Pixels) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    with PictureWriter(tmp_path / "pictures") as writer:
        (tmp_path / "pictures" / "S1").mkdir()
        (tmp_path / "pictures" / "S1" / ".000001-frame.png.part").symlink_to(victim)
        writer.put(1, "frame", pixels, sample="S1")
    ((_, _, file),) = writer.finished()
    assert isinstance(file, Path)
    assert file.read_bytes().startswith(b"\x89PNG")
    assert victim.read_bytes() == b"precious"


def test_a_picture_whose_name_did_not_reach_the_disk_is_not_left_there(
    tmp_path: Path, pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with PictureWriter(tmp_path) as writer:
        (tmp_path / "S1").mkdir()
        monkeypatch.setattr(durable, "sync_folder", fail)
        writer.put(1, "frame", pixels, sample="S1")
    ((_, _, error),) = writer.finished()
    assert isinstance(error, OutputError)
    assert list((tmp_path / "S1").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_at_once(
    shared_folder: Path, stranger: Callable[..., AbstractContextManager[None]]
) -> None:
    with pytest.raises(OutputError):
        PictureWriter("/proc/wbc-edge")
    with stranger(shared_folder), pytest.raises(OutputError, match="cannot be written"):
        PictureWriter(shared_folder)


def test_no_more_than_the_bound_are_held_in_memory(tmp_path: Path, pixels: Pixels) -> None:
    """A named pipe in the picture's place holds the writer up; the picture beyond the bound must wait for it."""
    code = """
import sys, threading
import numpy as np
from edge import durable
from edge.journal.pictures import PictureWriter

begin = durable.begin

def held_up(part):
    if "000001" in part.name:
        open(sys.argv[2], "wb").close()
    return begin(part)

durable.begin = held_up

pixels = np.zeros((8, 8, 3), np.uint8)
writer = PictureWriter(sys.argv[1], pending=2)
writer.put(1, "frame", pixels)
writer.put(2, "frame", pixels)
third = threading.Thread(target=writer.put, args=(3, "frame", pixels), daemon=True)
third.start()
third.join(0.2)
print("waits" if third.is_alive() else "held", flush=True)
open(sys.argv[2], "rb").read()
third.join()
writer.close()
print(len(list(writer.finished())), flush=True)
"""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    run = subprocess.run([sys.executable, "-c", code, tmp_path, pipe], capture_output=True, timeout=30, check=True)
    assert run.stdout.split() == [b"waits", b"3"]


def test_pictures_asked_for_are_finished_when_the_process_ends(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from edge.journal.pictures import PictureWriter\n"
        "writer = PictureWriter(sys.argv[1], pending=5)\n"
        "for record in range(1, 6): writer.put(record, 'frame', np.zeros((1000, 1000, 3), np.uint8))\n"
        "raise KeyboardInterrupt\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, timeout=30, check=False)
    assert files(tmp_path) == [f"sample/00000{record}-frame.png" for record in range(1, 6)]


@pytest.mark.parametrize("kind", ["", "..", "a/b", "Frame", "a b", "-a", "é"])
def test_a_kind_that_cannot_be_part_of_a_name_is_refused(tmp_path: Path, pixels: Pixels, kind: str) -> None:
    with PictureWriter(tmp_path) as writer, pytest.raises(ValueError, match="kind"):
        writer.put(1, kind, pixels)


@given(sample=st.text(st.characters()) | st.text("./\\ :\0-\udcff", max_size=5))
def test_no_sample_leads_out_of_the_folder(sample: str) -> None:
    name = folder_name(sample)
    assert name == os.path.basename(name)  # noqa: PTH119 - the very function that would be fooled
    assert name not in {"", ".", ".."}
    assert not name.startswith((".", "-"))
    assert len(name.encode()) <= 255


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        ("S1", "S1"),
        ("Präparat 3/4", "Präparat-3-4"),
        ("../../etc", "etc"),
        ("", "sample"),
        ("患者7", "患者7"),
        ("é" * 300, "é" * 60),
    ],
)
def test_a_samples_folder_is_recognised(sample: str, name: str) -> None:
    assert folder_name(sample) == name
