"""The architecture that pyproject.toml promises holds, and its contracts bite."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

DEVICE = PYPROJECT["project"]["dependencies"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]

WHERE_INSTALLED = {"gpiozero", "libcamera", "onnxruntime", "picamera2", "tflite_runtime"}
"""What is imported where it is installed, and explained where it is not."""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Copy the project's code to where a wall may be broken."""
    copy = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in PYPROJECT["tool"]["importlinter"]["root_packages"]:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.wbc"))
    return copy


def lint_imports(folder):
    linter = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([linter, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_the_architecture_holds(house):
    result = lint_imports(house)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "line", "contract"),
    [
        ("edge/pipeline.py", "import trainer", "packages"),
        ("edge/cli/__init__.py", "import convert", "packages"),
        ("trainer/__init__.py", "import convert", "packages"),
        ("convert/__init__.py", "import trainer", "packages"),
        ("edge/camera/__init__.py", "import edge.pipeline", "floors"),
        ("edge/camera/__init__.py", "import edge.model", "floors"),
        ("edge/vision/tiling.py", "import edge.result", "floors"),
        ("edge/model/__init__.py", "import tensorflow", "device"),
        ("edge/vision/quality.py", "import time", "pure"),
        ("edge/verdict.py", "from pathlib import Path", "pure"),
        ("edge/verdict.py", "def load():\n    import sqlite3", "pure"),
    ],
)
def test_a_broken_wall_is_seen(house, room, line, contract):
    names = {each["id"]: each["name"] for each in PYPROJECT["tool"]["importlinter"]["contracts"]}
    file = house / room
    whole = file.read_text()
    file.write_text(f"{whole}\n{line}\n")
    try:
        result = lint_imports(house)
    finally:
        file.write_text(whole)
    assert result.returncode != 0
    assert re.search(rf"{re.escape(names[contract])}\s+BROKEN", result.stdout), result.stdout


def test_a_room_without_a_floor_is_seen(house):
    attic = house / "edge" / "attic.py"
    attic.write_text("")
    try:
        result = lint_imports(house)
    finally:
        attic.unlink()
    assert result.returncode != 0
    assert "attic" in result.stdout


@pytest.mark.parametrize(
    ("package", "declared"),
    [("edge", DEVICE), ("trainer", DEVICE + EXTRAS["trainer"]), ("convert", DEVICE + EXTRAS["convert"])],
)
def test_a_package_imports_only_what_it_declares(package, declared):
    graph = grimp.build_graph(package, include_external_packages=True, cache_dir=None)
    imported = {module for module in graph.modules if graph.is_module_squashed(module)}
    others = imported - sys.stdlib_module_names - WHERE_INSTALLED - {"edge"}
    found = {name for module in others for name in packages_distributions().get(module, [module])}
    distributions = {canonicalize_name(name) for name in found}
    assert distributions
    assert distributions <= {canonicalize_name(Requirement(line).name) for line in declared}
