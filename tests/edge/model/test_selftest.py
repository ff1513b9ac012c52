"""A model proves on this device that it decides as it did where it was made."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.errors import BundleCorrupt, BundleNotFound, RuntimeUnavailable, SelfTestFailed
from edge.model import Model, open_model, runtime, selftest, shelf
from edge.model import bundle as bundles
from edge.model.bundle import Bundle
from edge.model.runtime import Runtime


@pytest.fixture(scope="module")
def loaded(bundled: Bundle) -> Runtime:
    return runtime.load(bundled.networks["int8"], len(bundled.description.classes))


def largest_buffer(network: bytes) -> tuple[int, int]:
    """Find where the most weights of a network lie: Model.buffers[…].data in TFLite's FlatBuffers schema."""

    def at(place: int) -> int:
        return int(struct.unpack_from("<I", network, place)[0])

    def field(table: int, number: int) -> int | None:
        vtable = table - struct.unpack_from("<i", network, table)[0]
        size, offset = struct.unpack_from("<H", network, vtable)[0], 4 + 2 * number
        found = struct.unpack_from("<H", network, vtable + offset)[0] if offset < size else 0
        return table + found + at(table + found) if found else None

    buffers = field(at(0), 4)
    assert buffers is not None
    tables = [place + at(place) for place in range(buffers + 4, buffers + 4 + 4 * at(buffers), 4)]
    data = [place for table in tables if (place := field(table, 0)) is not None]
    start = max(data, key=at)
    return start + 4, at(start)


def test_the_model_that_ships_passes_here(bundled: Bundle, loaded: Runtime) -> None:
    assert round(selftest.check(bundled, loaded, "int8") / loaded.logit_step) <= selftest.MOST_STEPS


def test_a_network_that_no_runtime_loads_is_named_by_its_bundle(bundled: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "half.wbc"
    half = {"int8": bundled.networks["int8"][: len(bundled.networks["int8"]) // 2]}
    bundles.write(replace(bundled, networks=half), path)
    with pytest.raises(RuntimeUnavailable, match=f"^the network of {path}: .* cannot load it"):
        open_model(path)


@pytest.mark.parametrize("steps", [-5, 5, 100])
def test_other_logits_than_expected_fail(bundled: Bundle, loaded: Runtime, steps: int) -> None:
    expected = loaded.run(bundled.selftest_tiles).logits
    expected[-1, -1] += steps * loaded.logit_step
    with pytest.raises(SelfTestFailed, match="try another runtime") as refused:
        selftest.check(replace(bundled, selftest_logits={"int8": expected}), loaded, "int8")
    assert loaded.name in str(refused.value)


@pytest.mark.parametrize("steps", [-4, 1, 4])
def test_what_rounding_can_do_is_let_pass(bundled: Bundle, loaded: Runtime, steps: int) -> None:
    expected = loaded.run(bundled.selftest_tiles).logits
    expected[0, 0] += steps * loaded.logit_step
    difference = selftest.check(replace(bundled, selftest_logits={"int8": expected}), loaded, "int8")
    assert difference == pytest.approx(abs(steps) * loaded.logit_step, rel=1e-3)


def test_altered_weights_fail(bundled: Bundle) -> None:
    network = bytearray(bundled.networks["int8"])
    start, size = largest_buffer(bytes(network))
    assert size > 1000
    network[start : start + size] = bytes(value ^ 0x55 for value in network[start : start + size])
    altered = runtime.load(bytes(network), len(bundled.description.classes))
    with pytest.raises(SelfTestFailed):
        selftest.check(bundled, altered, "int8")


def test_logits_that_are_no_numbers_fail(bundled: Bundle, loaded: Runtime) -> None:
    nothing = {"int8": bundled.selftest_logits["int8"] * np.float32(np.nan)}
    with pytest.raises(SelfTestFailed):
        selftest.check(replace(bundled, selftest_logits=nothing), loaded, "int8")


def test_a_novelty_of_another_network_is_refused(bundled: Bundle, loaded: Runtime) -> None:
    other = replace(bundled, novelty_mean=np.zeros(3, np.float32), novelty_whitening=np.eye(3, dtype=np.float32))
    with pytest.raises(BundleCorrupt, match="does not fit its novelty"):
        selftest.check(other, loaded, "int8")


def test_a_bundle_opens_ready_to_classify() -> None:
    model = open_model(shelf.find(None))
    assert isinstance(model, Model)
    assert model.runtime.run(model.bundle.selftest_tiles).logits.shape == model.bundle.selftest_logits[model.kind].shape


def test_a_bundle_whose_self_test_fails_does_not_open(bundled: Bundle, path: Path) -> None:
    bundles.write(replace(bundled, selftest_logits={"int8": bundled.selftest_logits["int8"] + 1}), path)
    with pytest.raises(SelfTestFailed, match="self-test"):
        open_model(path)


def test_a_bundle_whose_tiles_are_not_the_network_s_does_not_open(bundled: Bundle, path: Path) -> None:
    description = bundled.description
    tile_px = description.tiling.tile_px - 4
    tiling = msgspec.structs.replace(description.tiling, tile_px=tile_px)
    smaller = replace(
        bundled,
        description=msgspec.structs.replace(description, tiling=tiling),
        selftest_tiles=bundled.selftest_tiles[:, :tile_px, :tile_px],
    )
    bundles.write(smaller, path)
    with pytest.raises(BundleCorrupt, match="takes tiles of"):
        open_model(path)


def test_a_bundle_that_is_not_there_does_not_open(path: Path) -> None:
    with pytest.raises(BundleNotFound):
        open_model(path)
