"""Pages of a TIFF or BigTIFF: each is a picture of its own, checked as any other, but for previews and masks."""

import struct

import cv2
import numpy as np
import pytest

from edge.camera.decode import count_pages, read_image
from edge.errors import ImageError

PICTURE = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)


def tiff(*pages, order="<", is_big=False):
    """Write a TIFF or BigTIFF by hand, each directory before its pixels; a page is a picture and what kind it is."""
    place, long, count = ("Q", 16, "Q") if is_big else ("I", 4, "H")
    start = {"<": b"II", ">": b"MM"}[order]
    head = struct.pack(f"{order}HHH", 43, 8, 0) if is_big else struct.pack(f"{order}H", 42)
    data = start + head + struct.pack(f"{order}{place}", 16 if is_big else 8)
    for number, (picture, kind) in enumerate(pages):
        height, width = picture.shape[:2]
        tags = [(254, 4, kind), (256, 3, width), (257, 3, height), (258, 3, 8), (259, 3, 1), (262, 3, 2),
                (273, long, None), (277, 3, 3), (278, 3, height), (279, long, picture.nbytes)]  # fmt: skip
        value_bytes = 8 if is_big else 4
        pixels_at = len(data) + struct.calcsize(f"={count}{place}") + len(tags) * (4 + 2 * value_bytes)
        end = pixels_at + picture.nbytes if number < len(pages) - 1 else 0
        data += struct.pack(f"{order}{count}", len(tags))
        for tag, form, value in tags:
            packed = struct.pack(order + {3: "H", 4: "I", 16: "Q"}[form], pixels_at if value is None else value)
            data += struct.pack(f"{order}HH{place}", tag, form, 1) + packed.ljust(value_bytes, b"\0")
        data += struct.pack(f"{order}{place}", end) + picture[..., ::-1].tobytes()
    return data


@pytest.mark.parametrize("is_big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_whose_directory_comes_first_is_checked_too(read, order, is_big):
    data = tiff((PICTURE, 0), order=order, is_big=is_big)
    np.testing.assert_array_equal(read(data), PICTURE)
    with pytest.raises(ImageError, match="truncated"):
        read(data[:-1000])


@pytest.mark.parametrize("is_big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_each_page_of_a_tiff_is_a_picture_but_for_previews_and_masks(tmp_path, order, is_big):
    path = tmp_path / "field.tif"
    pages = (PICTURE, 0), (PICTURE[::2, ::2], 1), (255 - PICTURE, 0), (PICTURE, 4)
    path.write_bytes(tiff(*pages, order=order, is_big=is_big))
    assert count_pages(path) == 2
    np.testing.assert_array_equal(read_image(path), PICTURE)
    np.testing.assert_array_equal(read_image(path, 1), 255 - PICTURE)
    with pytest.raises(ImageError, match="it has 2 pages"):
        read_image(path, 2)


def test_a_page_of_another_size_is_told(tmp_path):
    path = tmp_path / "field.tif"
    path.write_bytes(tiff((PICTURE, 0), (PICTURE[::2, ::2], 0)))
    assert count_pages(path) == 2
    with pytest.raises(ImageError, match=r"field.tif\[2\]: its 64x48 pixels are not as many as the first page's"):
        read_image(path, 1)


def test_a_torn_page_costs_no_page_before_it(tmp_path):
    path = tmp_path / "field.tif"
    path.write_bytes(tiff((PICTURE, 0), (PICTURE, 0))[:-1000])
    assert count_pages(path) == 2
    np.testing.assert_array_equal(read_image(path), PICTURE)
    with pytest.raises(ImageError, match=r"field.tif\[2\]: the file is truncated"):
        read_image(path, 1)


def test_pages_that_go_round_in_a_circle_have_an_end(tmp_path):
    path = tmp_path / "field.tif"
    data = bytearray(tiff((PICTURE, 0), (PICTURE, 0)))
    end = len(data) - PICTURE.nbytes
    data[end - 4 : end] = struct.pack("<I", 8)
    path.write_bytes(data)
    assert count_pages(path) == 2


@pytest.mark.parametrize("data", [b"", b"II*\0", b"II+\0\x08\0\0\0", cv2.imencode(".png", PICTURE)[1].tobytes()])
def test_what_has_no_pages_counts_as_one(tmp_path, data):
    path = tmp_path / "field.tif"
    assert count_pages(path) == 1
    path.write_bytes(data)
    assert count_pages(path) == 1
