"""What the trainer hands to the converter: a folder with a validated description, so that neither imports the other.

======================  =====================================================================================
file                    content
======================  =====================================================================================
run.json                :class:`Run`
network.keras           the trained network: tiles, float32 0 to 255, in; logits and embedding out
calibration.npy         tiles, uint8, (n, tile, tile, 3): the representative dataset, from the training part
held-out-tiles.npy      tiles, uint8, of fields that training did not see, for the parity check
held-out-labels.npy     their classes, int64, (n,)
held-out-fields.npy     the field that each is from, int64, (n,): a row of the sources
held-out-sources.npy    class, group and laboratory of each of these fields, text, (fields, 3)
novelty.npy             mean and whitening of the embeddings, as in the bundle
report.json, card.md    figures and the model card
======================  =====================================================================================
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge import durable
from edge.errors import BundleCorrupt, BundleNotFound
from edge.model.description import Classes, Name, Normalisation, Scale, Tiling, Training
from edge.verdict import Decision

DESCRIPTION = "run.json"
NETWORK = "network.keras"
CALIBRATION = "calibration.npy"
HELD_OUT_TILES = "held-out-tiles.npy"
HELD_OUT_LABELS = "held-out-labels.npy"
HELD_OUT_FIELDS = "held-out-fields.npy"
HELD_OUT_SOURCES = "held-out-sources.npy"
NOVELTY = "novelty.npy"
CARD = "card.md"
REPORT = "report.json"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a training run made; the fields are those of :class:`edge.model.description.Description`."""

    name: Name
    version: str
    created: str
    classes: Classes
    um_per_px: Scale
    normalisation: Normalisation = "clear-glass-240"
    tiling: Tiling
    decision: Decision
    training: Training
    metrics: dict[str, float]


def write(run: Run, folder: Path) -> None:
    """Write a run's description into its folder, last of all: it is what makes the run finished.

    Parameters
    ----------
    run : Run
        The description.
    folder : Path
        The run's folder.

    Raises
    ------
    OSError
        When it cannot be written; the folder is then no finished run.
    """
    durable.write(folder / DESCRIPTION, msgspec.json.format(msgspec.json.encode(run), indent=2))


def read(folder: Path) -> Run:
    """Read and validate a run's description.

    Parameters
    ----------
    folder : Path
        The run's folder.

    Returns
    -------
    Run
        The description.

    Raises
    ------
    BundleNotFound
        When the folder is no finished run.
    BundleCorrupt
        When the description is not valid.
    """
    try:
        return msgspec.json.decode((folder / DESCRIPTION).read_bytes(), type=Run)
    except OSError as error:
        raise BundleNotFound(
            f"run {folder}", "is not a finished training run", "`trainer fit MANIFEST --out RUN` makes one"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleCorrupt(f"run {folder}", f"its description is not valid: {error}") from error


def array(folder: Path, name: str) -> NDArray[np.generic]:
    """Read an array of a run, without pickle.

    Parameters
    ----------
    folder : Path
        The run's folder.
    name : str
        The file.

    Returns
    -------
    ndarray
        The array.

    Raises
    ------
    BundleCorrupt
        When it is missing or no array.
    """
    try:
        found: NDArray[np.generic] = np.load(folder / name, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BundleCorrupt(f"run {folder}", f"{name} is missing or damaged: {error}", "Train it again") from error
    return found
