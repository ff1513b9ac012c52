"""A network taken apart has the layers, parameters and multiply-accumulates that it was built with."""

from __future__ import annotations

import pytest

from convert import graph
from convert.profile import shares
from edge.errors import BundleCorrupt


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


def test_a_network_without_a_graph_is_refused_in_one_line():
    from ai_edge_litert import schema_py_generated as schema

    empty = schema.ModelT()
    empty.version, empty.subgraphs, empty.operatorCodes, empty.buffers = 3, [], [], []
    with pytest.raises(BundleCorrupt, match="without a graph"):
        graph.layers(graph.pack(empty))
