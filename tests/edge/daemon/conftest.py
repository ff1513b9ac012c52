"""Services that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import COMMAND, Running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start services, and end them."""
    running: list[Running] = []

    def start(
        settings: str = 'camera = "sim:MM"\nsize = "640x480"\n',
        watchdog_s: float = 30.0,
        command: list[str] = COMMAND,
    ) -> Running:
        folder = tmp_path / str(len(running))
        folder.mkdir()
        running.append(Running(folder, settings, watchdog_s, command))
        return running[-1]

    yield start
    for each in running:
        each.close()
