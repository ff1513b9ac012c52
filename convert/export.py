"""Bundles in forms that other programs read: a ``.tflite`` of its own, ONNX, a model of bioimage.io."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import portable
from convert.errors import ExportRefused, reason
from edge import RESEARCH_USE_ONLY, __version__, durable
from edge.errors import NetworkNotFound, OutputError
from edge.model import trial
from edge.model.bundle import Bundle
from edge.model.description import Kind, Training

FORMATS = ("tflite", "onnx", "bioimageio")

_OPSET = 17
_LICENCE = "LICENCE.txt"
_NUMBERED = re.compile(r"\d+(\.\d+)*")
"""What bioimage.io takes for a version."""

_ONNX_KINDS: tuple[Kind, ...] = ("float32", "float16", "int8", "dynamic")
_TFLITE_KINDS: tuple[Kind, ...] = ("int8", "float16", "float32", "dynamic")


def export(bundle: Bundle, form: str, path: Path, kind: Kind | None = None) -> Kind:
    """Write a bundle's network in another form.

    Parameters
    ----------
    bundle : Bundle
        The bundle.
    form : str
        ``tflite``: RGB tiles to probabilities, with standard metadata, as MediaPipe's image classifier takes it;
        ``onnx``: BGR tiles to logits and embedding; ``bioimageio``: the same in the container of bioimage.io.
    path : Path
        The file to write.
    kind : str, optional
        Type of the network; by default int8 for ``tflite``, float32 for the others, or the next that there is.

    Returns
    -------
    str
        The type that was written.

    Raises
    ------
    NetworkNotFound
        When the bundle has no such type.
    ExportRefused
        When the network cannot be written in this form.
    SelfTestFailed
        When it is to be ONNX, and crashes or hangs.
    OutputError
        When the file cannot be written.
    """
    order = _TFLITE_KINDS if form == "tflite" else _ONNX_KINDS
    chosen = kind if kind is not None else next(each for each in order if each in bundle.networks)
    if chosen not in bundle.networks:
        raise NetworkNotFound(f"bundle {bundle.path}", f"has no {kind} network", f"It has {', '.join(bundle.networks)}")
    network = bundle.networks[chosen]
    if form == "bioimageio" and chosen == "int8":
        raise ExportRefused("the int8 network", "takes int8, which bioimage.io has no name for", "Export a float type")
    if form == "tflite":
        content = portable.for_others(network, bundle.description)
    else:
        content = to_onnx(network, bundle, chosen)
        if form == "bioimageio":
            content = _container(bundle, content, chosen)
    try:
        durable.write(path, content)
    except OSError as error:
        raise OutputError(
            f"file {path}", error.strerror or str(error), "Choose a folder that can be written"
        ) from error
    return chosen


def to_onnx(network: bytes, bundle: Bundle, kind: Kind) -> bytes:
    """Convert a ``.tflite`` to ONNX, by tf2onnx.

    Parameters
    ----------
    network : bytes
        The ``.tflite``.
    bundle : Bundle
        Of what bundle, as read from a file, for the metadata.
    kind : str
        Its type.

    Returns
    -------
    bytes
        ONNX: input ``tiles``, outputs ``logits`` and ``embedding``.

    Raises
    ------
    ExportRefused
        When it cannot be converted.
    SelfTestFailed
        When it crashes or hangs.
    """
    import onnx
    import tf2onnx

    assert bundle.path is not None
    # tf2onnx loads it to learn its shapes.
    trial.run(bundle.path, kind=kind)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = Path(folder) / "network.tflite"
        source.write_bytes(network)
        try:
            model, _ = tf2onnx.convert.from_tflite(str(source), opset=_OPSET)
            onnx.checker.check_model(model)
        except Exception as error:
            # tf2onnx and onnx raise whatever went wrong inside.
            raise ExportRefused(
                f"the {kind} network",
                f"cannot be written as ONNX: {reason(error)}",
                "Convert it again with --type float32 as well, and export that",
            ) from error
    described = bundle.description
    model.doc_string = f"{described.name} {described.version}. {RESEARCH_USE_ONLY}"
    onnx.helper.set_model_props(
        model, {"classes": ",".join(described.classes), "um_per_px": f"{described.um_per_px:g}", "channels": "BGR"}
    )
    content: bytes = model.SerializeToString()
    return content


def _container(bundle: Bundle, weights: bytes, kind: Kind) -> bytes:
    tiles = bundle.selftest_tiles[:4].astype(np.float32)
    files = {
        "weights.onnx": weights,
        "test-tiles.npy": _npy(tiles),
        "test-logits.npy": _npy(bundle.selftest_logits[kind][:4]),
        "README.md": bundle.card.encode(),
        _LICENCE: _licence(bundle.description.training).encode(),
    }
    # What is JSON is YAML too.
    files["rdf.yaml"] = json.dumps(_description(bundle, files), indent=2, ensure_ascii=False).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            part = zipfile.ZipInfo(name)
            part.external_attr = 0o644 << 16
            archive.writestr(part, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _licence(training: Training) -> str:
    made_of = "".join(f"- {data}\n" for data in training.data)
    return f"What this model may be used for: {training.licence}.\n{RESEARCH_USE_ONLY}\n\nTrained on:\n{made_of}"


def _description(bundle: Bundle, files: dict[str, bytes]) -> dict[str, Any]:
    """Describe a model as bioimage.io's specification 0.5 asks."""
    described = bundle.description
    side = described.tiling.tile_px

    def stored(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    batch = {"type": "batch", "size": None, "id": "batch"}
    space = [{"type": "space", "id": axis, "size": side} for axis in "yx"]
    colours = {"type": "channel", "id": "channel", "channel_names": ["blue", "green", "red"]}
    classes = {"type": "channel", "id": "channel", "channel_names": list(described.classes)}
    return {
        "format_version": "0.5.14",
        "type": "model",
        "name": f"{described.name} {described.version}",
        "description": f"Tells {', '.join(described.classes)} apart in cells of marrow and blood. {RESEARCH_USE_ONLY}",
        "authors": [{"name": "wbc-edge"}],
        "cite": [{"text": "wbc-edge, see README.md", "url": "https://bioimage.io"}],
        # The model's, which is not the code's: as a file, since no SPDX identifier says "research only".
        "license": stored(_LICENCE),
        "documentation": stored("README.md"),
        "tags": ["classification", "microscopy", "haematology"],
        "timestamp": described.created,
        **({"version": described.version} if _NUMBERED.fullmatch(described.version) else {}),
        "config": {
            "wbc-edge": {
                "licence": described.training.licence,
                "version": described.version,
                "exported by": f"wbc-edge {__version__}",
                "um_per_px": described.um_per_px,
            }
        },
        "inputs": [
            {
                "id": "tiles",
                "description": f"Tiles at {described.um_per_px:g} um per px, clear glass at level 240, bytes 0 to 255",
                "axes": [batch, *space, colours],
                "data": {"type": "float32", "range": [0.0, 255.0]},
                "test_tensor": stored("test-tiles.npy"),
            }
        ],
        "outputs": [
            {
                "id": "logits",
                "description": "One logit a class",
                "axes": [{**batch}, classes],
                "data": {"type": "float32"},
                "test_tensor": stored("test-logits.npy"),
            }
        ],
        "weights": {"onnx": {**stored("weights.onnx"), "opset_version": _OPSET}},
    }


def _npy(array: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
