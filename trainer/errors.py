"""What can go wrong with data and training; the same tree as the device's."""

from __future__ import annotations

from edge.errors import WbcError


class DataError(WbcError, ValueError):
    """Raised when a manifest or its images cannot be trained on."""

    exit_code = 60


class TrainingFailed(WbcError, ArithmeticError):
    """Raised when training diverged."""

    exit_code = 61


class OutOfMemory(WbcError, MemoryError):
    """Raised when a batch does not fit into the memory of the machine that trains."""

    exit_code = 62
