"""The recipes that are compared: the given one, and those that differ from it in one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from trainer.settings import Settings

GIVEN = "as-given"
STOPPED = "stopped-early"

Change = Callable[[Settings], Settings]


class Variant(NamedTuple):
    """A recipe that differs from the given one in one thing.

    Attributes
    ----------
    name : str
        Its name on the command line and of its file.
    title : str
        What it is, for the table.
    change : callable
        From the given settings to its own.
    """

    name: str
    title: str
    change: Change


def _with(**values: Any) -> Change:
    return lambda settings: replace(settings, **values)


def _augmented(**values: float) -> Change:
    return lambda settings: replace(settings, augmentation=replace(settings.augmentation, **values))


VARIANTS = (
    Variant("no-restaining", "without restaining", _augmented(restain=0.0)),
    Variant("no-drawn-fields", "without drawn fields", _with(simulate=0)),
    Variant("no-averaging", "without weight averaging", _with(weight_averaging=0.0)),
    Variant("no-density-jitter", "without jitter of optical density", _augmented(density_jitter=0.0, gamma=0.0)),
    Variant("no-blur", "without blur and sharpening", _augmented(blur_px=0.0)),
    Variant("no-gray", "without loss of colour", _augmented(gray=0.0)),
    Variant("no-label-smoothing", "without label smoothing", _with(label_smoothing=0.0)),
    Variant(
        "no-colour-augmentation",
        "without restaining, jitter and loss of colour",
        _augmented(restain=0.0, density_jitter=0.0, gamma=0.0, gray=0.0),
    ),
    Variant("no-zoom", "without change of size", _augmented(zoom=0.0)),
)
"""What is taken away from the given recipe, the most telling first."""


def lineup(seeds: Sequence[int], stop_on: Sequence[str]) -> list[Variant]:
    """List the variants in the order in which they are measured.

    Parameters
    ----------
    seeds : sequence of int
        Seeds that the given recipe is trained with besides its own: what differs between them is noise.
    stop_on : sequence of str
        What early stopping watches; without any that variant is not there.

    Returns
    -------
    list of Variant
        The given recipe first.
    """
    given = [Variant(GIVEN, "as given", lambda settings: settings)]
    again = [Variant(seeded(seed), f"as given, seed {seed}", _with(seed=seed)) for seed in seeds]
    stopped = [Variant(STOPPED, f"stopped early on {', '.join(stop_on)}", _with(stop_on=tuple(stop_on)))]
    first, *others = VARIANTS
    return [*given, *again, first, *(stopped if stop_on else []), *others]


def seeded(seed: int | str) -> str:
    """Name the variant that is the given recipe trained from another seed, or the pattern of such names."""
    return f"seed-{seed}"
