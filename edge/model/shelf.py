"""Where models are found: the one that ships with wbc-edge, and those in the user's model folder."""

from __future__ import annotations

from pathlib import Path

from edge.errors import BundleNotFound
from edge.model.bundle import SUFFIX

BUNDLED = Path(__file__).parent / "bundled"
DEFAULT = "marrow"


def available(folder: Path | None = None) -> list[Path]:
    """List the bundles there are, the bundled ones first.

    Parameters
    ----------
    folder : Path, optional
        The user's model folder; need not exist.

    Returns
    -------
    list of Path
        ``.wbc`` files.
    """
    return [path for place in (BUNDLED, folder) if place for path in sorted(place.glob(f"*{SUFFIX}"))]


def find(name: str | None, folder: Path | None = None) -> Path:
    """Find a bundle by its path, or by its file's name without the suffix.

    Parameters
    ----------
    name : str or None
        Path or name; None is the bundled default.
    folder : Path, optional
        The user's model folder.

    Returns
    -------
    Path
        The bundle's file.

    Raises
    ------
    BundleNotFound
        When there is none.
    """
    wanted = name or DEFAULT
    if wanted.endswith(SUFFIX) or "/" in wanted:
        path = Path(wanted)
        if path.is_file():
            return path
    for path in available(folder):
        if path.stem == wanted:
            return path
    raise BundleNotFound(f"model {wanted}", "no such bundle", "`wbc-edge model list` shows the models there are")
