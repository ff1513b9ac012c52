"""On an Arm board's system, run by qemu-user as a Cortex-A72: it installs from wheels and decides as elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from beds.wheels import release

from edge.simulator import Smear, draw

PROCESSOR = "cortex-a72"
"""Of a Raspberry Pi 4."""
CORES = range(4)
CORE = """\
processor\t: {core}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


class Board:
    """A copy of the Arm tree, entered with chroot."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, command: str) -> str:
        """Run a line of shell as root, which must succeed; give its output."""
        environment = ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/srv", f"QEMU_CPU={PROCESSOR}"]
        inside = ["chroot", str(self.root), "env", "-i", *environment, "bash", "-c", command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def tell_processor(root: Path) -> Path:
    """Have the tree tell of the processor it is run as, and give the file for its /proc/cpuinfo.

    qemu-user shows this machine's own, by which LiteRT does not find out what the processor can do: it takes other
    kernels, or ends.
    """
    cpu = root / "sys/devices/system/cpu"
    for core in CORES:
        topology = cpu / f"cpu{core}/topology"
        topology.mkdir(parents=True)
        facts = {"physical_package_id": 0, "core_id": core, "core_siblings": "f", "core_siblings_list": "0-3"}
        for name, fact in facts.items():
            (topology / name).write_text(f"{fact}\n")
    for name in ("possible", "present", "online"):
        (cpu / name).write_text(f"{CORES[0]}-{CORES[-1]}\n")
    told = root / "srv/cpuinfo"
    told.write_text("".join(CORE.format(core=core) for core in CORES) + "Hardware\t: BCM2835\n")
    return told


@pytest.fixture(scope="module")
def board(arm: Path, beds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    root = beds / "board"
    subprocess.run(["rm", "-rf", "--one-file-system", root], check=True)
    subprocess.run(["cp", "-a", "--reflink=auto", arm, root], check=True)
    shutil.copytree(release(beds, tmp_path_factory.mktemp("arm") / "release", "0.1.1"), root / "srv/release")
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)
    subprocess.run(["mount", "--bind", tell_processor(root), root / "proc/cpuinfo"], check=True)
    try:
        board = Board(root)
        board.run("/srv/release/install.sh")
        yield board
    finally:
        subprocess.run(["umount", root / "proc/cpuinfo", root / "proc"], check=True)
        subprocess.run(["rm", "-rf", "--one-file-system", root], check=True)


def test_it_installs_from_wheels_and_starts_with_the_machine(board: Board) -> None:
    assert board.run("uname -m").strip() == "aarch64"
    assert board.run("/opt/wbc-edge/current/bin/python --version").startswith("Python 3.11")
    assert "um_per_px" in board.run("cat /etc/wbc-edge/config.toml")
    assert (board.root / "etc/systemd/system/multi-user.target.wants/wbc-edge.service").is_symlink()


def test_the_model_decides_bit_for_bit_as_where_it_was_made(board: Board, figures) -> None:
    (found,) = [json.loads(line) for line in board.run("wbc-edge model verify --json").splitlines()]
    figures(f"self-test as {PROCESSOR}", **found)
    assert found["largest_difference"] == 0


@pytest.mark.parametrize(("um_per_px", "is_exact"), [(0.25, True), (0.4, False)])
def test_a_field_gets_the_verdict_that_it_gets_elsewhere(
    board: Board, tmp_path: Path, figures, um_per_px: float, is_exact: bool
) -> None:
    """To the bit, unless the last step of scale is no halving: OpenCV's linear steps differ by a level there."""
    arguments = ["--um-per-px", str(um_per_px), "--json", "--journal", "journal.sqlite3"]
    differences = []
    for kind in ("ALL", "MM", "normal"):
        name = f"{kind}.png"
        field = draw(Smear(kind=kind, size_px=(640, 480), um_per_px=um_per_px), 7)
        cv2.imwrite(str(tmp_path / name), field.pixels)
        shutil.copy(tmp_path / name, board.root / "srv")
        here = subprocess.run(
            [sys.executable, "-c", "from edge.cli import main; main()", "classify", name, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        there = board.run(f"cd /srv && wbc-edge classify {name} {' '.join(arguments)}")
        one, other = (json.loads(said.splitlines()[0]) for said in (here, there))
        for told in ("verdict", "reason", "tiles"):
            assert one[told] == other[told]
        differences += [
            abs(one["probabilities"][label] - other["probabilities"][label]) for label in one["probabilities"]
        ]
    largest = max(differences)
    figures(f"fields judged as {PROCESSOR} and here", um_per_px=um_per_px, fields=3, largest_difference=largest)
    assert largest < 1e-6 or not is_exact
