"""An image file becomes all of its pixels as 8-bit BGR, or one error that says why not."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.camera.decode import LEAST_SIDE_PX, MOST_BYTES, read_image, to_bgr8
from edge.camera.header import read_header
from edge.errors import ImageError
from edge.frame import MOST_PIXELS

# Smooth colours, which JPEG keeps.
Y, X = np.mgrid[0:96, 0:128].astype(np.float32)
PICTURE = np.stack([X, Y * 2, 255 - X], axis=2).astype(np.uint8)


def encoded(suffix, image=PICTURE, *parameters):
    return cv2.imencode(suffix, image, parameters)[1].tobytes()


def png(width, height, colour, rows, depth=8):
    """Write a PNG by hand: any header, whatever pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def with_exif_orientation(jpeg, orientation):
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize("suffix", [".bmp", ".png", ".tif"])
def test_lossless_formats_come_back_as_they_were(read, suffix):
    pixels = read(encoded(suffix))
    np.testing.assert_array_equal(pixels, PICTURE)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("progressive", [0, 1])
def test_jpeg_comes_back_close(read, progressive):
    pixels = read(encoded(".jpg", PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive))
    assert np.abs(pixels.astype(int) - PICTURE).mean() < 2


def test_sixteen_bits_keep_black_white_and_all_between(read):
    wide = PICTURE.astype(np.uint16) * 257
    for suffix in (".png", ".tif"):
        np.testing.assert_array_equal(read(encoded(suffix, wide)), PICTURE)


@given(st.integers(0, 65535))
def test_a_sixteen_bit_sample_becomes_the_nearest_of_eight(sample):
    assert to_bgr8(np.full((1, 1), sample, np.uint16))[0, 0, 0] == pytest.approx(sample / 257, abs=0.501)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("picture", [PICTURE, PICTURE[..., 0]], ids=["colour", "gray"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_samples_of_a_camera_with_fewer_bits_keep_its_black_and_white(read, suffix, picture, bits):
    most = (1 << bits) - 1
    # A sensor's noise, of some levels: a drawing of 8 bits made finer has gaps of its own.
    noisy = cv2.GaussianBlur(picture, (0, 0), 2) * (most / 255) + np.random.default_rng(0).normal(0, 2, picture.shape)
    fine = np.clip(noisy.round(), 0, most)
    pixels = read(encoded(suffix, fine.astype(np.uint16)))
    np.testing.assert_allclose(pixels if fine.ndim == 3 else pixels[..., 0], fine * 255 / most, atol=0.51)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("how", ["shifted", "replicated", "scaled"])
def test_a_dark_picture_stretched_to_sixteen_bits_stays_dark(read, bits, how):
    fine = (cv2.GaussianBlur(PICTURE.astype(np.float32), (0, 0), 2) * 2 ** (bits - 8) / 16).astype(np.uint16)
    stretched = {
        "shifted": fine << (16 - bits),
        "replicated": fine << (16 - bits) | fine >> (2 * bits - 16),
        "scaled": np.round(fine * (65535 / ((1 << bits) - 1))).astype(np.uint16),
    }[how]
    assert read(encoded(".png", stretched)).max() <= 16


def test_a_dark_picture_of_one_level_stays_dark(read):
    assert read(encoded(".png", np.full((40, 40), 3000, np.uint16))).max() == round(3000 / 257)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".jpg"])
def test_gray_becomes_three_equal_channels(read, suffix):
    pixels = read(encoded(suffix, PICTURE[..., 0]))
    assert pixels.shape == PICTURE.shape
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_transparency_is_laid_over_white(read):
    rgba = np.dstack([PICTURE[..., ::-1], np.full(PICTURE.shape[:2], 255, np.uint8)])
    rgba[:48, :, 3] = 0
    rgba[48:50, :, 3] = 128
    pixels = read(png(128, 96, 6, [row.tobytes() for row in rgba]))
    assert (pixels[:48] == 255).all()
    half = PICTURE[48:50] * (128 / 255) + 255 * (127 / 255)
    np.testing.assert_allclose(pixels[48:50], half, atol=1.01)
    np.testing.assert_array_equal(pixels[50:], PICTURE[50:])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_where_all_is_transparent_nobody_meant_it(read, suffix, depth):
    if suffix == ".bmp" and depth == np.uint16:
        pytest.skip("BMP has 8 bits")
    scale = 257 if depth == np.uint16 else 1
    clear = np.dstack([PICTURE.astype(depth) * scale, np.zeros(PICTURE.shape[:2], depth)])
    pixels = read(encoded(suffix, clear))
    np.testing.assert_array_equal(pixels, PICTURE)
    assert pixels.flags.c_contiguous


