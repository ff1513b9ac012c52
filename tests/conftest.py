"""What every test of the project relies on."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import settings

# The same examples on every run, so that a failure of one machine is a failure of all; no deadline, because the
# machines differ in speed and a slow one is not wrong.
settings.register_profile("project", derandomize=True, deadline=None)
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("tflite_runtime"):
        return
    skip = pytest.mark.skip(reason="needs tflite-runtime: make test-tflite")
    for item in items:
        if item.get_closest_marker("tflite_runtime"):
            item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the tests, and the commands they start, a home of their own: never the user's journal or bundles."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(folder))
        for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
            environment.setenv(f"XDG_{kind}_HOME", str(folder / kind.lower()))
        yield


@pytest.fixture(autouse=True)
def own_settings(home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a configuration of its own: what one sets would change what the next one finds."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk of a size such as ``512k``, in memory."""
    mounted = []

    def mount(size: str) -> Path:
        disk = tmp_path / f"disk-of-{size}"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "wbc-edge-test", disk]
        if (
            os.geteuid() != 0
            or not shutil.which("mount")
            or subprocess.run(command, capture_output=True, check=False).returncode
        ):
            pytest.skip("needs the right to mount a small disk")
        mounted.append(disk)
        return disk

    yield mount
    for disk in mounted:
        # What still holds a file there keeps nothing but that file.
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture(scope="session")
def of_bright_tiles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make bundles that pass their self-test, of bright tiles, and say what are no numbers of every cell."""
    from edge.model import bundle as bundles
    from edge.model import shelf

    def make(kind: str) -> Path:
        bundled = bundles.read(shelf.find(None))
        tiles = np.full_like(bundled.selftest_tiles, 255)
        made = replace(
            bundled,
            description=msgspec.structs.replace(
                bundled.description, name="fragile", networks={kind: f"network-{kind}.tflite"}
            ),
            networks={kind: network_of_bright_tiles(tiles.shape[1])},
            novelty_mean=np.zeros(6, np.float32),
            novelty_whitening=np.zeros((6, 6), np.float32),
            selftest_tiles=tiles,
            selftest_logits={kind: np.full((len(tiles), 3), 20**0.5, np.float32)},
        )
        path = tmp_path_factory.mktemp("fragile") / f"{kind}.wbc"
        bundles.write(made, path)
        return path

    return make


def network_of_bright_tiles(tile_px: int) -> bytes:
    """Build a network whose logits are square roots of how much brighter than 235 a tile is: no numbers for cells."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT() for _ in range(3)]
    model.buffers[1].data = np.frombuffer(np.array([1, 2], np.int32).tobytes(), np.uint8)
    model.buffers[2].data = np.frombuffer(np.array([235], np.float32).tobytes(), np.uint8)
    graph = schema.SubGraphT()
    graph.tensors = []
    for name, shape, kind, buffer in (
        ("tiles", [1, tile_px, tile_px, 3], "FLOAT32", 0),
        ("axes", [2], "INT32", 1),
        ("235", [1], "FLOAT32", 2),
        ("means", [1, 3], "FLOAT32", 0),
        ("excess", [1, 3], "FLOAT32", 0),
        ("logits", [1, 3], "FLOAT32", 0),
        ("embedding", [1, 6], "FLOAT32", 0),
    ):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name.encode(), shape, buffer
        tensor.type = getattr(schema.TensorType, kind)
        if name not in ("axes", "235"):
            tensor.shapeSignature = [-1, *shape[1:]]
        graph.tensors.append(tensor)
    graph.inputs, graph.outputs, graph.operators, model.operatorCodes = [0], [5, 6], [], []
    for number, (name, inputs, outputs) in enumerate(
        (("MEAN", [0, 1], [3]), ("SUB", [3, 2], [4]), ("SQRT", [4], [5]), ("CONCATENATION", [3, 3], [6]))
    ):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 1
        model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = number, inputs, outputs
        if name == "MEAN":
            operator.builtinOptionsType, operator.builtinOptions = (
                schema.BuiltinOptions.ReducerOptions,
                schema.ReducerOptionsT(),
            )
        if name == "SUB":
            operator.builtinOptionsType, operator.builtinOptions = (
                schema.BuiltinOptions.SubOptions,
                schema.SubOptionsT(),
            )
        if name == "CONCATENATION":
            operator.builtinOptionsType = schema.BuiltinOptions.ConcatenationOptions
            operator.builtinOptions = schema.ConcatenationOptionsT()
            operator.builtinOptions.axis = 1
        graph.operators.append(operator)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
