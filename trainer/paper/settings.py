"""Everything that decides what a comparison finds, besides the data."""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import ConfigurationError
from edge.vision import scale
from trainer import bounds
from trainer.networks import vgg16
from trainer.paper import lineup
from trainer.paper.protocols import PROTOCOLS


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what a comparison finds, besides the data.

    Attributes
    ----------
    systems : tuple of str
        Of :data:`trainer.paper.lineup.NAMES`.
    protocols : tuple of str
        Of :data:`trainer.paper.protocols.PROTOCOLS`.
    side_px : int
        Side of the pictures.
    um_per_px : float or None
        Physical scale; None resizes whole fields, as the paper does.
    folds : int
        Parts, each tested in turn; 4 is the paper's 75/25.
    steps, batch : int
        Optimizer steps of each network, and pictures a step.
    best : int
        Features kept by chi-square.
    weights : str
        Of VGG-16: ``"imagenet"``, ``"none"`` or a file.
    seed : int
        Seed of everything drawn.

    Raises
    ------
    ConfigurationError
        When a name is unknown, or the seed beyond its bounds.
    ScaleError
        When the scale is none of a microscope.
    """

    systems: tuple[str, ...] = lineup.SIX
    protocols: tuple[str, ...] = ("paper", "field", "group")
    side_px: int = 96
    um_per_px: float | None = None
    folds: int = 4
    steps: int = 1000
    batch: int = 16
    best: int = 100
    weights: str = vgg16.IMAGENET
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse now what would be refused after minutes."""
        for kind, asked, there in (
            ("system", self.systems, lineup.NAMES),
            ("protocol", self.protocols, tuple(PROTOCOLS)),
        ):
            unknown = [name for name in asked if name not in there]
            if unknown or not asked:
                name = unknown[0] if unknown else "none"
                raise ConfigurationError(f"{kind} {name!r}", f"there are {', '.join(there)}")
        # scikit-learn takes no larger one, and each fold adds to it.
        bounds.require(self, {"seed": (0, 2**31 - 1)})
        if self.um_per_px is not None:
            scale.check(self.um_per_px)
