"""A network taken apart has the layers, parameters and multiply-accumulates that it was built with."""

from __future__ import annotations

import numpy as np
import pytest

from convert import graph
from convert.profile import shares
from edge.errors import BundleCorrupt
from edge.model import runtime


@pytest.mark.parametrize("kind", ["int8", "float16", "float32", "dynamic"])
def test_layers_have_the_parameters_and_macs_of_the_network(whole, network, kind):
    found = graph.size(whole[0].networks[kind])
    # The converter leaves out the last layer's three biases, which are zero.
    assert found.parameters == network.count_params() - 3
    assert found.macs == 15 * 15 * 8 * 27 + 13 * 13 * 8 * 9 + 8 * 3
    assert found.bytes == len(whole[0].networks[kind])
    tile = 32 * 32 * 3
    assert found.arena_bytes >= tile * (1 if kind == "int8" else 4)


def test_layers_are_named_as_in_keras(whole):
    named = {layer.operation: layer.name for layer in graph.layers(whole[0].networks["float32"])}
    assert named["CONV_2D"].startswith("conv2d")
    assert named["DEPTHWISE_CONV_2D"].startswith("depthwise_conv2d")
    assert named["FULLY_CONNECTED"] == "logits"


def test_every_type_has_the_same_names_of_layers(whole):
    names = [{graph.key(layer.tensor) for layer in graph.layers(each)} for each in whole[0].networks.values()]
    assert all(each == names[0] for each in names)


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_the_float_types_run_on_an_accelerator(whole, kind):
    assert graph.not_accelerated(whole[0].networks[kind]) == ()
    assert graph.not_accelerated(whole[0].networks["int8"]) == ()


def test_shares_of_time_are_of_every_layer_and_sum_to_one(whole):
    network = whole[0].networks["int8"]
    found = shares(network, whole[0].selftest_tiles)
    assert len(found) == len(graph.layers(network))
    assert sum(found) == pytest.approx(1)


@pytest.mark.parametrize("content", [b"", b"garbage, but long enough", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 40])
def test_what_is_no_network_is_refused(content):
    with pytest.raises(BundleCorrupt, match=r"\.tflite"):
        graph.parse(content)


def with_constants_behind(network, *, further=0, longer=1):
    """Move a network's constants behind its FlatBuffer, as the quantizer does with those of large networks."""
    model = graph.parse(network)
    moved = [(buffer, bytes(buffer.data)) for buffer in model.buffers if buffer.data is not None and len(buffer.data)]
    for buffer, content in moved:
        buffer.data, buffer.offset, buffer.size = None, 2, len(content) * longer
    # Aligned, for what reads float32 there.
    place = -(-len(graph.pack(model)) // 16) * 16
    behind = b""
    for buffer, content in moved:
        buffer.offset = place + len(behind) + further
        behind += content + bytes(-len(content) % 16)
    return graph.pack(model).ljust(place, b"\0") + behind


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_constants_behind_the_network_are_part_of_it(whole, tiles, kind):
    network = whole[0].networks[kind]
    moved = with_constants_behind(network)
    assert graph.layers(moved) == graph.layers(network)
    expected, as_moved, packed = (
        runtime.load(each, 3).run(tiles).logits for each in (network, moved, graph.pack(graph.parse(moved)))
    )
    assert np.array_equal(as_moved, expected)
    assert np.array_equal(packed, expected)


@pytest.mark.parametrize("wrong", [{"further": 1 << 40}, {"longer": 1000}])
def test_constants_beyond_the_end_are_refused(whole, wrong):
    with pytest.raises(BundleCorrupt, match="constants"):
        graph.parse(with_constants_behind(whole[0].networks["int8"], **wrong))


def test_a_network_without_a_graph_is_refused_in_one_line():
    from ai_edge_litert import schema_py_generated as schema

    empty = schema.ModelT()
    empty.version, empty.subgraphs, empty.operatorCodes, empty.buffers = 3, [], [], []
    with pytest.raises(BundleCorrupt, match="without a graph"):
        graph.layers(graph.pack(empty))


@pytest.mark.parametrize(
    "damage",
    [
        lambda model: setattr(model.subgraphs[0].tensors[3], "buffer", 9999),
        lambda model: setattr(model.subgraphs[0].tensors[3], "type", 120),
        lambda model: setattr(model.subgraphs[0].tensors[3], "shape", None),
        lambda model: setattr(model.subgraphs[0].operators[1], "opcodeIndex", 99),
        lambda model: setattr(model.subgraphs[0].operators[1], "inputs", [9999, 1, 2]),
        lambda model: setattr(model.subgraphs[0].operators[1], "inputs", [0]),
        lambda model: setattr(model.subgraphs[0].operators[1], "outputs", [-1]),
        lambda model: setattr(model.subgraphs[0], "outputs", [9999]),
        lambda model: setattr(model.subgraphs[0], "inputs", None),
        lambda model: setattr(model, "operatorCodes", []),
    ],
)
def test_a_network_that_refers_to_what_is_not_there_is_refused_in_one_line(whole, damage):
    model = graph.parse(whole[0].networks["int8"])
    damage(model)
    with pytest.raises(BundleCorrupt, match="parts do not fit each other"):
        graph.parse(graph.pack(model))


def test_a_network_that_does_not_run_is_not_timed_but_refused_in_one_line(whole):
    model = graph.parse(whole[0].networks["int8"])
    # The first convolution has a kernel for two channels of three.
    convolution = next(each for each in model.subgraphs[0].operators if graph.operation_name(model, each) == "CONV_2D")
    model.subgraphs[0].tensors[convolution.inputs[1]].shape = [8, 3, 3, 2]
    with pytest.raises(BundleCorrupt, match="does not run as far as") as refused:
        shares(graph.pack(model), whole[0].selftest_tiles)
    assert "\n" not in str(refused.value)
