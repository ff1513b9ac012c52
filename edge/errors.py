"""The one error tree: what went wrong, why, and what to do about it.

Every failure that wbc-edge expects has a class here, under :class:`WbcError` and under the built-in that
fits it, so that library users catch either. A command prints an error as one line and exits with the
class's ``exit_code``; codes are grouped by kind and never reused:

====== =====================================
code   kind
====== =====================================
2–9    usage, configuration
10–19  camera
20–29  image file
30–39  model bundle, runtime
40–49  journal
50–59  output folder, disk, the service
60–79  training and conversion
====== =====================================
"""

from __future__ import annotations

from typing import ClassVar


class WbcError(Exception):
    """Base of every failure that wbc-edge expects.

    Parameters
    ----------
    what : str
        What failed, in the user's words: the file, the camera, the bundle.
    why : str
        The cause, if known.
    remedy : str
        What the user can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        super().__init__(what, why, remedy)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        """Return the one line that a user sees."""
        line = self.what if not self.why else f"{self.what}: {self.why}"
        if self.remedy:
            line = f"{line.rstrip('.')}. {self.remedy}"
        return " ".join(line.split())


class ConfigurationError(WbcError, ValueError):
    """Raised when an option or setting has a value that cannot be used."""

    exit_code = 2


class ScaleError(WbcError, ValueError):
    """Raised when a pixel size is missing, or so wrong that no cell could be seen at it."""

    exit_code = 3


class ModelInUse(WbcError, PermissionError):
    """Raised when a model is to be removed that is in force, or that ships with wbc-edge."""

    exit_code = 4


class CalibrationRefused(WbcError, ValueError):
    """Raised when a calibration is damaged, or what is seen will not do to calibrate by."""

    exit_code = 5


class CameraError(WbcError, OSError):
    """Base of the failures of a camera or other source of frames."""

    exit_code = 10


class CameraNotFound(CameraError):
    """Raised when no camera answers to the given specification."""

    exit_code = 11


class CameraUnavailable(CameraError):
    """Raised when the software that a camera needs (picamera2, say) is not installed."""

    exit_code = 12


class CameraTimeout(CameraError, TimeoutError):
    """Raised when a camera did not deliver a frame, or did not open, within its time limit."""

    exit_code = 13


class CameraSettingRefused(CameraError, ValueError):
    """Raised when a camera reads back another setting than the one asked for."""

    exit_code = 14


class CameraLost(CameraError, ConnectionError):
    """Raised when a camera stopped answering and could not be reopened."""

    exit_code = 15


class ImageError(WbcError, ValueError):
    """Raised when a file is not an image that can be read whole and judged; the other files go on."""

    exit_code = 20


class NoImages(WbcError, FileNotFoundError):
    """Raised when a path names no image at all."""

    exit_code = 21


class BundleError(WbcError, ValueError):
    """Base of the failures of a model bundle."""

    exit_code = 30


class BundleNotFound(BundleError, FileNotFoundError):
    """Raised when there is no bundle of that name or path."""

    exit_code = 31


class BundleCorrupt(BundleError):
    """Raised when a bundle is truncated, altered, or does not hold what it says."""

    exit_code = 32


class BundleTooNew(BundleError):
    """Raised when a bundle was written by a later version of wbc-edge."""

    exit_code = 33


class SelfTestFailed(BundleError, ArithmeticError):
    """Raised when the model does not give its expected outputs on this device, or crashes or hangs there."""

    exit_code = 34


class BundleUntrusted(BundleError, PermissionError):
    """Raised when the device lists the keys it trusts, and a bundle is signed by none of them."""

    exit_code = 36


class NetworkNotFound(BundleError, LookupError):
    """Raised when a bundle has no network of the type asked for."""

    exit_code = 37


class InferenceFailed(BundleError, RuntimeError):
    """Raised when a model that was loaded and proven fails on a frame, or what it says are no numbers."""

    exit_code = 38


class GpuFailed(InferenceFailed):
    """Raised when the GPU crashes, hangs, gives an error, or is none; the processor goes on in its place."""

    exit_code = 39


class RuntimeUnavailable(WbcError, ImportError):
    """Raised when the inference runtime asked for is not installed or cannot load the model."""

    exit_code = 35


class JournalError(WbcError, OSError):
    """Base of the failures of the journal."""

    exit_code = 40


class JournalReadOnly(JournalError, PermissionError):
    """Raised when the journal cannot be written."""

    exit_code = 41


class JournalLocked(JournalError, TimeoutError):
    """Raised when another process held the journal longer than the time limit."""

    exit_code = 42


class JournalFull(JournalError):
    """Raised when the disk of the journal is full."""

    exit_code = 43


class JournalTooNew(JournalError):
    """Raised when the journal was written by a later version of wbc-edge."""

    exit_code = 44


class JournalCorrupt(JournalError):
    """Raised when the journal is damaged."""

    exit_code = 45


class RecordNotFound(JournalError, LookupError):
    """Raised when the journal holds no record of that number."""

    exit_code = 46


class JournalDiskFailed(JournalError):
    """Raised when the disk of the journal fails at a read or a write; the next try may succeed."""

    exit_code = 47


class JournalMoved(JournalError, FileNotFoundError):
    """Raised when the journal's file is no longer the one that was opened, or is gone and its log is not."""

    exit_code = 48


class OutputError(WbcError, OSError):
    """Raised when an output file or folder cannot be written."""

    exit_code = 50


class StorageFull(OutputError):
    """Raised when the disk has so little space left that no frame is captured any more."""

    exit_code = 51


class TriggerUnavailable(WbcError, OSError):
    """Raised when what shall ask for frames, such as a button, cannot be used on this device."""

    exit_code = 54


class ServiceUnavailable(WbcError, ConnectionError):
    """Raised when the service does not run, does not answer, or refuses what it was asked."""

    exit_code = 55


class DataError(WbcError, ValueError):
    """Raised when a manifest or its images cannot be trained on, or compared on."""

    exit_code = 60
