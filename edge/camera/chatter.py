"""What image decoders write to standard error: kept from the user, read as evidence.

libjpeg and libpng report damage only by a line on the process's standard error, past Python and past
OpenCV's log level, and hand over the half-gray picture all the same.
"""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager

import cv2

from edge import chatter

_LOG_LEVEL_ERROR = 2
_DECODERS = re.compile(
    rb"^(?:Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|Invalid SOS|Unknown Adobe|"
    # What OpenCV checks in vain, it goes on about in lines of their own.
    rb"Warning: unknown JFIF|libpng |imdecode_|\[ ?(?:ERROR|WARN|INFO):).*\n*(?:(?:>.*|where)\n*)*",
    re.MULTILINE,
)
_HARMLESS = re.compile(r"extraneous bytes before marker|libpng warning|unknown JFIF|Unknown Adobe|\[ ?(?:WARN|INFO)")


def decoder_messages() -> AbstractContextManager[list[str]]:
    """Collect what image decoders write to standard error; see :func:`edge.chatter.native_messages`."""
    return chatter.native_messages(_DECODERS)


def tells_damage(messages: list[str]) -> bool:
    """Tell whether decoders' messages mean that pixels are missing or wrong."""
    return any(not _HARMLESS.search(message) for message in messages)


def only_errors() -> None:
    """Keep OpenCV's warnings about devices to itself; we raise what they are about.

    Who set ``OPENCV_LOG_LEVEL`` wants to see them.
    """
    if "OPENCV_LOG_LEVEL" not in os.environ:
        logging = getattr(cv2.utils, "logging", cv2)  # it moved after OpenCV 4
        logging.setLogLevel(_LOG_LEVEL_ERROR)
