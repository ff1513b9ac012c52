"""Inside the guest: feeds real fields to a V4L2 loopback camera, as YUYV of 2560x1920, no two of them alike.

Usage: feeder.py DEVICE FIELDS.yuv
"""

import fcntl
import struct
import sys
import time
from itertools import count, cycle
from pathlib import Path

WIDTH_PX, HEIGHT_PX = 2560, 1920
FRAME_BYTES = WIDTH_PX * HEIGHT_PX * 2
# From linux/videodev2.h: _IOWR('V', 5, struct v4l2_format), 208 bytes, its union aligned to 8.
VIDIOC_S_FMT = 0xC0D05605
VIDEO_OUTPUT, FIELD_NONE, COLORSPACE_SRGB = 2, 1, 8

device, content = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
fields = [bytearray(content[start : start + FRAME_BYTES]) for start in range(0, len(content), FRAME_BYTES)]
pixels = (
    WIDTH_PX,
    HEIGHT_PX,
    int.from_bytes(b"YUYV", "little"),
    FIELD_NONE,
    WIDTH_PX * 2,
    FRAME_BYTES,
    COLORSPACE_SRGB,
)

with device.open("r+b", buffering=0) as camera:
    fcntl.ioctl(camera, VIDIOC_S_FMT, struct.pack("=II7I", VIDEO_OUTPUT, 0, *pixels).ljust(208, b"\0"))
    for number, field in zip(count(), cycle(fields)):
        # A sensor's noise, for the price of a few rows: every sixteenth pixel is enough to tell frames apart.
        for row in range(0, HEIGHT_PX, 256):
            start = row * WIDTH_PX * 2
            field[start : start + 64] = bytes([128 + number % 16, 128] * 32)
        camera.write(field)
        time.sleep(0.2)