def test_cmyk_jpeg_has_the_colours_it_shows(read):
    # Adobe's marker (transform 0) and four components, all of one value each: inverted cyan 0.. as presses write them.
    pixels = read(cmyk_jpeg((0, 255, 255, 255)))
    blue, green, red = pixels.reshape(-1, 3).mean(axis=0)
    assert red < 5
    assert min(blue, green) > 250


def cmyk_jpeg(inverted, side=64):
    """Write a baseline CMYK JPEG of one colour: DC terms only, one Huffman table of sizes 0 to 11."""
    sizes = bytes([0, 0, 0, 12] + [0] * 12) + bytes(range(12))
    dc = b"\xff\xc4" + struct.pack(">H", 2 + 1 + len(sizes)) + b"\x00" + sizes
    ac = b"\xff\xc4" + struct.pack(">H", 2 + 1 + 17) + b"\x10" + bytes([1] + [0] * 15) + b"\x00"
    quantisation = b"\xff\xdb" + struct.pack(">H", 67) + b"\x00" + bytes([8] * 64)
    adobe = b"\xff\xee" + struct.pack(">H", 14) + b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0)
    components = b"".join(bytes([c, 0x11, 0]) for c in range(1, 5))
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 20, 8, side, side, 4) + components
    scan = b"\xff\xda" + struct.pack(">HB", 14, 4) + b"".join(bytes([c, 0]) for c in range(1, 5)) + bytes([0, 63, 0])
    bits = []
    for block in range((side // 8) ** 2):
        for value in inverted:
            difference = value - 128 if block == 0 else 0
            size = abs(difference).bit_length()
            code = difference if difference > 0 else difference + (1 << size) - 1
            # Twelve codes of length 4 in order, then the difference, then end of block: the one-bit code 0.
            bits.append(f"{size:04b}" + (f"{code:0{size}b}" if size else "") + "0")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    body = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
    return b"\xff\xd8" + adobe + quantisation + frame + dc + ac + scan + body + b"\xff\xd9"


def test_orientation_is_ignored_so_that_coordinates_stay_those_of_the_file(read):
    jpeg = encoded(".jpg")
    np.testing.assert_array_equal(read(with_exif_orientation(jpeg, 6)), read(jpeg))


def test_the_header_may_lie_behind_a_long_preface(read):
    jpeg = encoded(".jpg")
    preface = b"".join(b"\xff\xe2" + struct.pack(">H", 65535) + bytes(65533) for _ in range(20))
    np.testing.assert_array_equal(read(jpeg[:2] + preface + jpeg[2:]), read(jpeg))


@pytest.mark.parametrize("name", ["ein Feld.png", "поле №1.png", "視野.png", "field#[1].png"])
def test_any_name_will_do(read, name):
    np.testing.assert_array_equal(read(encoded(".png"), name), PICTURE)


def test_a_name_that_is_no_text_can_be_read_and_its_error_printed(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\xfe.png")
    path.write_bytes(encoded(".png"))
    np.testing.assert_array_equal(read_image(path), PICTURE)
    path.write_bytes(b"")
    with pytest.raises(ImageError) as error:
        read_image(path)
    str(error.value).encode("utf-8")


@pytest.mark.parametrize("suffix", [".bmp", ".jpg", ".png", ".tif"])
@pytest.mark.parametrize("share", [0.002, 0.02, 0.3, 0.7, 0.999])
def test_a_truncated_file_is_an_error_not_half_a_picture(read, suffix, share):
    data = encoded(suffix, np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8))
    with pytest.raises(ImageError, match=r"truncated|damaged|not a BMP"):
        read(data[: int(len(data) * share)])


@settings(deadline=None, max_examples=60)
@given(suffix=st.sampled_from([".bmp", ".jpg", ".png", ".tif"]), data=st.data())
def test_no_cut_anywhere_passes_unnoticed(tmp_path_factory, suffix, data):
    whole = encoded(suffix)
    # The last bytes of a TIFF may be padding, those of a PNG a checksum: what counts are the pixels.
    cut = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.mktemp("cut") / "field"
    path.write_bytes(whole[:cut])
    try:
        pixels = read_image(path)
    except ImageError:
        return
    np.testing.assert_array_equal(pixels, cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR))


def test_damage_within_a_jpeg_is_noticed(read):
    data = bytearray(encoded(".jpg", np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)))
    middle = len(data) // 2
    data[middle : middle + 64] = b"\xff\xd9" + bytes(62)
    with pytest.raises(ImageError, match="damaged"):
        read(bytes(data))


