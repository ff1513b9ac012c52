"""What a bundle says of itself: validated when read, so that nothing downstream meets a value it does not expect."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edge.errors import BundleCorrupt, BundleTooNew
from edge.verdict import Count, Decision, Share
from edge.vision.scale import LARGEST_UM_PER_PX, SMALLEST_UM_PER_PX

FORMAT = 2
"""Version of the bundle format that this wbc-edge writes, and the latest it reads."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"
"""What a model may be called, as a regular expression: it becomes part of files' names and of the journal."""

Name = Annotated[str, msgspec.Meta(pattern=NAME)]
Scale = Annotated[float, msgspec.Meta(ge=SMALLEST_UM_PER_PX, le=LARGEST_UM_PER_PX)]
Classes = Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]
NetworkFile = Annotated[str, msgspec.Meta(pattern=r"^network-[a-z0-9]+\.tflite\Z")]
Normalisation = Literal["clear-glass-240"]
Kind = Literal["int8", "float16", "float32", "dynamic"]
"""Type of a network: int8 throughout; float16 weights; float32; int8 weights whose activations are floats."""


class Tiling(msgspec.Struct, frozen=True, kw_only=True):
    """How tiles are cut from a field at the model's scale.

    Attributes
    ----------
    strategy : str
        ``"nuclei"``: a tile around each nucleus; ``"grid"``: a grid, empty tiles skipped.
    tile_px : int
        Side of a tile.
    overlap_px : int
        Least overlap of neighbours in a grid.
    most_tiles : int
        At most so many tiles of a frame are judged: of tiles around nuclei a systematic sample
        (:func:`edge.vision.tiling.sample`), of a grid those with most chromatin.
    least_chromatin : float
        Least share of chromatin in a tile of a grid, 0 to 1.
    """

    strategy: Literal["nuclei", "grid"]
    tile_px: Annotated[int, msgspec.Meta(ge=8, le=1024)]
    overlap_px: Annotated[int, msgspec.Meta(ge=0)] = 0
    most_tiles: Count = 32
    least_chromatin: Share = 0.03


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """Where the network comes from.

    Attributes
    ----------
    data : tuple of str
        Data sets, one phrase each, with their licences.
    licence : str
        What the network may be used for.
    held_out_groups : tuple of str
        Groups that neither training nor calibration saw.
    command : str
        The command that trained it.
    software : dict of str to str
        Versions of what trained and converted it.
    """

    data: tuple[str, ...]
    licence: str
    held_out_groups: tuple[str, ...] = ()
    command: str = ""
    software: dict[str, str] = {}


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a device must know of a model.

    Attributes
    ----------
    format : int
        Version of the bundle format.
    name, version, created : str
        Name and version of the model; date of its making (ISO 8601).
    classes : tuple of str
        Class of each logit, in the network's order.
    um_per_px : float
        Pixel size that the network was trained at.
    normalisation : str
        How colours are normalised before tiles are cut: ``"clear-glass-240"`` brings the clear glass of each field to
        level 240 in every channel (:mod:`edge.vision.balance`). A bundle that asks for another is refused.
    tiling : Tiling
        How tiles are cut.
    decision : Decision
        How tiles become a verdict.
    networks : dict of str to str
        File of the network of each type (``Kind``): ``{"int8": "network-int8.tflite"}``.
    training : Training
        Where it comes from.
    metrics : dict of str to float
        Figures on held-out data; the model card explains them.
    """

    format: Count
    name: Name
    version: str
    created: str
    classes: Classes
    um_per_px: Scale
    normalisation: Normalisation
    tiling: Tiling
    decision: Decision
    networks: Annotated[dict[Kind, NetworkFile], msgspec.Meta(min_length=1)]
    training: Training
    metrics: dict[str, float] = {}


class _FormatOnly(msgspec.Struct):
    format: int


def decode(text: bytes, source: str) -> Description:
    """Read a description and refuse what is not one.

    Parameters
    ----------
    text : bytes
        JSON, UTF-8.
    source : str
        What the user calls the bundle.

    Returns
    -------
    Description
        The validated description.

    Raises
    ------
    BundleTooNew
        When the format is later than ``FORMAT``.
    BundleCorrupt
        When a value is missing or out of its bounds.
    """
    try:
        found = msgspec.json.decode(text, type=_FormatOnly).format
        if found > FORMAT:
            raise BundleTooNew(
                f"bundle {source}",
                f"is of format {found}; this wbc-edge reads up to {FORMAT}",
                "Upgrade wbc-edge, or use a model made for this version",
            )
        description = msgspec.json.decode(text, type=Description)
    except msgspec.DecodeError as error:
        raise BundleCorrupt(f"bundle {source}", f"its description is not valid: {error}") from error
    if len(set(description.classes)) != len(description.classes) or "indeterminate" in description.classes:
        raise BundleCorrupt(f"bundle {source}", f"its classes are not distinct verdicts: {description.classes}")
    decision = description.decision
    if not len(decision.bias) == len(decision.pseudo_counts) == len(description.classes):
        raise BundleCorrupt(f"bundle {source}", "its decision has not one bias and pseudo-count a class")
    if description.tiling.overlap_px >= description.tiling.tile_px:
        raise BundleCorrupt(f"bundle {source}", "its tiles overlap by a whole tile or more")
    return description


def encode(description: Description) -> bytes:
    """Write a description as JSON, UTF-8, indented for people.

    Parameters
    ----------
    description : Description
        The description.

    Returns
    -------
    bytes
        JSON text.
    """
    return msgspec.json.format(msgspec.json.encode(description), indent=2)
