"""Whether the service could work by a configuration, as far as that shows without opening anything."""

from __future__ import annotations

from pathlib import Path

from edge import camera
from edge.camera.decode import check_size
from edge.errors import ConfigurationError
from edge.model import shelf
from edge.settings import Config


def check(settings: Config, models: Path) -> None:
    """Refuse a configuration by which the service could never work.

    Whether a camera is attached, and whether a model is sound, shows when they are opened.

    Parameters
    ----------
    settings : Config
        All settings, of the file and of the environment: each by itself is within its bounds.
    models : Path
        The folder of the user's models.

    Raises
    ------
    CameraNotFound
        When there is no such kind of camera, or its kind cannot be asked for that.
    ConfigurationError
        When there is neither a camera nor a folder, the camera has an end, no field has that size, or the pixel size of
        images to come is not known.
    BundleNotFound
        When there is no model of that name.
    """
    if settings.camera == "none" and not settings.watch_folder:
        raise ConfigurationError(
            "camera none", "leaves the service nothing to do without a watch_folder", "Set both, or another camera"
        )
    if settings.camera not in ("", "none"):
        camera.check(settings.camera)
        if camera.parse_specification(settings.camera)[0] == "file":
            raise ConfigurationError(
                f"camera {settings.camera}", "has an end", "Set camera=none and watch_folder=FOLDER"
            )
    width_px, _, height_px = settings.size.partition("x")
    try:
        check_size(int(width_px), int(height_px))
    except ValueError as error:
        raise ConfigurationError(f"size {settings.size}", str(error), "`wbc-edge config set size=2560x1920`") from error
    if settings.watch_folder and settings.um_per_px is None:
        why = "has images of any pixel size, and um_per_px is not set"
        raise ConfigurationError(f"watch_folder {settings.watch_folder}", why, "`wbc-edge config set um_per_px=0.1`")
    if settings.model:
        shelf.find(settings.model, models)
