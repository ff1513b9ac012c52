"""What the board says of itself: heat, throttling, a clock held back."""

from __future__ import annotations

from pathlib import Path

SYSTEM = Path("/sys")

_THROTTLED = {
    0: "the power supply is too weak",
    1: "the processor is slowed down",
    2: "the processor is slowed down",
    3: "the processor is hot and slowed down",
    16: "the power supply was too weak since the start",
    18: "the processor was slowed down since the start",
    19: "the processor was hot and slowed down since the start",
}
"""Bits of the Raspberry Pi firmware's ``get_throttled``."""

_HELD_BACK = 0.95


def temperature_c(system: Path = SYSTEM) -> float | None:
    """Read the hottest of the board's thermometers, degrees Celsius; None where there is none.

    Parameters
    ----------
    system : Path
        Where sysfs is.
    """
    readings = [_number(file) for file in system.glob("class/thermal/thermal_zone*/temp")]
    return max((reading / 1000 for reading in readings if reading is not None), default=None)


def throttling(system: Path = SYSTEM) -> tuple[str, ...]:
    """Say what slows the board down, or has since its start.

    The Raspberry Pi's firmware says so itself; elsewhere, as on a Jetson, the kernel holds the highest clock of a
    processor down, or engages a cooling device that does.

    Parameters
    ----------
    system : Path
        Where sysfs is.

    Returns
    -------
    tuple of str
        Phrases; empty when nothing does.
    """
    found = []
    for file in sorted(system.glob("devices/platform/soc*/*firmware/get_throttled")):
        bits = _number(file, base=16) or 0
        found += [said for bit, said in _THROTTLED.items() if bits >> bit & 1]
    for policy in sorted(system.glob("devices/system/cpu/cpufreq/policy*")):
        most, allowed = _number(policy / "cpuinfo_max_freq"), _number(policy / "scaling_max_freq")
        if most and allowed is not None and allowed < _HELD_BACK * most:
            found.append(f"the processor's clock is held at {allowed / 1000:.0f} of {most / 1000:.0f} MHz")
    for device in sorted(system.glob("class/thermal/cooling_device*")):
        kind, state = _text(device / "type"), _number(device / "cur_state")
        # A fan that turns cools; whatever else is engaged does it by slowing something down.
        if (state or 0) > 0 and "fan" not in kind:
            found.append(f"{kind} is slowed down to cool")
    return tuple(dict.fromkeys(found))


def _number(file: Path, base: int = 10) -> int | None:
    try:
        return int(file.read_text(), base)
    except (OSError, ValueError):
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip().lower()
    except OSError:
        return ""
