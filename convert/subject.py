"""What is to be converted: a run of the trainer, or a network from elsewhere with what its user says of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert import fields as _fields
from convert import network as _network
from convert import novelty as _novelty
from convert.errors import CalibrationRefused, NetworkUnreadable
from convert.fields import Fields
from convert.network import Network, Preprocessing
from convert.report import GIVEN, HELD_OUT, TRAINING
from edge import RESEARCH_USE_ONLY, __version__, manifest
from edge.errors import BundleCorrupt, ConfigurationError
from edge.manifest import LabelledField
from edge.model import description as _description
from edge.model import run as _run
from edge.model.description import FORMAT, Description, Tiling, Training
from edge.verdict import Decision

Progress = Callable[[str], None]
Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network and all that its bundle will say and be measured by.

    Attributes
    ----------
    network : Network
        The trained network.
    description : Description
        What the bundle will say, but for networks and figures.
    card : str
        Model card, Markdown.
    representative : ndarray
        Shape (n, tile, tile, 3), uint8: by which int8 is calibrated.
    fields : Fields
        On which it is compared.
    kind_of_fields : str
        One of those of :mod:`convert.report`.
    novelty : callable
        Of a function from tiles to embeddings, as a device will have them: mean and whitening, shape (d + 1, d),
        float32.
    """

    network: Network
    description: Description
    card: str
    representative: NDArray[np.uint8]
    fields: Fields
    kind_of_fields: str
    novelty: Callable[[Embed], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Foreign:
    """What the user says of a network that no run describes.

    Attributes
    ----------
    classes : tuple of str
        Class of each output, in its order.
    um_per_px : float
        Pixel size that it was trained at.
    preprocessing : Preprocessing
        What it wants of a tile's bytes.
    name : str
        Of the model.
    licence : str
        What it may be used for.
    strategy : str
        ``nuclei`` or ``grid``.
    least_probability : float
        Frames less certain are indeterminate.
    """

    classes: tuple[str, ...]
    um_per_px: float
    preprocessing: Preprocessing
    name: str
    licence: str = "not stated"
    strategy: str = "nuclei"
    least_probability: float = 0.7


def of_run(folder: Path, calibration: Path | None, data: Path | None, progress: Progress) -> Subject:
    """Read what a run of the trainer made.

    Parameters
    ----------
    folder : Path
        What ``trainer fit`` wrote.
    calibration : Path, optional
        Manifest of the representative dataset; by default the run's own, of its training part.
    data : Path, optional
        Manifest of fields to compare on; by default the run's own held-out ones.
    progress : callable
        Called with the name of each step as it begins.

    Returns
    -------
    Subject
        To be converted.

    Raises
    ------
    BundleError
        When the run is not whole.
    NetworkUnreadable, CalibrationRefused, DataError
        When the network or a manifest cannot be used.
    """
    run = _run.read(folder)
    novelty = _fields.run_array(folder, _run.NOVELTY, np.float32)
    if novelty.ndim != 2 or len(novelty) != novelty.shape[1] + 1:
        raise BundleCorrupt(f"run {folder}", "its arrays do not fit each other", "Train it again")
    try:
        card = (folder / _run.CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleCorrupt(f"run {folder}", f"{_run.CARD} is missing or damaged: {error}", "Train it again") from error
    description = _described(run)
    tested = manifest.read([data]) if data is not None else []
    fields = _cut(tested, description, progress) if data is not None else _fields.held_out(folder, run)
    representative = (
        _fields.run_tiles(folder, _run.CALIBRATION, run.tiling)
        if calibration is None
        else _fields.balanced(_calibration(calibration, description, run.training.held_out_groups, tested, progress))
    )
    progress("loading the network")
    network = _network.load(folder / _run.NETWORK)
    _check(network, folder / _run.NETWORK, run.classes, representative)
    return Subject(
        network,
        description,
        card,
        representative,
        fields,
        _kind_of_fields(run, fields, data is not None),
        lambda _: novelty,
    )


def of_network(path: Path, told: Foreign, calibration: Path, data: Path, progress: Progress) -> Subject:
    """Take a network from elsewhere.

    Parameters
    ----------
    path : Path
        A ``.keras`` file or the folder of a SavedModel.
    told : Foreign
        What its user says of it.
    calibration : Path
        Manifest of the representative dataset: what it was trained on.
    data : Path
        Manifest of fields that it was not trained on, to compare on.
    progress : callable
        Called with the name of each step as it begins.

    Returns
    -------
    Subject
        To be converted.

    Raises
    ------
    NetworkUnreadable, CalibrationRefused, DataError, BundleCorrupt
        When network, manifest or what is said of it cannot be used.
    """
    progress("loading the network")
    network = _network.load(path, told.preprocessing, len(told.classes))
    now = datetime.datetime.now(datetime.UTC)
    classes = len(told.classes)
    description = Description(
        format=FORMAT,
        name=told.name,
        version=now.strftime("%Y.%m.%d"),
        created=now.isoformat(timespec="seconds"),
        classes=told.classes,
        um_per_px=told.um_per_px,
        normalisation="clear-glass-240",
        tiling=Tiling(strategy="grid" if told.strategy == "grid" else "nuclei", tile_px=network.tile_px),
        decision=Decision(
            pseudo_counts=(0.1,) * classes,
            temperature=1.0,
            bias=(0.0,) * classes,
            least_probability=told.least_probability,
            least_tiles=1,
            novelty_warns=1 / _novelty.REFUSAL_OVER_KNOWN,
        ),
        networks={"int8": "network-int8.tflite"},
        training=Training(data=(f"not stated; calibrated on {calibration.name}",), licence=told.licence),
    )
    try:
        description = _description.decode(_description.encode(description), told.name)
    except BundleCorrupt as error:
        raise ConfigurationError(f"network {path}", error.why, "Correct what you said of it") from error
    _check_classes(network, path, told.classes)
    tested = manifest.read([data])
    fields = _cut(tested, description, progress)
    known = _calibration(calibration, description, (), tested, progress)
    representative = _fields.balanced(known)
    _check(network, path, told.classes, representative)
    card = (
        f"# {told.name} {description.version}\n\n**{RESEARCH_USE_ONLY}** Licence: {told.licence}.\n\n"
        f"Tells {', '.join(told.classes)} apart, from tiles of {network.tile_px} px at {told.um_per_px:g} um per px. "
        "The network was not trained by wbc-edge: what it learned from, and what must not be believed of it, is its "
        "maker's to say. Its probabilities are those of its softmax, not calibrated on groups held out. What is unlike "
        f"the {len(known.field_labels)} fields that it was calibrated on ({len(known.labels)} tiles) is refused.\n"
    )
    return Subject(
        network,
        description,
        card,
        representative,
        fields,
        GIVEN,
        lambda embed: _novelty.fit(embed(known.tiles), known),
    )


def _kind_of_fields(run: _run.Run, fields: Fields, are_given: bool) -> str:
    held_out = set(run.training.held_out_groups)
    # A run whose held-out groups show no nucleus brings training fields; one of an earlier version names no groups.
    if held_out.issuperset(fields.groups.tolist()) or (held_out and not fields.whole):
        return HELD_OUT
    return GIVEN if are_given else TRAINING


def _described(run: _run.Run) -> Description:
    software = {
        **run.training.software,
        "converted by wbc-edge": __version__,
        "ai-edge-quantizer": version("ai-edge-quantizer"),
    }
    description = Description(
        format=FORMAT,
        name=run.name,
        version=run.version,
        created=run.created,
        classes=run.classes,
        um_per_px=run.um_per_px,
        normalisation=run.normalisation,
        tiling=run.tiling,
        decision=run.decision,
        networks={"int8": "network-int8.tflite"},
        training=msgspec.structs.replace(run.training, software=software),
        metrics=run.metrics,
    )
    # Read as a device will read it, so that what it would refuse is not written.
    return _description.decode(_description.encode(description), run.name)


def _cut(sources: Sequence[LabelledField], description: Description, progress: Progress) -> Fields:
    return _told(_fields.cut(sources, description, _counted(progress, "comparison")), progress)


def _calibration(
    path: Path,
    description: Description,
    held_out_groups: Collection[str],
    tested: Sequence[LabelledField],
    progress: Progress,
) -> Fields:
    told = _counted(progress, "calibration")
    return _told(_fields.calibration(path, description, held_out_groups, tested, told), progress)


def _told(fields: Fields, progress: Progress) -> Fields:
    for why in fields.unreadable:
        progress(f"left out: {why}")
    return fields


def _counted(progress: Progress, what: str) -> Callable[[int, int], None]:
    def told(done: int, of: int) -> None:
        if done in (1, of) or done % 100 == 0:
            progress(f"reading fields for {what}: {done} of {of}")

    return told


def _check_classes(network: Network, path: Path, classes: tuple[str, ...]) -> None:
    if network.classes != len(classes):
        raise NetworkUnreadable(
            f"network {path}",
            f"has {network.classes} outputs, but the classes are {', '.join(classes)}",
            "Name one class for each output, in their order",
        )


def _check(network: Network, path: Path, classes: tuple[str, ...], representative: NDArray[np.uint8]) -> None:
    import tensorflow as tf

    _check_classes(network, path, classes)
    _fields.check_calibration(representative, network.tile_px)
    embedding = int(network.function.outputs[1].shape[-1])
    if embedding == len(classes):
        raise NetworkUnreadable(
            f"network {path}",
            f"has an embedding as wide as there are classes, {embedding}",
            "Logits and embedding are told apart by their width: give its last layer but one another",
        )
    try:
        given = network.run(representative[:8])
    except tf.errors.ResourceExhaustedError as error:
        raise NetworkUnreadable(
            f"network {path}", "takes more memory for a tile than there is", "Convert it on a larger machine"
        ) from error
    if not all(np.isfinite(part).all() for part in given):
        raise CalibrationRefused("the representative dataset", "makes the network give what is no number")
