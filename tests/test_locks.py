"""The locks hold what pyproject.toml asks for, on every Python that it names, and agree with each other."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = ("3.10", "3.11", "3.12", "3.13")

EXTRAS = PYPROJECT["project"]["optional-dependencies"]
GROUPS = PYPROJECT["dependency-groups"]
DEVICE = PYPROJECT["project"]["dependencies"]
WITHOUT_LITERT = [line for line in DEVICE if not line.startswith("ai-edge-litert")]

ENVIRONMENTS = [
    *(("device", python, DEVICE) for python in PYTHONS),
    *(("device-tests", python, DEVICE + GROUPS["test"]) for python in PYTHONS),
    *(("tflite-tests", python, WITHOUT_LITERT + EXTRAS["tflite"] + GROUPS["test"]) for python in ("3.10", "3.11")),
    *(
        ("whole", python, DEVICE + EXTRAS["trainer"] + EXTRAS["convert"] + GROUPS["test"] + GROUPS["checks"])
        for python in PYTHONS[1:]
    ),
]


def is_for(requirement, python):
    """Say whether a Linux machine with this Python installs it."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def read_lock(name, python):
    """Map each distribution that a Linux machine with this Python installs to its one version."""
    versions = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line)
        if not is_for(requirement, python):
            continue
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        assert requirement.name not in versions, line
        versions[requirement.name] = pin.version
    return versions


@pytest.mark.parametrize(("name", "python", "asked"), ENVIRONMENTS)
def test_a_lock_holds_what_is_asked_for(name, python, asked):
    versions = read_lock(name, python)
    for line in asked:
        requirement = Requirement(line)
        if not is_for(requirement, python):
            continue
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), line


@pytest.mark.parametrize("python", PYTHONS[1:])
def test_what_is_tested_is_what_the_device_gets(python):
    device = read_lock("device", python).items()
    assert device <= read_lock("device-tests", python).items() <= read_lock("whole", python).items()


@pytest.mark.parametrize("name", ["device", "device-tests", "tflite-tests"])
def test_the_device_needs_nothing_that_trains(name):
    assert read_lock(name, "3.11").keys().isdisjoint({"keras", "scikit-learn", "scipy", "tensorflow"})
