"""The simulator's parameters: what is refused, and what random smears are like."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge.errors import ConfigurationError
from edge.simulator import Smear, Stain, random_smear, random_stain


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "AML"),
        ("size_px", (0, 10)),
        ("size_px", (10, 10_001)),
        ("size_px", (10.5, 10)),
        ("size_px", (10,)),
        ("um_per_px", 0.0),
        ("um_per_px", 1.5),
        ("um_per_px", math.nan),
        ("um_per_px", None),
        ("white_cells", -1.0),
        ("white_cells", 1e9),
        ("red_cells", -1.0),
        ("debris", math.inf),
        ("illumination", 1.01),
        ("defocus_um", -0.1),
        ("noise", 65.0),
        ("exposure", -1.0),
        ("white_balance", (0.0, 1.0)),
        ("white_balance", (1.0,)),
        ("round_field", 0.0),
    ],
)
def test_values_out_of_range_are_refused_in_one_line_that_names_them(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Smear(**{name: value})
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("density", [(0.1, 0.2), (0.1, 0.2, -0.1), (0.1, 0.2, 3.1), (0.1, 0.2, math.nan)])
def test_a_stain_needs_three_optical_densities(density: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="red_cell"):
        Stain(red_cell=density)  # type: ignore[arg-type]


def test_random_smears_repeat_with_the_seed_and_vary_without() -> None:
    first, again, other = (random_smear(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_what_is_fixed_stays_and_leaves_the_rest_as_it_fell() -> None:
    free = random_smear(np.random.default_rng(3), "MM")
    fixed = random_smear(np.random.default_rng(3), "MM", um_per_px=0.25, size_px=(64, 48), noise=0.0)
    assert fixed == replace(free, um_per_px=0.25, size_px=(64, 48), noise=0.0)


def test_random_smears_come_in_every_kind() -> None:
    rng = np.random.default_rng(0)
    assert {random_smear(rng).kind for _ in range(30)} == {"ALL", "MM", "normal"}


@pytest.mark.parametrize("fixed", [{"colour": "red"}, {"noise": -1.0}])
def test_fixing_an_unknown_or_impossible_parameter_is_refused(fixed: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        random_smear(np.random.default_rng(0), **fixed)


def test_in_every_random_stain_chromatin_absorbs_most_and_green_most_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        stain = random_stain(rng)
        blue, green, red = stain.nucleus
        assert green > red > 0
        assert green > blue
        assert green > max(stain.cytoplasm[1], stain.red_cell[1], stain.film[1])
