"""Where a training that was stopped goes on: the weights, averages and optimizer of each network, an epoch at a time.

Checkpoints lie in the run's own folder, under a name made from all that decides the run: another data set, setting or
version never takes them up. A file is written beside its place and moved there, so that what is there is whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

from edge import durable
from edge.errors import OutputError

FOLDER = ".checkpoints"
GOES_ON = "Free some space and run the same command again: it goes on from the last epoch that was kept"
_SUFFIX = ".weights.h5"


class Checkpoints:
    """The checkpoints of one run.

    Parameters
    ----------
    run : Path
        The run's folder.
    key : str
        Digest of all that decides the run.
    """

    def __init__(self, run: Path, key: str) -> None:
        self._all = run / FOLDER
        self._folder = self._all / key

    def save(self, network: Any, stage: str, epoch: int) -> None:
        """Keep a network as it is after an epoch; earlier epochs of that stage are removed.

        Parameters
        ----------
        network : keras.Model
            Compiled: its optimizer is kept too.
        stage : str
            Which of the run's networks it is.
        epoch : int
            Epochs done.

        Raises
        ------
        OutputError
            When there is no room: the last epoch that had some stays.
        """
        place = self._place(stage, epoch)
        part = place.with_name(f"part-{place.name}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            network.save_weights(part, overwrite=True)
            # Before the one that it takes the place of goes: a power cut must not leave neither.
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(place)
            durable.sync_folder(self._folder)
            for old in self._found(stage).values():
                if old != place:
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"checkpoint {place}", _reason(error), GOES_ON) from error

    def restore(self, network: Any, stage: str) -> int:
        """Bring a network to the last epoch kept of its stage.

        Parameters
        ----------
        network : keras.Model
            Compiled, its optimizer built.
        stage : str
            Which of the run's networks it is.

        Returns
        -------
        int
            Epochs done; 0 when none was kept, or it cannot be read.
        """
        found = self._found(stage)
        for epoch in sorted(found, reverse=True):
            try:
                network.load_weights(found[epoch])
            except (OSError, ValueError, KeyError):
                found[epoch].unlink(missing_ok=True)
            else:
                return epoch
        return 0

    def found(self) -> bool:
        """Say whether any network of this run was kept: it goes on."""
        return any(self._folder.glob(f"*{_SUFFIX}"))

    def clear(self) -> None:
        """Remove all checkpoints, those of other settings too: the run is finished."""
        shutil.rmtree(self._all, ignore_errors=True)

    def _place(self, stage: str, epoch: int) -> Path:
        return self._folder / f"{stem(stage)}.{epoch}{_SUFFIX}"

    def _found(self, stage: str) -> dict[int, Path]:
        pattern = re.compile(rf"{stem(stage)}\.(\d+){re.escape(_SUFFIX)}")
        named = {path: pattern.fullmatch(path.name) for path in self._folder.glob(f"*{_SUFFIX}")}
        return {int(match[1]): path for path, match in named.items() if match}


def stem(stage: str) -> str:
    """Name the files of a stage: no two stages alike, whatever laboratory they are named after.

    Parameters
    ----------
    stage : str
        Name of the stage, such as ``"fold 1 of 3"``.

    Returns
    -------
    str
        Small ASCII letters, digits and hyphens.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", stage.lower())
    if re.fullmatch(r"[a-z0-9 ]+", stage):
        return plain
    return f"{plain}-{hashlib.sha256(stage.encode()).hexdigest()[:12]}"


def _reason(error: OSError) -> str:
    """Say what the system said: HDF5 wraps it in sentences of its own."""
    said = re.search(r"error message = '([^']+)'", str(error))
    return said[1] if said else error.strerror or str(error)
