"""Networks put together operator by operator: right about the bright tiles of a self-test, and wrong about cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_OPTIONS = {
    "MEAN": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "SUB": "SubOptions",
    "CONCATENATION": "ConcatenationOptions",
    "LESS": "LessOptions",
    "WHILE": "WhileOptions",
}


def that_says_no_numbers(tile_px: int) -> bytes:
    """Build one whose logits are square roots of how much brighter than 235 a tile is."""
    network = _Network()
    network.graph(_tensors(tile_px), ["tiles"], ["logits", "embedding"], _OF_MEANS)
    return network.packed()


def that_crashes(tile_px: int) -> bytes:
    """Build one that goes round in a circle of graphs until the stack is full, which ends any process that loads it."""
    network = _Network()
    circle = {"condSubgraphIndex": 1, "bodySubgraphIndex": 2}
    mean, subtract, *rest = _OF_MEANS
    network.graph(
        [*_tensors(tile_px), ("counted", [1, 3], "FLOAT32", None)],
        ["tiles"],
        ["logits", "embedding"],
        [mean, ("WHILE", ["means"], ["counted"], circle), (subtract[0], ["counted", "235"], *subtract[2:]), *rest],
    )
    for _ in circle:
        network.graph(
            [("means", [1, 3], "FLOAT32", None), ("again", [1, 3], "FLOAT32", None)],
            ["means"],
            ["again"],
            [("WHILE", ["means"], ["again"], circle)],
        )
    return network.packed()


def that_hangs(tile_px: int) -> bytes:
    """Build one that goes on for ever about tiles darker than 235; of others it says what the above does."""
    network = _Network()
    counted = ("WHILE", ["means"], ["counted"], {"condSubgraphIndex": 1, "bodySubgraphIndex": 2})
    mean, subtract, *rest = _OF_MEANS
    network.graph(
        [*_tensors(tile_px), ("counted", [1, 3], "FLOAT32", None)],
        ["tiles"],
        ["logits", "embedding"],
        [mean, counted, (subtract[0], ["counted", "235"], *subtract[2:]), *rest],
    )
    network.graph(
        [
            ("means", [1, 3], "FLOAT32", None),
            ("235", [1], "FLOAT32", np.array([235], np.float32)),
            ("axes", [2], "INT32", np.array([0, 1], np.int32)),
            ("dark", [1, 3], "BOOL", None),
            ("any dark", [], "BOOL", None),
        ],
        ["means"],
        ["any dark"],
        [("LESS", ["means", "235"], ["dark"], {}), ("REDUCE_ANY", ["dark", "axes"], ["any dark"], {})],
    )
    network.graph(
        [
            ("means", [1, 3], "FLOAT32", None),
            ("0", [1], "FLOAT32", np.zeros(1, np.float32)),
            ("as before", [1, 3], "FLOAT32", None),
        ],
        ["means"],
        ["as before"],
        [("SUB", ["means", "0"], ["as before"], {})],
    )
    return network.packed()


_Tensor = tuple[str, list[int], str, "np.ndarray[Any, Any] | None"]
_Operator = tuple[str, list[str], list[str], dict[str, int]]

_OF_MEANS: list[_Operator] = [
    ("MEAN", ["tiles", "axes"], ["means"], {}),
    ("SUB", ["means", "235"], ["excess"], {}),
    ("SQRT", ["excess"], ["logits"], {}),
    ("CONCATENATION", ["means", "means"], ["embedding"], {"axis": 1}),
]


def _tensors(tile_px: int) -> list[_Tensor]:
    return [
        ("tiles", [1, tile_px, tile_px, 3], "FLOAT32", None),
        ("axes", [2], "INT32", np.array([1, 2], np.int32)),
        ("235", [1], "FLOAT32", np.array([235], np.float32)),
        ("means", [1, 3], "FLOAT32", None),
        ("excess", [1, 3], "FLOAT32", None),
        ("logits", [1, 3], "FLOAT32", None),
        ("embedding", [1, 6], "FLOAT32", None),
    ]


class _Network:
    """A model in TFLite's format; its first graph is the one that runs."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.buffers, self._model.operatorCodes, self._model.subgraphs = [schema.BufferT()], [], []

    def graph(
        self,
        tensors: Sequence[_Tensor],
        inputs: Sequence[str],
        outputs: Sequence[str],
        operators: Sequence[_Operator],
    ) -> None:
        """Add a graph; of a tensor without content the first dimension, if it has any, is that of the batch."""
        names = [name for name, *_ in tensors]
        graph = self._schema.SubGraphT()
        graph.tensors = [self._tensor(*each) for each in tensors]
        graph.inputs, graph.outputs = ([names.index(name) for name in some] for some in (inputs, outputs))
        graph.operators = []
        for kind, taken, given, options in operators:
            operator = self._schema.OperatorT()
            operator.opcodeIndex = self._code(kind)
            operator.inputs, operator.outputs = ([names.index(name) for name in some] for some in (taken, given))
            if kind in _OPTIONS:
                operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, _OPTIONS[kind])
                operator.builtinOptions = getattr(self._schema, f"{_OPTIONS[kind]}T")()
                for name, value in options.items():
                    setattr(operator.builtinOptions, name, value)
            graph.operators.append(operator)
        self._model.subgraphs.append(graph)

    def packed(self) -> bytes:
        import flatbuffers

        builder = flatbuffers.Builder(4096)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, name: str, shape: list[int], kind: str, content: np.ndarray[Any, Any] | None) -> Any:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape = name.encode(), shape
        tensor.type = getattr(self._schema.TensorType, kind)
        if content is not None:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(content.tobytes(), np.uint8)
            tensor.buffer = len(self._model.buffers)
            self._model.buffers.append(buffer)
        elif shape:
            tensor.shapeSignature = [-1, *shape[1:]]
        return tensor

    def _code(self, kind: str) -> int:
        code = self._schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(self._schema.BuiltinOperator, kind)
        code.version = 1
        self._model.operatorCodes.append(code)
        return len(self._model.operatorCodes) - 1
