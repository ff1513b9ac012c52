"""Sources of frames: microscope cameras, the simulated microscope, files.

A source is named by a specification, ``scheme[:argument]``:

======================== ==========================================================================
``sim``                  the simulated microscope: fields of ALL
``sim:MM,seed=3``        another kind (``ALL``, ``MM``, ``normal``, ``mixed``), seed or imaging fault
``picamera2:0``          camera 0 of a Raspberry Pi
``v4l2:/dev/video0``     a USB camera
``file:PATH-OR-GLOB``    an image, a folder with all below it, a pattern, a video
======================== ==========================================================================

A further back end is one module with ``open_camera(argument, settings)`` and one ``register`` line below.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from edge.camera.attached import attached_cameras
from edge.camera.base import Camera, CameraSettings, EndOfFrames
from edge.errors import CameraNotFound

__all__ = [
    "Camera",
    "CameraSettings",
    "EndOfFrames",
    "attached_cameras",
    "check",
    "device",
    "open_camera",
    "parse_specification",
    "register",
    "schemes",
]

Factory = Callable[[str, CameraSettings], Camera]
"""Opens a camera from its specification's argument (may be empty) and the settings."""

Check = Callable[[str], None]
"""Refuses an argument by which no camera could be opened, and opens none."""


def any_argument(argument: str) -> None:
    """Refuse none: what is there shows when it is opened."""


_factories: dict[str, tuple[Factory, str, Check]] = {}


def register(scheme: str, factory: Factory, example: str, check: Check = any_argument) -> None:
    """Add a back end, or replace the one of the same scheme.

    Parameters
    ----------
    scheme : str
        What specifications begin with.
    factory : callable
        Called with the specification's argument and the ``CameraSettings``; returns an open ``Camera``.
    example : str
        A specification to show to the user who got one wrong.
    check : callable
        Called with the specification's argument; raises a ``CameraNotFound`` or ``ConfigurationError``.
    """
    _factories[scheme] = (factory, example, check)


def schemes() -> tuple[str, ...]:
    """Name the schemes that specifications can begin with."""
    return tuple(_factories)


def parse_specification(specification: str) -> tuple[str, str]:
    """Split ``scheme[:argument]``.

    Returns
    -------
    tuple of str
        Scheme and argument; the argument is empty when there is none, and may itself hold colons.

    Raises
    ------
    CameraNotFound
        When no back end has that scheme.
    """
    scheme, _, argument = specification.strip().partition(":")
    if scheme not in _factories:
        possible = ", ".join(example for _, example, _ in _factories.values())
        raise CameraNotFound(f"Camera {specification!r}", "no such kind of camera", f"Possible are {possible}")
    return scheme, argument


def check(specification: str) -> None:
    """Refuse a specification by which no camera could be opened anywhere; none is opened.

    Raises
    ------
    CameraNotFound
        When no back end has that scheme, or its back end knows nothing of that argument.
    ConfigurationError
        When a number in the argument is outside its range.
    """
    scheme, argument = parse_specification(specification)
    _factories[scheme][2](argument)


def device(specification: str) -> str:
    """Name the camera of a specification without what lies under it, which only the simulated microscope is told.

    Parameters
    ----------
    specification : str
        Such as ``v4l2:/dev/video0``, or ``sim:MM,seed=3``, whose camera is ``sim``.

    Raises
    ------
    CameraNotFound
        When no back end has that scheme.
    """
    scheme, _ = parse_specification(specification)
    return scheme if scheme == "sim" else specification


def open_camera(specification: str, settings: CameraSettings) -> Camera:
    """Open the camera or other source of frames that a specification names.

    Parameters
    ----------
    specification : str
        ``scheme[:argument]``, see the module's documentation.
    settings : CameraSettings
        What is asked of the camera.

    Returns
    -------
    Camera
        Open, ready to be read; it has no time limits of its own, see :class:`edge.camera.guard.GuardedCamera`.

    Raises
    ------
    CameraError
        When there is no such camera, or it does not open.
    NoImages
        When a path names no image.
    ScaleError
        When the source cannot know its pixel size and none was given.
    """
    scheme, argument = parse_specification(specification)
    return _factories[scheme][0](argument, settings)


def _in_module(name: str) -> Factory:
    """Defer the import of a back end, which may be slow or impossible here, until it is asked for."""

    def factory(argument: str, settings: CameraSettings) -> Camera:
        camera: Camera = importlib.import_module(name).open_camera(argument, settings)
        return camera

    return factory


def _check_in_module(name: str) -> Check:
    def check(argument: str) -> None:
        importlib.import_module(name).check(argument)

    return check


register("sim", _in_module("edge.camera.sim"), "sim:MM", _check_in_module("edge.camera.sim"))
register("picamera2", _in_module("edge.camera.pi"), "picamera2:0", _check_in_module("edge.camera.pi"))
register("v4l2", _in_module("edge.camera.v4l2"), "v4l2:/dev/video0")
register("file", _in_module("edge.camera.file"), "file:PATH-OR-GLOB")
