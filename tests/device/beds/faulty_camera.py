"""Runs wbc-edge with one more kind of camera, `faulty:FILE`, which does at each frame what the file then says.

``good``, ``black``, ``short`` (fewer rows than asked for), ``stale`` (one frame again and again), ``lost`` (raises) or
``hang`` (until the file says otherwise).
"""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

import numpy as np

from edge.camera import CameraSettings, register
from edge.camera.base import stamp
from edge.errors import CameraLost
from edge.frame import Frame
from edge.simulator import Smear, draw

FIELDS = 8


class FaultyCamera:
    """Shows a few fields in turn; see the module."""

    finite = False

    def __init__(self, argument: str, settings: CameraSettings) -> None:
        self.name = f"faulty:{argument}"
        self._mode = Path(argument)
        self._sequence = count(settings.first_sequence)
        self._um_per_px = settings.um_per_px or 0.1
        kept = self._mode.with_suffix(".fields.npy")
        if not kept.exists():
            smear = Smear(kind="MM", size_px=settings.size_px, um_per_px=self._um_per_px)
            np.save(kept, np.stack([draw(smear, number).pixels for number in range(FIELDS)]))
        self._fields = np.load(kept, mmap_mode="r")

    def read(self) -> Frame:
        """Do what the file says."""
        asked_s = time.monotonic()
        while (mode := self._mode.read_text().strip()) == "hang":
            time.sleep(0.05)
        if mode == "lost":
            raise CameraLost(self.name, "it was pulled out")
        sequence = next(self._sequence)
        # A driver copies each frame into memory of its own.
        pixels = np.array(self._fields[0 if mode == "stale" else sequence % FIELDS])
        if mode == "black":
            pixels[:] = 0
        if mode == "short":
            pixels = pixels[: len(pixels) // 3]
        return stamp(pixels, f"faulty-{sequence:06d}", sequence, self._um_per_px, asked_s=asked_s)

    def close(self) -> None:
        """There is nothing to release."""


register("faulty", FaultyCamera, "faulty:FILE")

if __name__ == "__main__":
    from edge.cli import main

    main()
