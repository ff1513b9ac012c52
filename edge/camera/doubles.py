"""A camera that fails on cue, for tests and for trying what a program does when its camera misbehaves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event

from edge.camera.base import CameraSettings, EndOfFrames, stamp
from edge.frame import Frame, Pixels

Step = Pixels | Exception | Event
"""Deliver these pixels, raise this, or hang until this is set and go on with the next step."""


class ScriptedCamera:
    """Plays a script, one step a read; ends with it.

    Cameras that share one iterator play on where the one before was lost::

        script = iter([field, CameraLost("pulled out"), field])
        camera = GuardedCamera("scripted", settings, opener=lambda _, settings: ScriptedCamera(script, settings))

    Parameters
    ----------
    script : iterator of ndarray, Exception or Event
        What the reads do.
    settings : CameraSettings
        Gives the pixel size, 0.1 um when None, and the first number.
    finite : bool
        Whether it passes for a source with an end.
    """

    name = "scripted"

    def __init__(self, script: Iterator[Step], settings: CameraSettings, finite: bool = False) -> None:
        self.finite = finite
        self.closed = False
        self._script = script
        self._um_per_px = settings.um_per_px or 0.1
        self._sequence = settings.first_sequence

    def read(self) -> Frame:
        """Do the script's next step."""
        asked_s = time.monotonic()
        for step in self._script:
            if isinstance(step, Event):
                step.wait()
            elif isinstance(step, Exception):
                raise step
            else:
                sequence, self._sequence = self._sequence, self._sequence + 1
                return stamp(step, f"scripted-{sequence:06d}", sequence, self._um_per_px, asked_s=asked_s)
        raise EndOfFrames(self.name)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True
