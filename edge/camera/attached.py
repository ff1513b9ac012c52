"""Which cameras are attached to this machine; asks the kernel, opens no stream."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

_VIDIOC_QUERYCAP = 0x80685600
"""From linux/videodev2.h: ``_IOR('V', 0, struct v4l2_capability)``, 104 bytes."""
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_VIDEO_CAPTURE = 0x00000001 | 0x00001000
_DEVICE_CAPS = 0x80000000
_CSI_DRIVERS = {"unicam", "rp1-cfe", "bcm2835-isp", "pispbe"}
"""Drivers of the Raspberry Pi's own camera connector: they deliver raw sensor data that only libcamera can develop."""

PICAMERA2_REMEDY = "Run: sudo apt install python3-picamera2, and make the environment with --system-site-packages"


class AttachedCamera(NamedTuple):
    """A camera that this machine has.

    Attributes
    ----------
    specification : str
        What ``open_camera`` takes.
    description : str
        The camera's name.
    problem : str or None
        Why it cannot be used now, and what to do; None when nothing speaks against it.
    """

    specification: str
    description: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class VideoDevice:
    """What the kernel says of a video device.

    Attributes
    ----------
    driver, card : str
        The driver's and the camera's names.
    captures : bool
        Whether it can deliver pictures; codecs and metadata nodes cannot.
    """

    driver: str
    card: str
    captures: bool


def query_device(path: str | Path) -> VideoDevice:
    """Ask the kernel what a video device is.

    Raises
    ------
    OSError
        When it is absent, may not be opened, or is no video device.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(descriptor, _VIDIOC_QUERYCAP, bytes(_CAPABILITY.size))
    finally:
        os.close(descriptor)
    driver, card, _, _, capabilities, device_capabilities = _CAPABILITY.unpack(answer)
    if capabilities & _DEVICE_CAPS:
        capabilities = device_capabilities
    return VideoDevice(_text(driver), _text(card), bool(capabilities & _VIDEO_CAPTURE))


def attached_cameras(devices: Path = Path("/dev")) -> list[AttachedCamera]:
    """List the cameras attached to this machine, those of the Raspberry Pi's connector first.

    Parameters
    ----------
    devices : Path
        Folder of the device nodes.
    """
    usb, csi = [], False
    for node in sorted(devices.glob("video[0-9]*"), key=lambda path: int(re.sub(r"\D", "", path.name) or 0)):
        specification = f"v4l2:{node}"
        try:
            device = query_device(node)
        except PermissionError:
            remedy = "no permission to open it; run: sudo usermod -aG video $USER, and log in again"
            usb.append(AttachedCamera(specification, node.name, remedy))
        except OSError as error:
            usb.append(AttachedCamera(specification, node.name, error.strerror or str(error)))
        else:
            if device.driver in _CSI_DRIVERS:
                csi = csi or device.captures
            elif device.captures:
                usb.append(AttachedCamera(specification, device.card, None))
    return [*_pi_cameras(csi), *usb]


def _pi_cameras(csi: bool) -> list[AttachedCamera]:
    if importlib.util.find_spec("picamera2") is None:
        problem = f"picamera2 is not installed. {PICAMERA2_REMEDY}"
        return [AttachedCamera("picamera2:0", "Raspberry Pi camera", problem)] if csi else []
    try:
        from picamera2 import Picamera2

        found: list[dict[str, Any]] = Picamera2.global_camera_info()
    except Exception as error:  # a broken installation fails in many ways, and listing must go on
        return [AttachedCamera("picamera2:0", "Raspberry Pi camera", f"picamera2 does not work here: {error}")]
    # libcamera lists USB cameras too; those have their own back end, without the detour.
    return [
        AttachedCamera(f"picamera2:{info.get('Num', number)}", str(info.get("Model", "camera")), None)
        for number, info in enumerate(found)
        if "usb" not in str(info.get("Id", "")).lower()
    ]


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")