def test_damage_within_a_png_is_noticed(read):
    data = bytearray(encoded(".png"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError, match="damaged"):
        read(bytes(data))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"B", "not a BMP"),
        (b"name,label\nfield1.png,ALL\n", "not a BMP, JPEG, PNG or TIFF image"),
        (b"\xff\xd8\xff\xe0garbage", "damaged|truncated"),
        (b"II*\0\xff\xff\xff\xff", "truncated"),
        (b"BM" + bytes(52), "too few"),
        (png(1, 1, 0, [b"\0"]), "1x1 pixels are too few"),
        (png(LEAST_SIDE_PX - 1, 640, 0, []), "too few"),
    ],
)
def test_what_is_no_field_is_an_error_that_says_why(read, data, why):
    with pytest.raises(ImageError, match=why):
        read(data)


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (2**31 - 1, 2**31 - 1), (MOST_PIXELS, 32)])
def test_a_huge_image_is_refused_by_its_header(read, width, height):
    # There are no pixels in this file at all: decoding it would be another error.
    with pytest.raises(ImageError, match=f"{width}x{height} pixels are [0-9]+ megapixels, 67 are the most"):
        read(png(width, height, 2, []))


def test_one_that_takes_too_much_memory_decoded_is_refused_by_its_header_too(read):
    assert MOST_PIXELS >= 8192 * 8192
    with pytest.raises(ImageError, match="8192x8192 pixels of 8 bytes are 537 MB, 201 are the most"):
        read(png(8192, 8192, 6, [], depth=16))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_header_tells_what_a_pixel_takes_decoded(suffix, channels, depth):
    if suffix == ".bmp" and depth == np.uint16:
        pytest.skip("BMP has 8 bits")
    data = encoded(suffix, np.zeros((40, 50, channels), depth))
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    told = read_header(io.BytesIO(data)).bytes_per_px
    assert decoded.nbytes / (40 * 50) <= told <= max(3, decoded.nbytes / (40 * 50))
    assert told * MOST_PIXELS <= MOST_BYTES or told > 3


def test_a_high_picture_is_brought_to_colours_like_its_rows():
    picture = np.random.default_rng(0).integers(0, 65536, (700, 33, 4)).astype(np.uint16)
    rows = [to_bgr8(row[None])[0] for row in picture]
    assert np.array_equal(to_bgr8(picture), rows)


def test_the_largest_sensors_are_accepted(read):
    height, width = 6944, 9248
    assert height * width > 64_000_000
    picture = encoded(".png", np.zeros((height, width), np.uint8), cv2.IMWRITE_PNG_COMPRESSION, 1)
    assert read(picture).shape == (height, width, 3)


def test_a_folder_or_missing_file_is_an_image_error(tmp_path):
    with pytest.raises(ImageError, match="directory"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "absent.png")


def test_floating_point_samples_are_refused(read):
    with pytest.raises(ImageError, match="float32"):
        read(encoded(".tif", PICTURE.astype(np.float32)))


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([b"BM", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b""]), st.binary(max_size=200)
)
def test_no_bytes_raise_anything_else(tmp_path_factory, signature, rest):
    path = tmp_path_factory.mktemp("bytes") / "field"
    path.write_bytes(signature + rest)
    with pytest.raises(ImageError):
        read_image(path)
