"""What can go wrong with a conversion; the same tree as the device's."""

from __future__ import annotations

from edge.errors import WbcError


class NetworkUnreadable(WbcError, ValueError):
    """Raised when a file is no Keras network that can be converted."""

    exit_code = 70


class CalibrationRefused(WbcError, ValueError):
    """Raised when the representative dataset would calibrate nothing, or is part of what the network is tested on."""

    exit_code = 71


class QuantizationRefused(WbcError, ArithmeticError):
    """Raised when the quantized network lost its judgement; no bundle is written."""

    exit_code = 72


class ExportRefused(WbcError, ValueError):
    """Raised when a bundle cannot be written in another format."""

    exit_code = 73


class KeyUnreadable(WbcError, ValueError):
    """Raised when a file holds no private key that signs bundles."""

    exit_code = 74


def reason(error: Exception) -> str:
    """Take the first line of what a library says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
