"""A training that is ended in its midst, and what is asked of its network after it went on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Stopped(Exception):
    """Raised to end a training in its midst."""


def stop_at(step: int) -> Callable[[str, int, int], None]:
    """Give a progress that ends a training at a step."""

    def progress(_stage: str, done: int, _of: int) -> None:
        if done == step:
            raise Stopped

    return progress


def weights_of(network: Any) -> Any:
    """Give all weights of a network in a row."""
    return np.concatenate([np.asarray(weight).ravel() for weight in network.get_weights()])
