"""Many more power cuts than a virtual machine has time for: the disk goes on from what was on it at some instant."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import cv2
import msgspec
import pytest
from beds.disk import CuttableDisk
from beds.process import Service

from edge.errors import ServiceUnavailable
from edge.journal import Journal
from edge.model import bundle, shelf

CUTS = 60
MODEL_CUTS = 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[CuttableDisk]:
    if not shutil.which("mkfs.xfs"):
        pytest.skip("needs mkfs.xfs")
    folder = tmp_path / "cuttable"
    folder.mkdir()
    disk = CuttableDisk(folder, megabytes=2000)  # pictures of frames are large
    yield disk
    disk.close()


class Asker(threading.Thread):
    """Has frames taken as fast as can be, and remembers which were acknowledged."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self.service = service
        self.acknowledged: list[int] = []
        self.start()

    def run(self) -> None:
        """Until the service is gone."""
        with suppress(ServiceUnavailable):
            while True:
                self.acknowledged.append(self.service.ask("frame")["record"])


def test_no_acknowledged_row_and_no_picture_is_lost(disk: CuttableDisk, tmp_path: Path, figures) -> None:
    chance = random.Random(5)
    settings = (
        f'camera = "faulty:{tmp_path / "mode"}"\nsize = "640x480"\num_per_px = 0.4\nsave = "frames"\nkeep_free_mb = 0\n'
    )
    acknowledged: set[int] = set()
    lost: set[int] = set()
    torn: list[str] = []
    rows = pictures = cuts = 0
    while True:
        one = Service(tmp_path, disk.place / "state", settings + "least_free_mb = 0\ntimeout = 60\n")
        try:
            one.until(lambda report: report["state"] == "ready")
            with Journal.open_read_only(disk.place / "state/journal.sqlite3") as journal:
                assert journal.check() == []
                assert journal.audit().problems == ()
                logged = list(journal.frames())
            files = [path for frame in logged for path in frame.pictures.values()]
            lost |= acknowledged - {frame.record for frame in logged}
            torn += [str(path) for path in files if not path.exists() or cv2.imread(str(path)) is None]
            rows, pictures = len(logged), len(files)
            if cuts == CUTS:
                break
            asker = Asker(one)
            until_s = time.monotonic() + 30
            while len(asker.acknowledged) < 3 and time.monotonic() < until_s:
                time.sleep(0.01)
            time.sleep(chance.random())
            heard = list(asker.acknowledged)
            disk.take_clone()
        finally:
            one.close()
        assert heard
        acknowledged |= set(heard)
        cuts += 1
        disk.cut()
    figures(
        "cuts at the disk while frames are logged",
        cuts=cuts,
        acknowledged=len(acknowledged),
        rows=rows,
        lost=len(lost),
        pictures_referred_to=pictures,
        missing_or_torn=len(torn),
    )
    assert (lost, torn) == (set(), [])
    assert len(acknowledged) > 3 * CUTS
    assert pictures > 0


def test_a_model_that_is_being_changed_is_the_one_before_or_the_new_one(
    disk: CuttableDisk, tmp_path: Path, figures
) -> None:
    chance = random.Random(6)
    found = bundle.read(shelf.find(None))
    names = []
    for version in ("A", "B"):
        file = tmp_path / "part.wbc"
        described = msgspec.structs.replace(found.description, version=version)
        made = bundle.write(replace(found, description=described), file)
        names.append(made.identity)
        file.rename(tmp_path / f"{made.identity}.wbc")
    folder, before, cuts, changes, took_s = disk.place / "models", "", 0, 0, 1.0
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "WBC_EDGE_MODELS": str(folder)}
    environment |= {"WBC_EDGE_STATE": str(disk.place / "state"), "PYTHONPATH": ":".join(filter(None, sys.path))}

    def model(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "from edge.cli import main; main()", "model", *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    for name in cycle(names):
        asked_s = time.monotonic()
        asked = [model("install", str(tmp_path / f"{name}.wbc"))]
        if cuts % 2:
            time.sleep(chance.random() * took_s)
        else:
            assert asked[0].wait(120) == 0, asked[0].stderr
            took_s = time.monotonic() - asked_s
            asked.append(model("activate", name))
            # Some of them are through by then, and most are somewhere on their way.
            time.sleep((0.5 + 1.5 * chance.random()) * took_s)
        has_ended = asked[-1].poll() == 0
        disk.take_clone()
        for process in asked:
            process.kill()
            process.communicate()
        disk.cut()
        cuts += 1
        choice = folder / "activated.json"
        in_force = json.loads(choice.read_bytes())["names"][-1] if choice.exists() else ""
        is_changed = cuts % 2 == 1
        possible = {name} if is_changed and has_ended else {before, name} if is_changed else {before}
        assert in_force in possible, (in_force, possible)
        changes += in_force != before
        before = in_force
        # Whatever is there by its name is whole, and decides as it should.
        checked = model("verify")
        assert checked.wait(120) == 0, checked.communicate()
        checked.communicate()
        if cuts == MODEL_CUTS:
            break
    figures("cuts at the disk while a model is changed", cuts=cuts, changes=changes, torn=0, neither_before_nor_new=0)
    assert changes > 0
