"""What can go wrong with data and training; the same tree as the device's."""

from __future__ import annotations

from edge.errors import DataError, WbcError

__all__ = ["DataError", "TrainingFailed"]


class TrainingFailed(WbcError, ArithmeticError):
    """Raised when training diverged."""

    exit_code = 61
