"""The simulated microscope as a camera: runs and demonstrates everything without hardware."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

from edge.camera.base import CameraSettings, stamp
from edge.errors import CameraNotFound
from edge.frame import Frame, Pixels, SensorReport
from edge.simulator import Smear, SmearKind, draw, glass, micrometer

MIXED = "mixed"
"""The kind that takes turns through all of them; no patient has such a smear."""

SLIDES: dict[str, Callable[[Smear, int], Pixels]] = {"glass": glass, "micrometer": micrometer}
"""What else can lie under the microscope: an empty field, and a scale of lines 10 um apart."""

EXPOSURE_US = 10_000.0
"""What the simulated sensor calls the right exposure."""

_KINDS: tuple[SmearKind, ...] = get_args(SmearKind)
_NUMBERS = tuple(
    each.name
    for each in fields(Smear)
    if each.name not in ("kind", "size_px", "um_per_px", "stain", "white_balance", "brightest")
)
_PAIRS = ("white_balance", "brightest")
_FIELDS_PER_SEED = 1_000_000


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """What ``sim:KIND,option=value,...`` asks for.

    Attributes
    ----------
    kind : str
        ``ALL``, ``MM``, ``normal`` or ``mixed``; or ``glass`` or ``micrometer``.
    seed : int
        Which sample: frame n of it is drawn with seed * 1,000,000 + n, the number in the frame's name.
    smear : dict
        Attributes of :class:`edge.simulator.Smear`, such as ``defocus_um``.
    """

    kind: str = "ALL"
    seed: int = 0
    smear: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the argument that asks for this again."""
        options = {"seed": str(self.seed)} if self.seed else {}
        for name, value in self.smear.items():
            options[name] = "/".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
        return ",".join([self.kind, *(f"{name}={value}" for name, value in options.items())])


def parse_options(argument: str) -> SimulationOptions:
    """Read ``[KIND][,option=value...]``.

    Options are ``seed`` and the numbers of :class:`edge.simulator.Smear`, ``white_balance`` as red/blue; size and
    pixel size are the camera settings' affair.

    Raises
    ------
    CameraNotFound
        When the kind or an option is unknown or given twice, or a value is no number; ranges are checked when drawing.
    """
    wrong = f"Camera 'sim:{argument}'"
    first, *rest = argument.split(",")
    if "=" in first:
        first, rest = "", [first, *rest]
    kind = first.strip() or "ALL"
    kinds = (*_KINDS, MIXED, *SLIDES)
    if kind not in kinds:
        raise CameraNotFound(wrong, f"no kind of smear {kind!r}", f"Kinds are {', '.join(kinds)}")
    options: dict[str, Any] = {}
    for option in rest:
        name, _, text = (part.strip() for part in option.partition("="))
        if name not in ("seed", *_PAIRS, *_NUMBERS):
            possible = ", ".join(("seed", *_PAIRS, *_NUMBERS))
            raise CameraNotFound(wrong, f"no option {name!r}", f"Options are {possible}")
        if name in options:
            raise CameraNotFound(wrong, f"{name} is given twice")
        try:
            options[name] = _value(name, text)
        except ValueError as error:
            raise CameraNotFound(wrong, f"{name}={text}: {error}") from error
    return SimulationOptions(kind, options.pop("seed", 0), options)


def check(argument: str) -> None:
    """Refuse what cannot be simulated; see :func:`parse_options` and :class:`SimulatedCamera`."""
    open_camera(argument, CameraSettings())


def open_camera(argument: str, settings: CameraSettings) -> SimulatedCamera:
    """Open ``sim:MM,seed=3``; without an argument fields of ALL."""
    return SimulatedCamera(parse_options(argument), settings)


class SimulatedCamera:
    """Draws a new field for every frame, each time the same sequence; takes about half a second a field.

    Parameters
    ----------
    options : SimulationOptions
        What is on the slide and how it is seen.
    settings : CameraSettings
        Size of the frames; ``um_per_px`` is 0.1 when not given.

    Raises
    ------
    ConfigurationError
        When a number is outside its range.
    """

    finite = False

    def __init__(self, options: SimulationOptions, settings: CameraSettings) -> None:
        self.name = f"sim:{options}"
        self._slide = SLIDES.get(options.kind)
        kinds = [kind for kind in _KINDS if kind == options.kind] or _KINDS
        seen: dict[str, Any] = {"size_px": settings.size_px, **options.smear}
        if settings.um_per_px is not None:
            seen["um_per_px"] = settings.um_per_px
        self._smears = [_locked(Smear(kind=kind, **seen), settings.locked) for kind in kinds]
        self._label = options.kind if self._slide else ""
        self._first_field = options.seed * _FIELDS_PER_SEED
        self._sequence = settings.first_sequence

    def read(self) -> Frame:
        """Draw the next field, named such as ``sim-ALL-000003``."""
        asked_s = time.monotonic()
        sequence, self._sequence = self._sequence, self._sequence + 1
        smear, number = self._smears[sequence % len(self._smears)], self._first_field + sequence
        pixels = self._slide(smear, number) if self._slide else draw(smear, number).pixels
        sensor = SensorReport(smear.exposure * EXPOSURE_US, 1.0, smear.white_balance)
        name = f"sim-{self._label or smear.kind}-{number:06d}"
        return stamp(pixels, name, sequence, smear.um_per_px, asked_s=asked_s, sensor=sensor)

    def close(self) -> None:
        """There is nothing to release."""


def _locked(smear: Smear, locked: SensorReport) -> Smear:
    """Set the simulated sensor to what is to be kept."""
    exposure = smear.exposure if locked.exposure_us is None else locked.exposure_us / EXPOSURE_US
    return replace(smear, exposure=exposure, white_balance=locked.white_balance or smear.white_balance)


def _value(name: str, text: str) -> int | float | tuple[float, ...]:
    if name == "seed":
        if not (text.isascii() and text.isdecimal()):
            raise ValueError("it must be a whole number, 0 or more")
        return int(text)
    if name in _PAIRS:
        first, _, second = text.partition("/")
        return (float(first), float(second))
    return float(text)
