"""Nothing that was acknowledged is lost when the power is cut, and the service comes back by itself each time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import pytest
from beds.guest import Guest, install, mounted
from beds.wheels import release

from edge.journal import Journal

CUTS = 20
SETTINGS = """
cat > /etc/wbc-edge/config.toml <<'END'
camera = "sim:MM"
size = "640x480"
save = "frames"
interval = 1
END
"""


@pytest.fixture(scope="module")
def disk(guest: Path, beds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    disk = beds / "power.img"
    install(guest, release(beds, tmp_path_factory.mktemp("power") / "release", "0.1.1"), disk, SETTINGS)
    yield disk
    disk.unlink()


def numbers(text: str) -> set[int]:
    """Read the acknowledged records; a line that the cut halved was not acknowledged."""
    return {int(line) for line in text.split("\n")[:-1]}


@dataclass
class Record:
    """What was seen over all power cuts."""

    cuts: int = 0
    came_back: int = 0
    acknowledged: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    rows: int = 0
    pictures: int = 0
    missing_or_torn: list[str] = field(default_factory=list)
    not_sound: int = 0
    systemd_to_first_verdict_s: list[float] = field(default_factory=list)

    def look(self, machine: Guest) -> None:
        """Look at what the last power cut left."""
        machine.until(lambda report: report["frames"] > 0)
        found = json.loads(machine.run("python3 /opt/inspect_journal.py"))
        self.came_back += bool(self.cuts)
        self.lost |= self.acknowledged - set(found["records"])
        self.rows, self.pictures = len(found["records"]), found["pictures"]
        self.missing_or_torn += found["missing_or_torn"]
        self.not_sound += found["integrity"] != "ok"
        systemd_s = int(machine.run("systemctl show -P UserspaceTimestampMonotonic")) / 1e6
        self.systemd_to_first_verdict_s.append(round(found["first_verdict_s"] - systemd_s, 1))

    def cut(self, machine: Guest) -> None:
        """Cut the power while frames are taken as fast as can be, each time at another moment."""
        machine.run("systemd-run --quiet /usr/bin/python3 /opt/asker.py")
        heard, deadline_s = "", time.monotonic() + 120
        while heard.count("\n") < 3 + self.cuts % 4:
            heard += machine.acknowledged()
            assert time.monotonic() < deadline_s, "no frame was acknowledged"
            time.sleep(0.05)
        time.sleep(0.37 * self.cuts % 1)
        machine.cut()
        self.acknowledged |= numbers(heard + machine.acknowledged())
        self.cuts += 1


def test_no_acknowledged_row_and_no_picture_is_lost(guest: Path, disk: Path, tmp_path: Path, figures) -> None:
    seen = Record()
    try:
        while True:
            machine = Guest(guest, disk, tmp_path)
            try:
                seen.look(machine)
                print(seen, flush=True)
                if seen.cuts == CUTS:
                    break
                seen.cut(machine)
            finally:
                machine.close()
    finally:
        counted = {name: len(value) if isinstance(value, set) else value for name, value in asdict(seen).items()}
        figures("power cuts while frames are logged", **counted)
    assert seen.came_back == CUTS
    assert (seen.lost, seen.missing_or_torn, seen.not_sound) == (set(), [], 0)
    with mounted(disk, tmp_path / "disk") as root:
        state = root / "var/lib/wbc-edge"
        with Journal.open_read_only(state / "journal.sqlite3") as journal:
            assert journal.audit().problems == ()
            pictures = [path for frame in journal.frames() for path in frame.pictures.values()]
        assert len(pictures) >= seen.pictures > 0
        assert all(cv2.imread(str(state / path.relative_to(path.parents[2]))) is not None for path in pictures)
