"""What can go wrong with data and training; the same tree as the device's."""

from __future__ import annotations

from collections.abc import Sequence

from edge.errors import DataError, WbcError

__all__ = ["DataError", "OutOfMemory", "TrainingFailed", "WeightsUnavailable", "named"]

_NAMED = 3


def named(things: Sequence[object]) -> str:
    """Name the first few of the things that are wrong, and say how many more there are."""
    more = f" and {len(things) - _NAMED} more" if len(things) > _NAMED else ""
    return ", ".join(map(str, things[:_NAMED])) + more


class TrainingFailed(WbcError, ArithmeticError):
    """Raised when training diverged."""

    exit_code = 61


class OutOfMemory(WbcError, MemoryError):
    """Raised when a batch does not fit into the memory of the machine that trains."""

    exit_code = 62


class WeightsUnavailable(WbcError, OSError):
    """Raised when pretrained weights can neither be downloaded nor read from a file."""

    exit_code = 64
