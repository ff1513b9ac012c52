"""What a board says of its heat and its throttling is said in words, whichever board it is."""

from __future__ import annotations

from pathlib import Path

from edge.board import temperature_c, throttling


def written(root: Path, **files: str) -> Path:
    for name, content in files.items():
        file = root / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


def test_a_board_that_says_nothing_is_neither_hot_nor_slow(tmp_path: Path) -> None:
    assert temperature_c(tmp_path) is None
    assert throttling(tmp_path) == ()


def test_the_hottest_thermometer_counts(tmp_path: Path) -> None:
    written(tmp_path, class__thermal__thermal_zone0__temp="41000\n", class__thermal__thermal_zone1__temp="67500\n")
    written(tmp_path, class__thermal__thermal_zone2__temp="unknown\n")
    assert temperature_c(tmp_path) == 67.5


def test_the_pis_firmware_tells_weak_power_and_heat(tmp_path: Path) -> None:
    file = tmp_path / "devices/platform/soc/soc:firmware/get_throttled"
    file.parent.mkdir(parents=True)
    file.write_text("50005\n")
    assert throttling(tmp_path) == (
        "the power supply is too weak",
        "the processor is slowed down",
        "the power supply was too weak since the start",
        "the processor was slowed down since the start",
    )


def test_elsewhere_the_kernels_limits_tell(tmp_path: Path) -> None:
    written(
        tmp_path,
        devices__system__cpu__cpufreq__policy0__cpuinfo_max_freq="1500000",
        devices__system__cpu__cpufreq__policy0__scaling_max_freq="1100000",
        devices__system__cpu__cpufreq__policy4__cpuinfo_max_freq="1500000",
        devices__system__cpu__cpufreq__policy4__scaling_max_freq="1500000",
        class__thermal__cooling_device0__type="pwm-fan",
        class__thermal__cooling_device0__cur_state="3",
        class__thermal__cooling_device1__type="GPU-throttle",
        class__thermal__cooling_device1__cur_state="1",
        class__thermal__cooling_device2__type="intel_powerclamp",
        class__thermal__cooling_device2__cur_state="-1",
    )
    assert throttling(tmp_path) == (
        "the processor's clock is held at 1100 of 1500 MHz",
        "gpu-throttle is slowed down to cool",
    )
