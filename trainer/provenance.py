"""What a training stands on: the software, and a key of all that decides its weights."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version

import cv2
import keras
import msgspec

from edge import __version__
from trainer.dataset import Dataset
from trainer.manifest import ORDER
from trainer.settings import Settings


def software(*besides: str) -> dict[str, str]:
    """Name the versions that weights depend on, and those of libraries besides."""
    engine = keras.backend.backend()
    return {
        "wbc-edge": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("keras", engine, "numpy")},
        # Not by its package, of which there are several.
        "opencv": cv2.__version__,
        **{name: version(name) for name in besides},
    }


def key(found: Dataset, settings: Settings) -> str:
    """Digest all that decides the weights: data, folds, settings, software.

    Parameters
    ----------
    found : Dataset
        The data set.
    settings : Settings
        How networks are trained.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    decides = (ORDER, found.digest, sorted(map(sorted, found.folds)), settings, software())
    return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()[:16]
