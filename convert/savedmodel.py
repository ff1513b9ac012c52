"""A SavedModel, loaded only when nothing that it would run reaches further than a classifier's arithmetic does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from convert.errors import NetworkUnreadable, reason

ONE_INPUT = "One input of square BGR or RGB tiles is needed, (n, side, side, 3)"

_ARITHMETIC = (
    "Abs Add AddN AddV2 All Any ArgMax AvgPool BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchToSpaceND BiasAdd "
    "BroadcastArgs BroadcastTo Cast Ceil ClipByValue Concat ConcatV2 Conv2D Cos DepthToSpace DepthwiseConv2dNative Div "
    "DivNoNan Einsum Elu Equal Erf Erfc Exp ExpandDims Expm1 FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars "
    "FakeQuantWithMinMaxVarsPerChannel Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 "
    "Gather GatherNd GatherV2 Greater GreaterEqual Inv L2Loss LRN LeakyRelu Less LessEqual Log Log1p LogSoftmax "
    "LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool MaxPoolV2 Maximum Mean Min Minimum MirrorPad Mod Mul MulNoNan "
    "Neg NotEqual OneHot OnesLike Pack Pad PadV2 Pow Prod Range Rank RealDiv Reciprocal Relu Relu6 Reshape "
    "ResizeBicubic ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape ShapeN "
    "Sigmoid Sign Sin Size Slice Softmax Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Square "
    "SquaredDifference Squeeze StridedSlice Sub Sum Tanh Tile TopKV2 Transpose TruncateDiv Unpack Where Xdivy "
    "ZerosLike"
)
_PLUMBING = (
    "Assert Const EnsureShape Identity IdentityN If NoOp PartitionedCall Placeholder PlaceholderWithDefault "
    "PreventGradient StatefulPartitionedCall StatelessIf StopGradient"
)
_DROPOUT = (
    "RandomStandardNormal RandomUniform StatelessRandomGetAlg StatelessRandomGetKeyCounter StatelessRandomNormalV2 "
    "StatelessRandomUniform StatelessRandomUniformV2 TruncatedNormal"
)
_VARIABLES = (
    "AssignAddVariableOp AssignSubVariableOp AssignVariableOp DisableCopyOnRead ReadVariableOp VarHandleOp "
    "VarIsInitializedOp"
)
_NEEDED = frozenset(" ".join((_ARITHMETIC, _PLUMBING, _DROPOUT, _VARIABLES)).split())
"""All that a function may do that can be called: nothing here reaches files, Python, the network or another device."""

_SAVING = frozenset(
    {"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename", "StaticRegexFullMatch", "StringJoin"}
)
"""What stands besides in the two functions that each SavedModel has for saving and restoring its variables. Nothing
calls them: TensorFlow 2 restores variables by functions of its own."""


def load(path: Path) -> tuple[Callable[[Any], Any], tuple[int | None, ...]]:
    """Load the signature ``serving_default`` of a SavedModel.

    Parameters
    ----------
    path : Path
        Its folder.

    Returns
    -------
    tuple
        A function of tiles that returns its outputs by name, and the shape of its input.

    Raises
    ------
    NetworkUnreadable
        When it is none, has another number of inputs, or holds an operation that no classifier needs.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    described = saved_model_pb2.SavedModel()
    try:
        described.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception as error:
        # google.protobuf's DecodeError, and OSError.
        raise NetworkUnreadable(f"network {path}", f"is no SavedModel: {reason(error)}") from error
    _refuse_what_is_not_needed(described, path)

    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
        signature = loaded.signatures["serving_default"]
        ((name, shown),) = signature.structured_input_signature[1].items()
    except Exception as error:
        raise NetworkUnreadable(f"network {path}", f"cannot be loaded: {reason(error)}", ONE_INPUT) from error

    def called(tiles: Any) -> Any:
        # A variable lives as long as what was loaded.
        return signature(**{name: tiles}), loaded

    return lambda tiles: called(tiles)[0], tuple(shown.shape)


def _refuse_what_is_not_needed(described: Any, path: Path) -> None:
    """Refuse before anything runs: loading runs what initialises it, and converting folds what is constant."""
    # Of another form TensorFlow would run the whole graph, restoring and initialising nodes included.
    if len(described.meta_graphs) != 1 or not described.meta_graphs[0].HasField("object_graph_def"):
        why = "is not of TensorFlow 2" if described.meta_graphs else "is no SavedModel: it holds no graph"
        raise NetworkUnreadable(f"network {path}", why, "Save it again with tf.saved_model.save")
    (meta,) = described.meta_graphs
    callable_names = _callable(meta)
    found = {node.op for node in meta.graph_def.node} - _NEEDED - _SAVING
    for function in meta.graph_def.library.function:
        allowed = _NEEDED if function.signature.name in callable_names else _NEEDED | _SAVING
        found |= {node.op for node in function.node_def} - allowed
    if found:
        raise NetworkUnreadable(
            f"network {path}",
            f"holds what no classifier of images needs and what may reach out of it: {', '.join(sorted(found))}",
            "Do not use it, or save it again without",
        )


def _callable(meta: Any) -> set[str]:
    """Name the functions of a library that anything can call: what was saved as callable, and what functions name."""
    library = meta.graph_def.library
    names = set(meta.object_graph_def.concrete_functions)
    names |= {gradient.gradient_func for gradient in (*library.gradient, *library.registered_gradients)}
    for function in library.function:
        # Functions with that attribute stand in for each other, by TensorFlow's choice.
        if "api_implements" in function.attr:
            names.add(function.signature.name)
        for node in function.node_def:
            # An operation may be a function's name as well.
            names |= {node.op, *_named(node)}
    return names


def _named(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)
