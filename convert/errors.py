"""What can go wrong with a conversion; the same tree as the device's."""

from __future__ import annotations

from edge.errors import WbcError


class NetworkUnreadable(WbcError, ValueError):
    """Raised when a file is no Keras network that can be converted."""

    exit_code = 70


class CalibrationRefused(WbcError, ValueError):
    """Raised when the representative dataset would calibrate nothing: empty, constant, or of another shape."""

    exit_code = 71


class QuantizationRefused(WbcError, ArithmeticError):
    """Raised when the quantized network lost its judgement; no bundle is written."""

    exit_code = 72
