"""Which library Keras trains with: looked up before Keras is imported, whose own error is a traceback."""

from __future__ import annotations

import importlib.util
import os

from edge.errors import ConfigurationError

BACKENDS = ("tensorflow", "jax", "torch")


def require() -> None:
    """Refuse a back end that is none, or is not installed.

    Raises
    ------
    ConfigurationError
        When ``KERAS_BACKEND`` names such a one.
    """
    name = os.environ.get("KERAS_BACKEND", "tensorflow")
    if name not in BACKENDS:
        raise ConfigurationError(f"KERAS_BACKEND={name}", "is no back end", f"Give one of {', '.join(BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        raise ConfigurationError(
            f"KERAS_BACKEND={name}", f"{name} is not installed", f"`pip install {name}`, or leave KERAS_BACKEND away"
        )
