"""Nothing that was acknowledged is lost when the power is cut, and the service comes back by itself each time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from beds.guest import Guest, install
from beds.wheels import release

CUTS = 20
SETTINGS = """
cat > /etc/wbc-edge/config.toml <<'END'
camera = "sim:MM"
size = "640x480"
save = "frames"
interval = 1
END
"""
BESIDE = Path(__file__).parent / "beds"


@pytest.fixture(scope="module")
def disk(guest: Path, beds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    disk = beds / "power.img"
    install(guest, release(beds, tmp_path_factory.mktemp("power") / "release", "0.1.1"), disk, SETTINGS)
    yield disk
    disk.unlink()


def put(machine: Guest, name: str) -> None:
    """Bring a script of the bed into the guest."""
    machine.run(f"cat > /opt/{name} <<'END'\n{(BESIDE / name).read_text()}\nEND")


def numbers(text: str) -> set[int]:
    """Read the acknowledged records; a line that the cut halved was not acknowledged."""
    return {int(line) for line in text.split("\n")[:-1]}


def test_no_acknowledged_row_and_no_picture_is_lost(guest: Path, disk: Path, tmp_path: Path, figures) -> None:
    acknowledged: set[int] = set()
    cuts, came_back, first_s, found = 0, 0, [], {}
    while True:
        machine = Guest(guest, disk, tmp_path)
        try:
            machine.until("wbc-edge status --json | grep -q '\"frames\":[1-9]'", 300)
            came_back += 1
            put(machine, "inspect_journal.py")
            found = json.loads(machine.run("/opt/wbc-edge/current/bin/python /opt/inspect_journal.py"))
            systemd_s = int(machine.run("systemctl show -P UserspaceTimestampMonotonic")) / 1e6
            first_s.append(round(found["first_verdict_s"] - systemd_s, 1))
            assert found["integrity"] == "ok"
            assert found["missing_or_torn"] == []
            assert acknowledged - set(found["records"]) == set()
            machine.run("wbc-edge log verify")
            if cuts == CUTS:
                break
            put(machine, "asker.py")
            machine.run("systemd-run --quiet /usr/bin/python3 /opt/asker.py")
            # At another moment each time: a frame takes about a second here.
            time.sleep(6 + (cuts * 0.37) % 3)
            machine.cut()
            cuts += 1
            heard = numbers(machine.acknowledged())
            assert heard, "the power was cut before anything was acknowledged"
            acknowledged |= heard
        finally:
            machine.close()
    figures(
        "power cuts while frames are logged",
        cuts=cuts,
        came_back=came_back - 1,
        acknowledged=len(acknowledged),
        rows=len(found["records"]),
        lost=len(acknowledged - set(found["records"])),
        pictures_referred_to=found["pictures"],
        pictures_missing_or_torn=len(found["missing_or_torn"]),
        systemd_to_first_verdict_s=first_s,
    )
