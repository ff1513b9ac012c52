"""Bounds of settings, wherever they come from: a command, a search, a file."""

from __future__ import annotations

from collections.abc import Mapping

from edge.errors import ConfigurationError


def require(settings: object, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Refuse settings that nothing can be trained with.

    Parameters
    ----------
    settings : object
        What has the settings as attributes.
    bounds : mapping of str to (float, float)
        Least and most of each, both allowed.

    Raises
    ------
    ConfigurationError
        When one is beyond its bounds, or no number.
    """
    for name, (least, most) in bounds.items():
        value = getattr(settings, name)
        if not least <= value <= most:
            raise ConfigurationError(f"{name} {value}", f"must be between {least:g} and {most:g}")
