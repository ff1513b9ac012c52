"""Fields of a manifest as small square pictures, as the paper's systems see them, and where their background is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import WbcError
from edge.frame import Pixels
from edge.vision import nuclei, scale
from edge.vision.field import prepare
from trainer import manifest, pictures
from trainer.cells import MOST_UNREADABLE
from trainer.errors import DataError
from trainer.manifest import LabelledField

NUCLEI_UM_PER_PX = 0.5
"""Scale at which nuclei are looked for, so that they can be masked."""

CELL_RIM_UM = 2.0
"""How far around a nucleus nothing is background: cytoplasm, and the blur of the lens."""

AS_TAKEN = "as taken"


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Square pictures of fields; one row a picture, of which a field may have several.

    Attributes
    ----------
    pixels : ndarray
        Shape (n, side, side, 3), uint8, BGR.
    background : ndarray
        Shape (n, side, side), bool, True where there is neither nucleus nor rim of a cell.
    labels : ndarray
        Shape (n,), int64, index into ``classes``.
    fields : ndarray
        Shape (n,), int64, index into ``sources``.
    variants : ndarray
        Shape (n,), str, ``"as taken"`` or what augmentation made of it.
    classes : tuple of str
        Class names.
    sources : tuple of LabelledField
        The fields that were read.
    unreadable : tuple of str
        Why the others were not, a line each.
    """

    pixels: NDArray[np.uint8]
    background: NDArray[np.bool_]
    labels: NDArray[np.int64]
    fields: NDArray[np.int64]
    variants: NDArray[np.str_]
    classes: tuple[str, ...]
    sources: tuple[LabelledField, ...]
    unreadable: tuple[str, ...] = ()

    @property
    def groups(self) -> NDArray[np.str_]:
        """Group of the field of each picture, shape (n,)."""
        return np.array([source.group for source in self.sources])[self.fields]

    @property
    def labs(self) -> NDArray[np.str_]:
        """Laboratory of the field of each picture, shape (n,)."""
        return np.array([source.lab for source in self.sources])[self.fields]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Pictures:
        """Return the chosen pictures only; ``chosen`` is a mask of shape (n,), or indices."""
        return replace(
            self,
            pixels=self.pixels[chosen],
            background=self.background[chosen],
            labels=self.labels[chosen],
            fields=self.fields[chosen],
            variants=self.variants[chosen],
        )


def read(
    sources: Sequence[LabelledField],
    classes: tuple[str, ...],
    side_px: int,
    um_per_px: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Pictures:
    """Read fields as square pictures; only a field's region of interest is looked at, so borders are gone.

    The paper resizes whole fields to one square whatever their pixel size, and that is the default here. A class that
    comes from one microscope then differs from the others in magnification, squeeze and sharpness too. With
    ``um_per_px`` a field is brought to one physical scale and white balance by the device's own preparation
    (:func:`edge.vision.field.prepare`), and the square in its middle is taken.

    Parameters
    ----------
    sources : sequence of LabelledField
        The data set.
    classes : tuple of str
        Class names; every label is one of them.
    side_px : int
        Side of the pictures.
    um_per_px : float, optional
        Physical scale, micrometres; None resizes the whole field.
    progress : callable
        Called with the number of fields done.

    Returns
    -------
    Pictures
        One a readable field, in order.

    Raises
    ------
    DataError
        When a file is missing, over 2% of the pictures are unreadable, or a class has no readable one.
    ScaleError
        When the scale is none of a microscope.
    """
    if um_per_px is not None:
        scale.check(um_per_px)
    manifest.require_files(sources)
    read_: list[LabelledField] = []
    unreadable: list[str] = []
    pixels, backgrounds = [], []
    for done, source in enumerate(sources, start=1):
        progress(done)
        try:
            picture = pictures.read(source)
            square, background = _square(source, picture, side_px, um_per_px)
        except WbcError as error:
            unreadable.append(str(error))
            continue
        read_.append(source)
        pixels.append(square)
        backgrounds.append(background)
    if len(unreadable) > MOST_UNREADABLE * len(sources):
        raise DataError(f"{len(unreadable)} of {len(sources)} pictures", f"unreadable, the first: {unreadable[0]}")
    missing = sorted(set(classes) - {source.label for source in read_})
    if missing:
        raise DataError(f"class {missing[0]!r}", "has no field that can be read")
    return Pictures(
        np.stack(pixels),
        np.stack(backgrounds),
        np.array([classes.index(source.label) for source in read_], np.int64),
        np.arange(len(read_)),
        np.full(len(read_), AS_TAKEN),
        classes,
        tuple(read_),
        tuple(unreadable),
    )


def _square(
    source: LabelledField, picture: Pixels, side_px: int, um_per_px: float | None
) -> tuple[Pixels, NDArray[np.bool_]]:
    background = _background(source, picture)
    if um_per_px is None:
        return _resized(picture, side_px), _resized(background, side_px) > 127
    scaled = prepare(picture, source.um_per_px, um_per_px).pixels
    background = cv2.resize(background, scaled.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    return _middle(scaled, side_px), _middle(background, side_px) > 127


def _resized(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    shrinks = min(image.shape[:2]) > side_px
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (side_px, side_px), interpolation=method).astype(np.uint8, copy=False)


def _middle(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Cut the square in the middle; what a smaller field lacks is mirrored, so that no margin tells the laboratory."""
    lacking = [max(0, side_px - length) for length in image.shape[:2]]
    if any(lacking):
        (top, left) = (lack // 2 for lack in lacking)
        bottom, right = lacking[0] - top, lacking[1] - left
        image = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REFLECT).astype(np.uint8, copy=False)
    y, x = ((length - side_px) // 2 for length in image.shape[:2])
    return image[y : y + side_px, x : x + side_px]


def _background(source: LabelledField, picture: Pixels) -> NDArray[np.uint8]:
    """Find what is no cell, 255 there: by the field's own mask of nuclei, else by the device's search for them."""
    coarse = max(NUCLEI_UM_PER_PX, source.um_per_px)
    if source.nucleus_mask is not None:
        height, width = picture.shape[:2]
        size = max(1, round(width * source.um_per_px / coarse)), max(1, round(height * source.um_per_px / coarse))
        nuclear = cv2.resize(pictures.read_mask(source, source.nucleus_mask), size, interpolation=cv2.INTER_NEAREST)
    else:
        prepared = prepare(picture, source.um_per_px, coarse)
        nuclear = nuclei.find(prepared.pixels, coarse, prepared.inside).mask
    reach = 2 * max(1, round(CELL_RIM_UM / coarse)) + 1
    cells = cv2.dilate(nuclear, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return np.where(cells > 0, np.uint8(0), np.uint8(255))
