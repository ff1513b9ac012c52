"""The contact sheet: the most certain, the least certain and the wrong fields, and where the network saw it.

Fields are shown finer than the network sees them, as far as they were taken so, since a haematologist judges chromatin
and granules; and the tint is weak, since they judge the stain too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import WbcError
from edge.frame import Pixels
from edge.model.description import Tiling
from edge.vision import nuclei, tiling
from edge.vision.field import prepare
from edge.vision.overlay import COLOURS_BGR
from trainer import explain, pictures
from trainer.evaluate import Judged
from trainer.figures import Decided
from trainer.manifest import LabelledField

EACH = 6
"""Fields of each row."""

BAR_UM = 10
"""Length of the scale bar."""

_WIDTH_PX = 480
_HEAT = 0.3
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
    judged, probabilities = shown.judged, shown.decided.probabilities
    called = probabilities.argmax(axis=1)
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    # Where there is no cell the network saw nothing.
    order = order[np.array([evidence.tiles > 0 for evidence in judged.evidence])[order]]
    right = order[(called == judged.labels)[order]]
    chosen = {
        f"most certain of {label}, a group once": _first_of_each_group(right[called[right] == number], judged)[:EACH]
        for number, label in enumerate(judged.classes)
    }
    chosen["least certain"] = order[::-1][:EACH]
    chosen["wrong, the most certain first"] = order[(called != judged.labels)[order]][: 2 * EACH]
    by_name = {source.name: source for source in shown.sources}
    drawn = {
        name: [
            picture
            for field in fields.tolist()
            if (picture := _picture(shown, field, probabilities[field], by_name, um_per_px, tile_px))
        ]
        for name, fields in chosen.items()
    }
    return [(name, found) for name, found in drawn.items() if found]


def _first_of_each_group(fields: NDArray[np.int64], judged: Judged) -> NDArray[np.int64]:
    """Of fields in order keep the first of each group: six of one slide show no more than one does."""
    return fields[np.sort(np.unique(judged.groups[fields], return_index=True)[1])]


def _picture(
    shown: Shown,
    field: int,
    probabilities: NDArray[np.float64],
    by_name: dict[str, LabelledField],
    um_per_px: float,
    tile_px: int,
) -> Picture | None:
    judged, source = shown.judged, by_name[str(shown.judged.names[field])]
    try:
        taken = pictures.read(source)
        prepared = prepare(taken, source.um_per_px, um_per_px)
        fine_um_per_px = max(source.um_per_px, taken.shape[1] * source.um_per_px / _WIDTH_PX)
        fine = prepare(taken, source.um_per_px, fine_um_per_px).pixels
    except WbcError:
        # Gone since it was trained on: the figures stand without it.
        return None
    centres = nuclei.find(prepared.pixels, um_per_px, prepared.inside).centres
    most = Tiling(strategy="nuclei", tile_px=tile_px).most_tiles
    corners = tiling.around(centres[tiling.sample(len(centres), most)], tile_px)
    called = int(probabilities.argmax())
    network = shown.networks[int(shown.judges[field])]
    maps = explain.activation_maps(network, tiling.cut(prepared.pixels, corners, tile_px))
    if maps is not None:
        height, width = prepared.pixels.shape[:2]
        fine = tinted(fine, heat(width, height, corners, tile_px, maps[..., called]), called)
    caption = (
        f"{judged.classes[judged.labels[field]]}, {judged.labs[field]}: verdict {shown.decided.verdicts[field]} "
        f"({judged.classes[called]} {100 * probabilities[called]:.0f}%"
    )
    caption += ")" if shown.decided.novelty is None else f", novelty {shown.decided.novelty[field]:.2f})"
    barred = with_scale_bar(fine, fine_um_per_px)
    jpeg = cv2.imencode(".jpg", barred, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
    return Picture(jpeg, caption, source.path.name)


def heat(
    width: int, height: int, corners: tiling.Corners, tile_px: int, maps: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Lay the maps of a field's tiles over it; each fades towards its edges, so that none shows them.

    Parameters
    ----------
    width, height : int
        Size of the field, pixels.
    corners : ndarray
        Shape (n, 2), int32, of the tiles.
    tile_px : int
        Side of a tile.
    maps : ndarray
        Shape (n, rows, columns), float32, of the class; what speaks against it is left out.

    Returns
    -------
    ndarray
        Shape (height, width), float32, 0 to 1: the most that a tile says there, in shares of the most in the field.
    """
    # A margin of a tile, so that tiles that reach beyond the edge need no care.
    laid = np.zeros((height + 2 * tile_px, width + 2 * tile_px), np.float32)
    # Zero just outside the tile, at its middle one.
    along = np.sqrt(np.hanning(tile_px + 2)[1:-1]).astype(np.float32)
    window = np.outer(along, along)
    for (x, y), found in zip(corners.tolist(), maps, strict=True):
        place = laid[y + tile_px : y + 2 * tile_px, x + tile_px : x + 2 * tile_px]
        place[:] = np.maximum(place, window * cv2.resize(found, (tile_px, tile_px), interpolation=cv2.INTER_CUBIC))
    laid = laid[tile_px:-tile_px, tile_px:-tile_px]
    return np.asarray(laid / max(float(laid.max()), 1e-6))


def tinted(pixels: Pixels, heat: NDArray[np.float32], called: int) -> Pixels:
    """Tint a field by how much each place speaks for a class.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR; not changed.
    heat : ndarray
        float32, 0 to 1, of the same field at any resolution.
    called : int
        The class, for its colour.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR.
    """
    fine = cv2.resize(heat, (pixels.shape[1], pixels.shape[0]), interpolation=cv2.INTER_LINEAR)
    strength = _HEAT * fine[..., None]
    colour = np.array(COLOURS_BGR[called % len(COLOURS_BGR)], np.float32)
    return np.asarray(np.rint((1 - strength) * pixels + strength * colour), np.uint8)


def with_scale_bar(pixels: Pixels, um_per_px: float) -> Pixels:
    """Draw a bar of ``BAR_UM``, black and rimmed with white, into the lower left corner.

    Parameters
    ----------
    pixels : ndarray
        Shape (height, width, 3), uint8, BGR; not changed.
    um_per_px : float
        Pixel size, micrometres.

    Returns
    -------
    ndarray
        Shape (height, width, 3), uint8, BGR.
    """
    picture = pixels.copy()
    height, width = picture.shape[:2]
    thick = max(2, width // 120)
    left, bottom = 2 * thick, height - 2 * thick
    right, top = left + round(BAR_UM / um_per_px), bottom - thick
    picture[max(0, top - 1) : bottom + 1, left - 1 : right + 1] = 255
    picture[max(0, top) : bottom, left:right] = 0
    return picture
