"""picamera2 on libcamera's virtual camera, in the virtual machine under the confined unit: judged, silent, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from beds import virtual_camera
from beds.guest import Guest, install, mounted
from beds.wheels import release

from edge.simulator import Smear, draw

SETTINGS = """
cat > /etc/wbc-edge/config.toml <<'END'
camera = "picamera2:0"
size = "2560x1920"
um_per_px = 0.1
interval = 1
timeout = 20
END
mkdir /etc/systemd/system/wbc-edge.service.d
cat > /etc/systemd/system/wbc-edge.service.d/memory.conf <<'END'
# A Raspberry Pi has a DMA heap for its cameras, of its video group; this guest has only what is for virtual machines.
[Service]
DeviceAllow=/dev/udmabuf rw
END
echo 'KERNEL=="udmabuf", GROUP="video", MODE="0660"' > /etc/udev/rules.d/90-udmabuf.rules
"""
FIELDS = 11
"""So many that a slow reader does not meet the same one twice in a row: that would count as a camera that is stuck."""


@pytest.fixture
def machine(guest: Path, beds: Path, tmp_path: Path) -> Iterator[Guest]:
    disk = beds / "libcamera.img"
    install(guest, release(beds, tmp_path / "release", "0.1.1"), disk, SETTINGS)
    with mounted(disk, tmp_path / "disk") as root:
        virtual_camera.prepare(root)
        (root / "opt/frames").mkdir()
        for number in range(FIELDS):
            field = draw(Smear(kind="MM", size_px=(2560, 1920), um_per_px=0.1), number)
            cv2.imwrite(str(root / f"opt/frames/{number}.jpg"), field.pixels)
    machine = Guest(guest, disk, tmp_path)
    yield machine
    machine.close()
    disk.unlink()


def test_a_camera_that_goes_silent_is_opened_again_until_it_is_back(machine: Guest, figures) -> None:
    report = machine.until(lambda report: report["frames"] >= 5, 600)
    assert (report["state"], report["camera"], report["last_verdict"]) == ("ready", "picamera2:0", "MM")
    (last,) = machine.run("wbc-edge log list --json | tail -1").splitlines()
    assert json.loads(last)["size_px"] == [2560, 1920]

    lost = report["camera_lost"]
    machine.run(f"touch {virtual_camera.SILENT}")
    report = machine.until(lambda report: report["camera_lost"] >= lost + 2, 300)
    assert report["camera_reopened"] > 0, "the same process can open it again, though a capture never ended"
    machine.run(f"rm {virtual_camera.SILENT}")
    before = machine.ask("status")["frames"]
    report = machine.until(lambda report: report["frames"] > before + 2, 300)
    assert report["state"] == "ready"
    assert machine.run("systemctl show -P NRestarts wbc-edge").strip() == "0"
    figures(
        "picamera2 on libcamera's virtual camera: lost while silent, and back",
        lost=report["camera_lost"],
        reopened=report["camera_reopened"],
        frames=report["frames"],
    )
    machine.run("timeout 60 systemctl stop wbc-edge")
    assert machine.run("systemctl show -P Result wbc-edge").strip() == "success"
