"""The command line, in this process and in one of its own; fields on disk, good and bad."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
from click.testing import CliRunner

from edge.cli.commands import command_line
from edge.simulator import Smear, draw

SIMULATED = ["--camera", "sim:MM", "--size", "640x480"]
COMMAND = [sys.executable, "-c", "from edge.cli import main; main()"]


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Read standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_surroundings: None) -> Path:
    """Give every command of a test one journal of its own."""
    path = tmp_path / "journal" / "journal.sqlite3"
    monkeypatch.setenv("WBC_EDGE_JOURNAL", str(path))
    return path


@pytest.fixture
def wbc(journal: Path) -> Callable[..., Ran]:
    """Run a command in this process."""

    def run(*arguments: object) -> Ran:
        result = CliRunner().invoke(command_line, [str(each) for each in arguments], catch_exceptions=False)
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def start(journal: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a command as a process of its own."""

    def run(*arguments: object, **settings: Any) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
        # The suite must run from anywhere, and a signal ignored here must not be ignored there.
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)], text=True, encoding="utf-8", stdin=subprocess.DEVNULL, **pipes
        )

    return run


@pytest.fixture
def process(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Ran]:
    """Run a command as a process of its own."""

    def run(*arguments: object, **settings: Any) -> Ran:
        with start(*arguments, **settings) as running:
            out, err = running.communicate(timeout=60)
        return Ran(running.returncode, out, err)

    return run


@pytest.fixture
def simulate(wbc: Callable[..., Ran]) -> Callable[..., Ran]:
    """Capture from the simulated microscope."""

    def run(*arguments: object) -> Ran:
        return wbc("capture", *SIMULATED, *arguments)

    return run


@pytest.fixture(scope="session")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with two good fields and a truncated one between them."""
    folder = tmp_path_factory.mktemp("Präparat 1")
    for number in (1, 3):
        smear = Smear(kind="MM", size_px=(640, 480))
        encoded = cv2.imencode(".png", draw(smear, number).pixels)[1].tobytes()
        (folder / f"Feld {number} 視野.png").write_bytes(encoded)
    (folder / "Feld 2.png").write_bytes(encoded[: len(encoded) // 2])
    return folder


@pytest.fixture(scope="session")
def field(fields: Path) -> Path:
    """Give one good field."""
    return fields / "Feld 1 視野.png"


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the user has set for wbc-edge out of the tests."""
    for name in [name for name in os.environ if name.startswith("WBC_EDGE_")]:
        monkeypatch.delenv(name)
