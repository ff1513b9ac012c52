"""What a conversion did to a network, for programs (``parity.json`` in the bundle) and for people (one HTML file)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from convert.activations import LayerError
from convert.graph import Size
from convert.parity import Budget, Comparison, Figures
from edge import RESEARCH_USE_ONLY, durable
from edge.errors import BundleCorrupt, OutputError
from edge.model.bundle import Bundle
from edge.model.description import Kind

WORST = 5
HELD_OUT = "held-out"
TRAINING = "training"
GIVEN = "given by --data"
"""Kinds of fields. Only those are called held-out of which a run says that it held them out."""

_AGAIN = "Convert it again"
_MANY_NOVEL = 0.05


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One way of making the int8 network.

    Attributes
    ----------
    what : str
        What was done.
    figures : Figures
        How it compares.
    refused : str
        What it lost beyond its budget; empty when it was taken.
    """

    what: str
    figures: Figures
    refused: str


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    """A type of the network.

    Attributes
    ----------
    size : Size
        How large it is.
    comparison : Comparison
        How it compares with the trained network.
    layers : tuple of LayerError
        What each of its layers lost, in the order of the network.
    not_accelerated : tuple of str
        Layers that a GPU does not run.
    """

    size: Size
    comparison: Comparison
    layers: tuple[LayerError, ...]
    not_accelerated: tuple[str, ...]


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How the types of a bundle compare with the network that was trained.

    Attributes
    ----------
    model : str
        Name and version.
    classes : tuple of str
        Class of each logit.
    kind_of_fields : str
        :data:`HELD_OUT`, :data:`TRAINING` or :data:`GIVEN`.
    whole_fields : bool
        Tiles of a field are together; else each counts as a field.
    trained : Comparison
        The trained network against itself: its own accuracy, area, calibration.
    types : dict of str to Converted
        Each type; float32 is always compared, whether or not it is in the bundle.
    packed : tuple of str
        The types in the bundle.
    budget : Budget
        What each may lose.
    tried : tuple of Tried
        How the int8 network was made, in order; the last one was taken.
    """

    model: str
    classes: tuple[str, ...]
    kind_of_fields: str
    whole_fields: bool
    trained: Comparison
    types: dict[Kind, Converted]
    packed: tuple[Kind, ...]
    budget: Budget
    tried: tuple[Tried, ...] = ()


def worst(converted: Converted) -> tuple[LayerError, ...]:
    """Name the layers of a type that lost most, the worst first."""
    return tuple(sorted(converted.layers, key=lambda layer: layer.sqnr_db)[:WORST])


def fields(parity: Parity) -> str:
    """Say on what a bundle was compared: ``285 held-out fields``, say."""
    unit = "fields" if parity.whole_fields else "tiles, each counted as a field"
    words = (unit, parity.kind_of_fields) if parity.kind_of_fields == GIVEN else (parity.kind_of_fields, unit)
    return f"{parity.trained.whole.fields} {' '.join(words)}"


def share(value: float | None) -> str:
    """Write a share as a percentage; one that was not measured as a dash."""
    return "–" if value is None else f"{100 * value:.2f}%"


def mended(parity: Parity) -> str:
    """Say how int8 was mended, and that its figures are of the fields it was chosen on; empty where it was not.

    No fields are set aside to choose on: a test part is a handful of groups, often one a class, so that half of it
    could be neither chosen on nor believed. The first attempt, plain int8, is measured before anything is chosen.
    """
    if len(parity.tried) < 2 or parity.tried[-1].refused:
        return ""
    plain, taken = parity.tried[0], parity.tried[-1]
    return (
        f"Plain int8 lost too much: same verdict on {share(plain.figures.agreement)}, same class on "
        f"{share(plain.figures.tile_agreement)} of tiles. It was mended: {taken.what}. Of the ways tried in turn this, "
        f"number {len(parity.tried) - 1}, is the first within the budget on these same fields: it is measured on what "
        "it was chosen on, so its agreement is a little optimistic."
    )


def warning(parity: Parity) -> str:
    """Say that a device refuses many of the fields, whatever their verdicts; empty where it does not."""
    most = max(parity.types[kind].comparison.whole.novel or 0.0 for kind in parity.packed)
    if most <= _MANY_NOVEL:
        return ""
    return (
        f"A device refuses {share(most)} of these fields as unlike any smear in training. Either they are, or that was "
        "measured on too few fields, or on others than the network was trained on."
    )


def encode(parity: Parity) -> bytes:
    """Write a report as JSON, UTF-8, for the bundle."""
    return msgspec.json.encode(parity)


def of(bundle: Bundle) -> Parity | None:
    """Read the report of a bundle.

    Parameters
    ----------
    bundle : Bundle
        As read.

    Returns
    -------
    Parity or None
        None where the bundle has none.

    Raises
    ------
    BundleCorrupt
        When it is none, or not of these networks.
    """
    if not bundle.parity:
        return None
    try:
        parity = msgspec.json.decode(bundle.parity, type=Parity)
    except msgspec.DecodeError as error:
        raise BundleCorrupt(f"bundle {bundle.path}", f"parity.json is no report: {error}", _AGAIN) from error
    if missing := {*bundle.networks, *parity.packed} - parity.types.keys():
        raise BundleCorrupt(f"bundle {bundle.path}", f"parity.json says nothing of {min(missing)}", _AGAIN)
    return parity


def html(parity: Parity) -> str:
    """Write a report as one self-contained HTML file.

    Parameters
    ----------
    parity : Parity
        The report.

    Returns
    -------
    str
        HTML.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("convert", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("parity.html").render(
        parity=parity,
        fields=fields(parity),
        worst=worst,
        share=share,
        mended=mended(parity),
        warning=warning(parity),
        notice=RESEARCH_USE_ONLY,
    )


def save(parity: Parity, path: Path) -> None:
    """Write a report beside its bundle; see :func:`html`.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    try:
        durable.write(path, html(parity).encode())
    except OSError as error:
        raise OutputError(
            f"report {path}", error.strerror or str(error), "Free some space, or choose another"
        ) from error
