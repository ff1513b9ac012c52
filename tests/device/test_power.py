"""Nothing that was acknowledged is lost when the power is cut, and the service comes back by itself each time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import cv2
import msgspec
import pytest
from beds.guest import Guest, install, mounted
from beds.wheels import release

from edge.journal import Journal
from edge.model import bundle, shelf

CUTS = 16
INSTALL_CUTS = 6
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
    with mounted(disk, tmp_path_factory.mktemp("disk") / "root") as root:
        (root / "opt/models").mkdir()
        for version in ("A", "B"):
            make_model(root / "opt/models", version)
    yield disk
    disk.unlink()


def make_model(folder: Path, version: str) -> None:
    """Make another model of the one that ships, named as an installed one is."""
    found = bundle.read(shelf.find(None))
    other = bundle.write(
        replace(found, description=msgspec.structs.replace(found.description, version=version)), folder / "part.wbc"
    )
    (folder / "part.wbc").rename(folder / f"{other.identity}.wbc")


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


def test_a_model_that_is_being_changed_is_the_one_before_or_the_new_one(
    guest: Path, disk: Path, tmp_path: Path, figures
) -> None:
    cuts, came_back, done, torn, in_force = 0, 0, [""], [], []
    try:
        while True:
            machine = Guest(guest, disk, tmp_path)
            try:
                report = machine.until(lambda report: report["frames"] > 0)
                came_back += bool(cuts)
                found = json.loads(machine.run("python3 /opt/inspect_models.py"))
                print(found, done, flush=True)
                torn += found["torn"]
                in_force.append(found["in_force"])
                assert report["state"] == "ready"
                # The last that was acknowledged, or the one that it was about to be changed to.
                assert not found["in_force"] or report["model"] == found["in_force"]
                if done[-1]:
                    models = json.loads(
                        machine.run(
                            "cd /opt/models && python3 -c 'import json, os; print(json.dumps(sorted(os.listdir())))'"
                        )
                    )
                    following = models[(models.index(f"{done[-1]}.wbc") + 1) % len(models)].removesuffix(".wbc")
                    assert found["in_force"] in (done[-1], following)
                if cuts == INSTALL_CUTS:
                    break
                machine.run("systemd-run --quiet /usr/bin/python3 /opt/model_changer.py")
                heard, deadline_s = "", time.monotonic() + 300
                while heard.count("\n") < 1 + cuts % 4:
                    heard += machine.acknowledged()
                    assert time.monotonic() < deadline_s, "no model was changed"
                    time.sleep(0.05)
                time.sleep(1.7 * cuts % 5)
                machine.cut()
                lines = (heard + machine.acknowledged()).split("\n")[:-1]
                done += [line.removeprefix("activate ") for line in lines if line.startswith("activate ")]
                cuts += 1
            finally:
                machine.close()
    finally:
        figures(
            "power cuts while a model is changed",
            cuts=cuts,
            came_back=came_back,
            acknowledged=len(done) - 1,
            torn=len(torn),
            in_force=in_force,
        )
    assert (came_back, torn) == (INSTALL_CUTS, [])
