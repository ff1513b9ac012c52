"""Networks by name; another is added with a module and a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainer.networks import cell_dense, cell_dense_light

NETWORKS: dict[str, Callable[[int, int], Any]] = {
    "cell-dense": cell_dense.build,
    "cell-dense-light": cell_dense_light.build,
}
"""Builders: side of the tiles and number of classes to a Keras model with outputs logits and embedding."""
