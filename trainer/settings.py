"""What decides a training, besides the data."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from edge.errors import ConfigurationError
from edge.model.description import NAME
from edge.vision import scale
from trainer import bounds
from trainer.augment import Augmentation
from trainer.networks import NETWORKS

EPOCH_STEPS = 100
"""Steps of an epoch at most."""

_BOUNDS = {
    "steps": (1, 10_000_000),
    "tile_px": (16, 1024),
    "batch": (2, 65_536),
    "learning_rate": (1e-9, 10.0),
    "label_smoothing": (0.0, 0.9),
    "weight_averaging": (0.0, 0.999999),
    "simulate": (0, 1_000_000),
    "least_probability": (0.0, 1.0),
    "seed": (0, 2**32 - 1),
}

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what a run makes, besides the data.

    Attributes
    ----------
    name : str
        Name of the model: letters, digits and ``._-``.
    network : str
        One of :data:`trainer.networks.NETWORKS`.
    um_per_px : float
        Scale of the model.
    tile_px : int
        Side of a tile, even, 16 to 1024.
    steps : int
        Optimizer steps.
    batch : int
        Tiles a step.
    learning_rate : float
        Highest learning rate of the cosine schedule.
    label_smoothing : float
        Share of each label given to all classes alike.
    weight_averaging : float
        Share of the average that each step keeps (its momentum); 0 keeps the last weights instead of an average.
    stop_on : tuple of str
        Laboratories and groups that are not trained on but watched, see :mod:`trainer.stopping`; none: the weights of
        the last epoch are kept.
    background_class : str or None
        Class of cells outside a field's mask.
    simulate : int
        Number of fields of each kind to draw and train on besides, see :mod:`trainer.simulated`; 0 is none.
    least_probability : float
        Frames less certain are indeterminate.
    seed : int
        Seed of weights, batches and augmentation.
    augmentation : Augmentation
        How strongly tiles are varied.
    precision : str
        ``"float32"``, or ``"mixed_float16"`` and ``"mixed_bfloat16"``, which hold activations in 16 bits: faster on a
        GPU, slower on most processors. What is written is float32.
    devices : int
        Number of accelerators to share each batch; more than 1 needs the jax back end of Keras.

    Raises
    ------
    ConfigurationError
        When the name is none that a bundle may have, the network or the precision is unknown, a batch cannot be
        shared by the devices, or a number is beyond its bounds.
    ScaleError
        When the scale is none of a microscope.
    """

    name: str = "model"
    network: str = "cell-dense"
    um_per_px: float = 0.5
    tile_px: int = 64
    steps: int = 1500
    batch: int = 96
    learning_rate: float = 4e-3
    label_smoothing: float = 0.05
    weight_averaging: float = 0.99
    stop_on: tuple[str, ...] = ()
    background_class: str | None = "normal"
    simulate: int = 0
    least_probability: float = 0.7
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: str = "float32"
    devices: int = 1

    @property
    def epochs(self) -> int:
        """Epochs: after each, a training that is stopped can be taken up again."""
        return max(1, math.ceil(self.steps / EPOCH_STEPS))

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; the last epoch is rounded up to it."""
        return math.ceil(self.steps / self.epochs)

    def __post_init__(self) -> None:
        """Refuse now what would be refused after hours of training."""
        if not re.fullmatch(NAME, self.name):
            raise ConfigurationError(f"name {self.name!r}", "a model's is made of letters, digits and ._-")
        if self.network not in NETWORKS:
            raise ConfigurationError(f"network {self.network!r}", f"unknown; there are {', '.join(NETWORKS)}")
        if self.tile_px % 2:
            raise ConfigurationError(f"tiles of {self.tile_px} px", "their side must be even")
        if self.precision not in PRECISIONS:
            raise ConfigurationError(f"precision {self.precision!r}", f"unknown; there are {', '.join(PRECISIONS)}")
        if self.devices < 1 or self.batch % self.devices:
            raise ConfigurationError(f"{self.devices} devices", f"cannot share a batch of {self.batch} evenly")
        bounds.require(self, _BOUNDS)
        scale.check(self.um_per_px)


def read(path: Path) -> Settings:
    """Read settings from a JSON file, as a search or a report holds them.

    Parameters
    ----------
    path : Path
        The file; what it does not name has its default.

    Returns
    -------
    Settings
        The settings.

    Raises
    ------
    ConfigurationError
        When it cannot be read, names what is no setting, or a value is of the wrong type or cannot be used.
    """
    try:
        values = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        _refuse_unknown(path, values, Settings)
        if isinstance(augmentation := values.get("augmentation"), dict):
            _refuse_unknown(path, augmentation, Augmentation)
        return msgspec.convert(values, Settings)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"settings {path}", str(error), "Give what `trainer search` wrote") from error


def _refuse_unknown(path: Path, values: dict[str, Any], known: type) -> None:
    names = [each.name for each in fields(known)]
    if unknown := sorted(values.keys() - set(names)):
        raise ConfigurationError(f"settings {path}", f"{unknown[0]!r} is none", f"There are {', '.join(names)}")
