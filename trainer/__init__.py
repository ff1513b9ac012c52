"""The workstation's half of wbc-edge: from folders of images to a network, measured honestly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.augment import Augmentation as Augmentation
    from trainer.paper.compare import compare as compare
    from trainer.settings import Settings as Settings
    from trainer.training import fit as fit

__all__ = ["Augmentation", "Settings", "compare", "fit"]

_HOMES = {
    "Augmentation": "trainer.augment",
    "Settings": "trainer.settings",
    "compare": "trainer.paper.compare",
    "fit": "trainer.training",
}


def __getattr__(name: str) -> Any:
    """Import Keras only when something of it is asked for: it costs seconds."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
