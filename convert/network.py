"""A trained network, read without running anything of its file, as one frozen function of tiles."""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import savedmodel
from convert.errors import NetworkUnreadable, reason
from convert.savedmodel import ONE_INPUT

_LARGEST_BYTES = 1 << 30
_WEIGHTS = "model.weights.h5"
_CHUNK = 256
_LARGEST_CHUNK_BYTES = 1 << 28
_LOGITS = "logits"
_WIDEST_EMBEDDING = 2048
"""Numbers: novelty is measured by a square matrix of as many rows, which a bundle and a device must hold."""

_RENAMING = frozenset({"Identity", "IdentityN", "StopGradient"})


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a foreign network wants of a tile's bytes: ``(byte - mean) / scale`` in its own order of channels.

    Attributes
    ----------
    scale : float
        Divisor.
    mean : tuple of float
        One value, or one a channel in the network's order.
    rgb : bool
        The network takes RGB; tiles are BGR.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    rgb: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A trained network as a frozen TensorFlow function.

    Attributes
    ----------
    function : ConcreteFunction
        Tiles, float32 0 to 255, shape (n, side, side, 3), BGR, to logits and embedding.
    tile_px : int
        Side of a tile.
    classes : int
        Number of logits.
    tile_bytes : int
        Of the largest activation of one tile.
    is_as_given : bool
        Its outputs were logits and embedding, in this order, and nothing was cut off.
    keras : keras.Model or None
        The Keras network of that function, which fine-tuning needs; None where there is none.
    """

    function: Any
    tile_px: int
    classes: int
    tile_bytes: int = 1
    is_as_given: bool = False
    keras: Any = None

    def run(self, tiles: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Judge tiles in float32, as the network was trained.

        Parameters
        ----------
        tiles : ndarray
            Shape (n, side, side, 3), uint8, BGR.

        Returns
        -------
        tuple of ndarray
            Logits (n, classes) and embeddings (n, d), float32.
        """
        import tensorflow as tf

        most = max(1, min(_CHUNK, _LARGEST_CHUNK_BYTES // self.tile_bytes))
        chunks = [
            [np.asarray(part) for part in self.function(tf.constant(tiles[start : start + most], tf.float32))]
            for start in range(0, len(tiles), most)
        ]
        logits, embeddings = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
        return logits, embeddings


def load(path: Path, preprocessing: Preprocessing | None = None, classes: int | None = None) -> Network:
    """Load a network without running any code from its file.

    Parameters
    ----------
    path : Path
        A ``.keras`` file or the folder of a SavedModel.
    preprocessing : Preprocessing, optional
        What stands between a tile's bytes and the network's input.
    classes : int, optional
        Number of classes, by which the logits are known among outputs that are named otherwise.

    Returns
    -------
    Network
        With outputs logits and embedding. Logits are what goes into the softmax of the first output, if it has one; of
        a network with one output the embedding is what goes into its last dense layer.

    Raises
    ------
    NetworkUnreadable
        When it is no such network.
    """
    return (
        freeze(savedmodel.load(path), path, preprocessing, classes)
        if path.is_dir()
        else of_keras(_keras(path), path, preprocessing, classes)
    )


def of_keras(model: Any, path: Path, preprocessing: Preprocessing | None = None, classes: int | None = None) -> Network:
    """Freeze a Keras network.

    Parameters
    ----------
    model : keras.Model
        One input of tiles; outputs logits and embedding, or one output.
    path : Path
        Where it is from, for the message.
    preprocessing : Preprocessing, optional
        What stands between a tile's bytes and the network's input.
    classes : int, optional
        See :func:`load`.

    Returns
    -------
    Network
        The frozen network.

    Raises
    ------
    NetworkUnreadable
        When it has other inputs or outputs.
    """
    shapes = [tuple(shown.shape) for shown in model.inputs]
    if len(shapes) != 1:
        raise NetworkUnreadable(f"network {path}", f"has {len(shapes)} inputs", ONE_INPUT)
    frozen = freeze((lambda tiles: model(tiles, training=False), shapes[0]), path, preprocessing, classes)
    plain = preprocessing in (None, Preprocessing()) and frozen.is_as_given
    return replace(frozen, keras=model if plain else None)


def _keras(path: Path) -> Any:
    import keras

    # By its name Keras would read another file than the archive that is looked through here: HDF5 with a ZIP behind.
    if path.suffix != ".keras":
        raise NetworkUnreadable(
            f"network {path}", "is not called .keras", "Give a .keras file or a SavedModel's folder"
        )
    size_bytes = _refuse_hostile_archive(path)
    try:
        _refuse_more_than_it_holds(path, size_bytes)
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except NetworkUnreadable:
        raise
    except Exception as error:
        # On a damaged or hostile file Keras, HDF5, ZIP and JSON fail in more ways than they name.
        why, remedy = reason(error), "Give a whole .keras file, or train again"
        unknown = re.search(r"Could not locate (?:class|function) '([^']+)'", str(error))
        # Keras says what to call to have it run all the same.
        if code := unknown or re.search(r"deserialization of a `(\w+)`", str(error)):
            why = f"has {'the custom layer' if unknown else 'a layer of code,'} {code[1]}"
            remedy = "Build it of Keras's own layers: code of a custom layer is never loaded from a file"
        raise NetworkUnreadable(f"network {path}", why, remedy) from error


def _refuse_more_than_it_holds(path: Path, size_bytes: int) -> None:
    """Refuse a small file that describes a huge network before any memory is taken for it.

    The layers are built without their variables, so that only shapes are counted.
    """
    import keras

    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        weights = archive.read(_WEIGHTS)
    # Keras compresses no weights, and what it lets pass of a dataset that is hardly there is gigabytes.
    if (claimed_bytes := _claimed_bytes(weights)) > len(weights):
        why = f"has weights that claim to be {claimed_bytes} bytes, and holds {len(weights)}"
        raise NetworkUnreadable(f"network {path}", why, "Give a whole .keras file, or train again")
    try:
        with keras.StatelessScope(initialize_variables=False):
            parameters = keras.saving.deserialize_keras_object(config, safe_mode=True).count_params()
    finally:
        # Else Keras would make those variables at the end of the next scope.
        keras.backend.clear_session()
    # A parameter has at least a byte in the file, and four in memory.
    if parameters > min(size_bytes, _LARGEST_BYTES // 4):
        why = f"describes a network of {parameters} parameters, and holds {size_bytes} bytes"
        raise NetworkUnreadable(f"network {path}", why, "Give a whole .keras file, or train again")


def _claimed_bytes(weights: bytes) -> int:
    """Add up how large the datasets of an HDF5 file say that they are; links to other files are not followed."""
    import h5py

    claimed: list[int] = []

    def look(_: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            claimed.append(int(found.size or 0) * int(found.dtype.itemsize))

    with h5py.File(io.BytesIO(weights)) as file:
        file.visititems(look)
    return sum(claimed)


def _refuse_hostile_archive(path: Path) -> int:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise NetworkUnreadable(f"network {path}", reason(error), "Give a whole .keras file, or train again") from error
    for entry in entries:
        name = PurePosixPath(entry.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in entry.filename:
            raise NetworkUnreadable(f"network {path}", f"holds {entry.filename!r}, which reaches out of the file")
    size_bytes = sum(entry.file_size for entry in entries)
    if size_bytes > _LARGEST_BYTES:
        raise NetworkUnreadable(f"network {path}", f"claims to unpack to {size_bytes} bytes")
    return size_bytes


def freeze(
    source: tuple[Callable[[Any], Any], tuple[int | None, ...]],
    path: Path,
    preprocessing: Preprocessing | None = None,
    classes: int | None = None,
) -> Network:
    """Make a constant graph of a function, and find logits and embedding in it.

    Parameters
    ----------
    source : tuple
        The function, and the shape of its input.
    path : Path
        Where it is from, for the message.
    preprocessing : Preprocessing, optional
        What stands between a tile's bytes and the function's input.
    classes : int, optional
        See :func:`load`.

    Returns
    -------
    Network
        The frozen function.

    Raises
    ------
    NetworkUnreadable
        When its input is not of tiles, or logits and embedding cannot be told.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    called, shape = source
    if len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2] or not shape[1]:
        raise NetworkUnreadable(f"network {path}", f"takes an input of shape {shape}", ONE_INPUT)
    wanted = preprocessing or Preprocessing()
    signature = tf.TensorSpec((None, *shape[1:]), tf.float32, name="tiles")
    try:
        traced = tf.function(lambda tiles: called(_prepared(tiles, wanted)), autograph=False)
        concrete = traced.get_concrete_function(signature)
        frozen = convert_variables_to_constants_v2(concrete)
    except Exception as error:
        raise NetworkUnreadable(f"network {path}", f"cannot be traced: {reason(error)}") from error
    logits, embedding = _head(_first_the_classes(frozen.outputs, concrete.structured_outputs, path, classes), path)
    if (width := embedding.shape[-1]) > _WIDEST_EMBEDDING:
        why = f"says {width} numbers of a tile before its last layer, and a bundle holds {_WIDEST_EMBEDDING}"
        raise NetworkUnreadable(f"network {path}", why, "Pool before the last layer, as GlobalAveragePooling2D does")
    function = frozen.prune(frozen.inputs[0], [logits, embedding])
    if (tile_bytes := _largest_activation_bytes(function)) > _LARGEST_CHUNK_BYTES:
        why = f"takes more memory for a tile than any device has for it: {tile_bytes / 1e6:,.0f} MB for one layer alone"
        raise NetworkUnreadable(f"network {path}", why, "Give it smaller tiles, or layers of fewer channels")
    is_as_given = len(frozen.outputs) == 2 and logits is frozen.outputs[0]
    return Network(function, int(shape[1] or 0), int(logits.shape[-1]), tile_bytes, is_as_given)


def _largest_activation_bytes(function: Any) -> int:
    """Say how large the largest activation of one tile is, of those whose shape is known but for how many tiles."""
    shapes = [
        (output.shape.as_list(), output.dtype.size)
        for operation in function.graph.get_operations()
        for output in operation.outputs
        if output.shape.rank
    ]
    return int(max(math.prod(shape[1:]) * size for shape, size in shapes if shape[0] is None and None not in shape[1:]))


def _prepared(tiles: Any, wanted: Preprocessing) -> Any:
    import tensorflow as tf

    if not wanted.rgb and len(set(wanted.mean)) == 1:
        if wanted.mean[0]:
            tiles = tiles - wanted.mean[0]
        return tiles / wanted.scale if wanted.scale != 1 else tiles
    # Exact in int8, where each output channel has a weight scale of its own, and known to every accelerator.
    order = np.eye(3, dtype=np.float32)[::-1] if wanted.rgb else np.eye(3, dtype=np.float32)
    mean = np.broadcast_to(np.asarray(wanted.mean, np.float32), 3)
    kernel = (order / wanted.scale).astype(np.float32)[None, None]
    return tf.nn.conv2d(tiles, kernel, 1, "VALID") - mean / np.float32(wanted.scale)


def _first_the_classes(outputs: Sequence[Any], structured: Any, path: Path, classes: int | None) -> list[Any]:
    """Put that of two outputs first which is of classes: by its place in a list, by its name, or else by its width."""
    if len(outputs) != 2 or not isinstance(structured, dict):
        return list(outputs)
    # TensorFlow sorts what has names.
    named = dict(zip(sorted(structured), outputs, strict=True))
    if _LOGITS in named:
        chosen = [_LOGITS]
    elif set(named) == {"output_0", "output_1"}:
        chosen = ["output_0"]
    else:
        chosen = [name for name, output in named.items() if classes is not None and output.shape[-1] == classes]
    if len(chosen) != 1:
        raise NetworkUnreadable(
            f"network {path}",
            f"has outputs {' and '.join(named)}: which one is of the classes cannot be told",
            f"Name that one {_LOGITS!r}",
        )
    return sorted(outputs, key=lambda output: output is not named[chosen[0]])


def _head(outputs: Sequence[Any], path: Path) -> tuple[Any, Any]:
    if any(len(output.shape) != 2 or not output.shape[-1] for output in outputs):
        shapes = ", ".join(str(tuple(output.shape)) for output in outputs)
        raise NetworkUnreadable(
            f"network {path}", f"has outputs of shape {shapes}", "Its outputs must be one row a tile: (n, classes)"
        )
    logits = _behind(outputs[0])
    ends_in_softmax = logits.op.type == "Softmax"
    if ends_in_softmax:
        # The device takes the softmax: of probabilities it would be nearly the same for all classes.
        logits = _behind(logits.op.inputs[0])
    if len(outputs) == 2:
        return logits if ends_in_softmax else outputs[0], outputs[1]
    if len(outputs) != 1:
        found = f"has {len(outputs)} outputs"
        raise NetworkUnreadable(f"network {path}", found, "One output of classes, or logits and embedding, are needed")
    dense = _behind(logits.op.inputs[0]) if logits.op.type in ("BiasAdd", "AddV2", "Add") else logits
    if dense.op.type != "MatMul":
        raise NetworkUnreadable(
            f"network {path}",
            f"ends in {_behind(outputs[0]).op.type}, not in a dense layer",
            "Give it a last layer Dense(number of classes), with or without softmax",
        )
    return logits, dense.op.inputs[0]


def _behind(tensor: Any) -> Any:
    while tensor.op.type in _RENAMING:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor
