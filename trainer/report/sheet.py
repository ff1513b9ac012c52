"""The contact sheet: the most certain, the least certain and the wrong fields, and where the network saw it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import WbcError
from edge.frame import Pixels
from edge.vision import nuclei, tiling
from edge.vision.field import prepare
from edge.vision.overlay import COLOURS_BGR
from trainer import explain, pictures
from trainer.evaluate import Judged
from trainer.figures import Decided
from trainer.manifest import LabelledField

EACH = 6
"""Fields of each row."""

_WIDTH_PX = 320
_HEAT = 0.55
_JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A part of a data set as the networks saw it.

    Attributes
    ----------
    name : str
        Name of the part, as in the report.
    judged : Judged
        Its fields.
    decided : Decided
        What was decided on each of them.
    networks : tuple
        The networks that judged it.
    judges : ndarray
        Shape (fields,), int64, which of them judged each field.
    sources : tuple of LabelledField
        Fields of the data set, the part's among them.
    """

    name: str
    judged: Judged
    decided: Decided
    networks: tuple[Any, ...]
    judges: NDArray[np.int64]
    sources: tuple[LabelledField, ...]


class Picture(NamedTuple):
    """A field of the sheet.

    Attributes
    ----------
    jpeg : bytes
        The field with the overlay.
    caption : str
        What it is, and what it was called.
    path : str
        Its file.
    """

    jpeg: bytes
    caption: str
    path: str


def rows(shown: Shown, um_per_px: float, tile_px: int) -> list[tuple[str, list[Picture]]]:
    """Choose fields and draw them.

    Parameters
    ----------
    shown : Shown
        The part.
    um_per_px : float
        The model's scale.
    tile_px : int
        Side of its tiles.

    Returns
    -------
    list of (str, list of Picture)
        Name and fields of each row; a row without fields is left out.
    """
    probabilities = shown.decided.probabilities
    called = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    # Where there is no cell the network saw nothing.
    order = order[np.array([evidence.tiles > 0 for evidence in shown.judged.evidence])[order]]
    right = (called == shown.judged.labels)[order]
    chosen = {
        "most certain": order[right][:EACH],
        "least certain": order[::-1][:EACH],
        "wrong, the most certain first": order[~right][: 2 * EACH],
    }
    by_path = {str(source.path): source for source in shown.sources}
    drawn = {
        name: [
            picture
            for field in fields.tolist()
            if (picture := _picture(shown, field, probabilities[field], by_path, um_per_px, tile_px))
        ]
        for name, fields in chosen.items()
    }
    return [(name, found) for name, found in drawn.items() if found]


def _picture(
    shown: Shown,
    field: int,
    probabilities: NDArray[np.float64],
    by_path: dict[str, LabelledField],
    um_per_px: float,
    tile_px: int,
) -> Picture | None:
    judged, path = shown.judged, str(shown.judged.paths[field])
    try:
        source = by_path[path]
        prepared = prepare(pictures.read(source), source.um_per_px, um_per_px)
    except WbcError:
        # Gone since it was trained on: the figures stand without it.
        return None
    centres = nuclei.find(prepared.pixels, um_per_px, prepared.inside).centres
    corners = tiling.around(centres, tile_px)
    called = int(probabilities.argmax())
    network = shown.networks[int(shown.judges[field])]
    maps = explain.activation_maps(network, tiling.cut(prepared.pixels, corners, tile_px))
    overlaid = (
        prepared.pixels if maps is None else overlay(prepared.pixels, corners, tile_px, maps[..., called], called)
    )
    caption = (
        f"{judged.classes[judged.labels[field]]}, {judged.labs[field]}: called {judged.classes[called]} "
        f"{100 * probabilities[called]:.0f}%"
    )
    if shown.decided.novelty is not None:
        caption += f", novelty {shown.decided.novelty[field]:.2f}"
    scale = _WIDTH_PX / overlaid.shape[1]
    small = cv2.resize(overlaid, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
    return Picture(jpeg, caption, Path(path).name)


def overlay(pixels: Pixels, corners: tiling.Corners, tile_px: int, maps: NDArray[np.float32], called: int) -> Pixels:
    """Tint a field by how much each place speaks for a class.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR; not changed.
    corners : ndarray
        Shape (n, 2), int32, of the tiles.
    tile_px : int
        Side of a tile.
    maps : ndarray
        Shape (n, rows, columns), float32, of the class; what speaks against it is not shown.
    called : int
        The class, for its colour.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR.
    """
    height, width = pixels.shape[:2]
    # A margin of a tile, so that tiles that reach beyond the edge need no care.
    heat = np.zeros((height + 2 * tile_px, width + 2 * tile_px), np.float32)
    for (x, y), found in zip(corners.tolist(), maps, strict=True):
        place = heat[y + tile_px : y + 2 * tile_px, x + tile_px : x + 2 * tile_px]
        place[:] = np.maximum(place, cv2.resize(found, (tile_px, tile_px), interpolation=cv2.INTER_CUBIC))
    heat = heat[tile_px:-tile_px, tile_px:-tile_px]
    strength = _HEAT * (heat / max(float(heat.max()), 1e-6))[..., None]
    colour = np.array(COLOURS_BGR[called % len(COLOURS_BGR)], np.float32)
    return np.asarray(np.rint((1 - strength) * pixels + strength * colour), np.uint8)
