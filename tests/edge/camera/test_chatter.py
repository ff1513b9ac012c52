"""What decoders write to standard error is heard, and does not reach the user; what others write does."""

import os
import struct
import subprocess
import threading

import cv2
import numpy as np
import pytest

from edge.camera.chatter import decoder_messages
from edge.camera.decode import read_image
from edge.errors import ImageError


def test_decoders_do_not_talk_to_the_user(read, capfd):
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    for suffix in (".jpg", ".png", ".bmp", ".tif"):
        data = bytearray(cv2.imencode(suffix, noise)[1])
        middle = len(data) // 2
        for bad in (bytes(data[:middle]), bytes(data[:middle]) + b"\xff\xd9" + bytes(50) + bytes(data[middle + 52 :])):
            try:
                read(bad)
            except ImageError:
                continue
    assert capfd.readouterr() == ("", "")


def test_a_tiff_of_five_colours_is_refused_without_a_word_of_opencvs(read, capfd):
    pixels = bytes(128 * 96 * 5)
    tags = [(256, 3, 1, 128), (257, 3, 1, 96), (258, 3, 5, 122), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 132),
            (277, 3, 1, 5), (278, 3, 1, 96), (279, 4, 1, len(pixels))]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    tiff = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + struct.pack("<5H", *[8] * 5) + pixels
    with pytest.raises(ImageError, match="damaged"):
        read(tiff)
    assert capfd.readouterr() == ("", "")


def test_what_others_write_while_decoding_is_passed_on(capfd):
    with decoder_messages() as messages:
        os.write(2, b"libpng warning: iCCP: known incorrect sRGB profile\nfrom another thread\n")
    assert messages == ["libpng warning: iCCP: known incorrect sRGB profile"]
    assert capfd.readouterr().err == "from another thread\n"


def test_a_process_that_is_begun_while_decoding_is_not_waited_for(capfd):
    with decoder_messages():
        child = subprocess.Popen(["sleep", "60"])
        os.write(2, b"while it runs\n")
    assert child.poll() is None
    child.kill()
    child.wait()
    assert capfd.readouterr().err == "while it runs\n"


def test_more_messages_than_a_pipe_holds_block_nobody(capfd):
    with decoder_messages():
        for _ in range(3000):
            try:
                os.write(2, b"x" * 99 + b"\n")
            except BlockingIOError:
                break
    assert "x" * 99 in capfd.readouterr().err


def test_threads_decode_without_losing_standard_error(tmp_path, capfd):
    path = tmp_path / "field.png"
    cv2.imwrite(str(path), np.full((96, 128, 3), 200, np.uint8))
    threads = [threading.Thread(target=lambda: [read_image(path) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"
