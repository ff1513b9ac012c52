"""Standard TFLite metadata, by which MediaPipe, Netron and others know labels, normalisation and what a network is.

The metadata is a FlatBuffer of its own inside the ``.tflite``, in the buffer called ``TFLITE_METADATA``; the labels are
a text file in a ZIP archive behind it, as TensorFlow's "Adding metadata to TensorFlow Lite models" describes. Tables
and the numbers of their fields are those of its ``metadata_schema.fbs``, version 1.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import flatbuffers

from convert import graph
from edge import RESEARCH_USE_ONLY
from edge.model.description import Description

LABELS = "labels.txt"
_NAME = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_LABELS_OF_AXIS = 2
_RGB = 1
_IMAGE = 2
_NORMALISATION = 1


def describe(network: bytes, description: Description, *, order: str = "BGR", scores: bool = False) -> bytes:
    """Name a network's inputs and outputs, and put standard metadata into it.

    Parameters
    ----------
    network : bytes
        The ``.tflite``; metadata that it has is replaced.
    description : Description
        The model's.
    order : str
        ``BGR`` or ``RGB``: what the network takes.
    scores : bool
        The first output is probabilities; else logits.

    Returns
    -------
    bytes
        The ``.tflite``, with the labels behind it.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = graph.parse(network)
    subgraph = model.subgraphs[0]
    shown = subgraph.tensors[subgraph.inputs[0]]
    classes = len(description.classes)
    outputs = [subgraph.tensors[index] for index in subgraph.outputs]
    names = {id(shown): "tiles"}
    for output in outputs:
        is_logits = output.shape[-1] == classes
        names[id(output)] = ("scores" if scores else "logits") if is_logits else "embedding"
        output.name = names[id(output)]
    shown.name = "tiles"
    model.signatureDefs = [_signature(schema, subgraph)]
    content = _metadata(description, names[id(shown)], [names[id(output)] for output in outputs], order)
    kept = [entry for entry in model.metadata or [] if graph.text(entry.name) != _NAME]
    buffer = schema.BufferT()
    buffer.data = content
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _NAME, len(model.buffers) - 1
    model.metadata = [*kept, entry]
    model.description = f"{description.name} {description.version}"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as labels:
        # The default date makes the same network the same bytes.
        labels.writestr(zipfile.ZipInfo(LABELS), "\n".join(description.classes) + "\n")
    packed = graph.pack(model)
    return packed + _moved(archive.getvalue(), len(packed))


def _moved(archive: bytes, by: int) -> bytes:
    """Make a ZIP archive one that begins so many bytes into its file: strict readers want true offsets."""
    stream = io.BytesIO()
    stream.write(bytes(by))
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as new:
        for info in old.infolist():
            new.writestr(zipfile.ZipInfo(info.filename), old.read(info))
    return stream.getvalue()[by:]


def _signature(schema: Any, subgraph: Any) -> Any:
    def mapped(indices: Sequence[int]) -> list[Any]:
        found = []
        for index in indices:
            each = schema.TensorMapT()
            each.name, each.tensorIndex = graph.text(subgraph.tensors[index].name), int(index)
            found.append(each)
        return found

    signature = schema.SignatureDefT()
    signature.signatureKey = "serving_default"
    signature.inputs, signature.outputs = mapped(subgraph.inputs), mapped(subgraph.outputs)
    return signature


class _Tables:
    """Writes FlatBuffers tables, of which only the numbers of their fields are known."""

    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1024)

    def table(self, offsets: dict[int, int], scalars: dict[int, tuple[str, int]] | None = None) -> int:
        builder = self.builder
        builder.StartObject(1 + max([*offsets, *(scalars or {})]))
        for slot, (kind, value) in (scalars or {}).items():
            getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
        for slot, offset in offsets.items():
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        return int(builder.EndObject())

    def text(self, value: str) -> int:
        return int(self.builder.CreateString(value))

    def list(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def floats(self, values: Sequence[float]) -> int:
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependFloat32(value)
        return int(self.builder.EndVector())


def _metadata(description: Description, shown: str, outputs: Sequence[str], order: str) -> bytes:
    make = _Tables()
    side = description.tiling.tile_px
    # Of another order than RGB the schema knows nothing.
    image = make.table({}, {0: ("Int8", _RGB if order == "RGB" else 0)})
    content = make.table({1: image}, {0: ("Uint8", _IMAGE)})
    # Bytes go in as they are: the network's own first layer scales them.
    options = make.table({0: make.floats([0.0]), 1: make.floats([1.0])})
    normalisation = make.table({1: options}, {0: ("Uint8", _NORMALISATION)})
    stats = make.table({0: make.floats([255.0]), 1: make.floats([0.0])})
    told = (
        f"Tile of {side} px at {description.um_per_px:g} um per px, channels in the order {order}, bytes 0 to 255; the "
        "clear glass of its field brought to level 240 in every channel"
    )
    tiles = make.table(
        {
            0: make.text(shown),
            1: make.text(told),
            3: content,
            4: make.list([normalisation]),
            5: stats,
        }
    )
    labels = make.table({0: make.text(LABELS), 1: make.text("The class of each value")}, {2: ("Int8", _LABELS_OF_AXIS)})
    results = [
        make.table({0: make.text(name), 1: make.text("One value a class"), 6: make.list([labels])})
        if name != "embedding"
        else make.table({0: make.text(name), 1: make.text("What the last layer sees, for measuring novelty")})
        for name in outputs
    ]
    subgraph = make.table({0: make.text(description.name), 2: make.list([tiles]), 3: make.list(results)})
    sentence = f"Tells {', '.join(description.classes)} apart in cells of bone marrow and blood. {RESEARCH_USE_ONLY}"
    root = make.table(
        {
            0: make.text(description.name),
            1: make.text(sentence),
            2: make.text(description.version),
            3: make.list([subgraph]),
            4: make.text("wbc-edge"),
            5: make.text(description.training.licence),
            7: make.text("1.0.0"),
        }
    )
    make.builder.Finish(root, _IDENTIFIER)
    return bytes(make.builder.Output())
