"""A real V4L2 camera in the virtual machine, at full size, under the confined unit: unplugged, and back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from beds.guest import Guest, install, mounted
from beds.wheels import release

from edge.simulator import Smear, draw

SETTINGS = """
cat > /etc/wbc-edge/config.toml <<'END'
camera = "v4l2:/dev/video10"
size = "2560x1920"
um_per_px = 0.1
interval = 1
timeout = 30
END
"""
FIELDS = 3
PLUG = "modprobe v4l2loopback devices=1 video_nr=10 exclusive_caps=1 max_width=4096 max_height=4096"
FEED = "systemd-run --quiet --unit=feeder /usr/bin/python3 /opt/feeder.py /dev/video10 /opt/fields.yuv"


def yuyv(pixels: np.ndarray) -> bytes:
    """Encode a field as a camera would."""
    luma, red, blue = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_BGR2YCrCb))
    packed = np.empty((*luma.shape, 2), np.uint8)
    packed[..., 0] = luma
    packed[:, ::2, 1], packed[:, 1::2, 1] = blue[:, ::2], red[:, ::2]
    return packed.tobytes()


@pytest.fixture
def machine(guest: Path, beds: Path, tmp_path: Path) -> Iterator[Guest]:
    disk = beds / "cameras.img"
    install(guest, release(beds, tmp_path / "release", "0.1.1"), disk, SETTINGS)
    with mounted(disk, tmp_path / "disk") as root, (root / "opt/fields.yuv").open("wb") as file:
        for number in range(FIELDS):
            file.write(yuyv(draw(Smear(kind="MM", size_px=(2560, 1920), um_per_px=0.1), number).pixels))
    machine = Guest(guest, disk, tmp_path)
    yield machine
    machine.close()
    disk.unlink()


def test_full_size_frames_of_a_v4l2_camera_that_is_unplugged_and_comes_back(machine: Guest, figures) -> None:
    assert "video10" in machine.until(lambda report: report["state"] == "degraded")["reason"]
    machine.run(f"{PLUG} && {FEED}")
    plugged_s = time.monotonic()
    report = machine.until(lambda report: report["frames"] >= 3, 600)
    assert report["camera"] == "v4l2:/dev/video10"
    figures(
        "V4L2 at 2560x1920 in the guest: from plugged in to the third verdict",
        seconds=round(time.monotonic() - plugged_s),
    )
    (last,) = machine.run("wbc-edge log list --json | tail -1").splitlines()
    assert json.loads(last)["size_px"] == [2560, 1920]

    machine.run("systemctl stop feeder")
    machine.until(lambda report: report["camera_lost"] > 0, 300)
    # Once the service has let go of it, the device goes altogether.
    machine.run("until modprobe -r v4l2loopback; do sleep 1; done", 300)
    machine.until(lambda report: report["state"] == "degraded" and "video10" in report["reason"], 600)
    before = machine.ask("status")["frames"]
    machine.run(f"{PLUG} && {FEED}")
    back_s = time.monotonic()
    report = machine.until(lambda report: report["frames"] > before, 600)
    figures("V4L2 in the guest: from the camera's return to the next verdict", seconds=round(time.monotonic() - back_s))
    assert report["state"] == "ready"
