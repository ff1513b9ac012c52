"""Where the journal is unless its user names another place."""

from __future__ import annotations

import os
from pathlib import Path

from edge.errors import ConfigurationError


def calibration_path() -> Path:
    """Return the usual place of the camera's calibration: ``calibration.json`` beside the usual journal.

    Raises
    ------
    ConfigurationError
        When the user has no home folder and names no place.
    """
    return default_path().with_name("calibration.json")


def default_path() -> Path:
    """Return the journal's usual place.

    ``$WBC_EDGE_STATE/journal.sqlite3``, or else ``wbc-edge/journal.sqlite3`` in the user's state folder, which is
    ``$XDG_STATE_HOME`` or ``~/.local/state``.

    Raises
    ------
    ConfigurationError
        When the user has no home folder and names no place.
    """
    if state := os.environ.get("WBC_EDGE_STATE"):
        return Path(state) / "journal.sqlite3"
    folder = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not folder.is_absolute():  # the XDG specification: "consider the path invalid and ignore it"
        try:
            folder = Path.home() / ".local" / "state"
        except RuntimeError as error:
            raise ConfigurationError(
                "no place for the journal", "this user has no home folder", "Set WBC_EDGE_STATE to a folder."
            ) from error
    return folder / "wbc-edge" / "journal.sqlite3"
