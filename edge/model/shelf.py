"""Where models are found: the one that ships with wbc-edge, and those in the user's model folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge.errors import BundleNotFound
from edge.model.bundle import DIGITS, SUFFIX

BUNDLED = Path(__file__).parent / "bundled"
DEFAULT = "marrow"
_REMEDY = "`wbc-edge model list` shows the models there are"


def available(folder: Path | None = None) -> list[Path]:
    """List the bundles there are, the bundled ones first.

    Parameters
    ----------
    folder : Path, optional
        The user's model folder; need not exist, and one that may not be entered counts as empty.

    Returns
    -------
    list of Path
        ``.wbc`` files.
    """
    return [path for place in (BUNDLED, folder) if place for path in _bundles(place)]


def find(name: str | None, folder: Path | None = None) -> Path:
    """Find a bundle by its path, or by its file's name without the suffix.

    Installed bundles are called ``NAME@DIGEST``; the name alone will do while there is only one of that name.

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
        When there is none, or more than one of that name.
    """
    wanted = name or DEFAULT
    if wanted.endswith(SUFFIX) or "/" in wanted:
        path = Path(wanted)
        try:
            if path.is_file():
                return path
        except OSError as error:
            raise BundleNotFound(f"model {wanted}", error.strerror or str(error), _REMEDY) from error
    bundles = available(folder)
    named = [path for path in bundles if path.stem == wanted]
    named = named or [path for path in bundles if path.stem.startswith(f"{wanted}@")]
    if len(named) > 1 and "@" in named[0].stem:
        raise BundleNotFound(
            f"model {wanted}", "there are several", f"Choose {' or '.join(path.stem for path in named)}"
        )
    if named:
        return named[0]
    raise BundleNotFound(f"model {wanted}", "no such bundle", _REMEDY)


def is_known(path: Path, folder: Path) -> bool:
    """Say whether a bundle was run on this device before: it ships with wbc-edge, or was installed, and is as it was.

    Parameters
    ----------
    path : Path
        The bundle's file.
    folder : Path
        Where it would be installed, named after its content.

    Returns
    -------
    bool
        False for any other file.
    """
    if path.parent != folder:
        return path.parent == BUNDLED
    try:
        return path.stem.endswith(f"@{hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]}")
    except OSError:
        return False


def _bundles(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
    except OSError:
        return []
