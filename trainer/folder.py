"""The folder that a command writes to: failures in words, and none left behind for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.errors import OutputError, WbcError


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Say of what the system refuses inside the block that it was to be written to a folder.

    Parameters
    ----------
    out : Path
        The folder.

    Raises
    ------
    OutputError
        Where the block raises an ``OSError``.
    """
    try:
        yield
    except WbcError:
        raise
    except OSError as error:
        raise OutputError(
            f"folder {out}", error.strerror or str(error), "Free some space, or choose another"
        ) from error


@contextmanager
def made(out: Path) -> Iterator[None]:
    """Make a folder for what the block writes; where that fails with nothing written, it is gone again.

    Parameters
    ----------
    out : Path
        The folder; one that is there stays.

    Raises
    ------
    OutputError
        When it cannot be made.
    """
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()
        raise
