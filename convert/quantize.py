"""From a training run to a bundle: quantize, prove, pack; or refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert import network as _network
from convert import parity as _parity
from convert.errors import QuantizationRefused
from convert.parity import Parity
from edge import __version__
from edge.errors import BundleCorrupt
from edge.model import bundle as _bundle
from edge.model import description as _description
from edge.model import run as _run
from edge.model import runtime as _runtime
from edge.model import selftest
from edge.model.bundle import Bundle
from edge.model.description import FORMAT, Description
from edge.model.runtime import Runtime

SELFTEST_TILES = 12
"""Number of tiles that a device proves the network on."""

_LOOKED_THROUGH = 20 * SELFTEST_TILES

_Number = TypeVar("_Number", bound=np.number)


def quantize(
    run_folder: Path,
    out: Path,
    *,
    min_agreement: float = 0.98,
    max_accuracy_drop: float = 0.01,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Bundle, Parity]:
    """Quantize the network of a run to int8 and pack it as a bundle.

    Parameters
    ----------
    run_folder : Path
        What ``trainer fit`` wrote.
    out : Path
        The ``.wbc`` file to write.
    min_agreement : float
        Least share of held-out tiles (of training tiles, where none were held out) that the quantized network must
        decide as the float network does, 0 to 1.
    max_accuracy_drop : float
        Largest loss of accuracy on them, 0 to 1.
    progress : callable
        Called with the name of each step as it begins.

    Returns
    -------
    tuple
        The bundle as read back, and the parity that let it pass.

    Raises
    ------
    BundleError
        When the run is not whole.
    NetworkUnreadable, CalibrationRefused
        When its network cannot be converted.
    QuantizationRefused
        When the quantized network lost its judgement; nothing is written.
    OutputError
        When the file cannot be written.
    """
    run = _run.read(run_folder)
    tile = run.tiling.tile_px
    tiles = _tiles(run_folder, _run.HELD_OUT_TILES, tile)
    labels = _array(run_folder, _run.HELD_OUT_LABELS, np.int64)
    novelty = _array(run_folder, _run.NOVELTY, np.float32)
    if labels.shape != (len(tiles),) or novelty.ndim != 2 or len(novelty) != novelty.shape[1] + 1:
        raise BundleCorrupt(f"run {run_folder}", "its arrays do not fit each other", "Train it again")
    progress("loading the network")
    exact = _network.load(run_folder / _run.NETWORK)
    progress("quantizing to int8")
    quantized = _network.to_int8(exact, _tiles(run_folder, _run.CALIBRATION, tile))
    runtime = _runtime.load(quantized, len(run.classes))
    progress("comparing with the float network")
    parity = _parity.measure(exact, runtime, tiles, labels)
    _refuse_what_lost(parity, min_agreement, max_accuracy_drop)
    progress("packing")
    shown = _clearly_decided(tiles, runtime)
    bundle = Bundle(
        # Read as a device will read it, so that what it would refuse is not written.
        description=_description.decode(_description.encode(_describe(run, parity)), run.name),
        networks={"int8": quantized},
        card=_card(run_folder, run, parity),
        novelty_mean=novelty[0],
        novelty_whitening=novelty[1:],
        selftest_tiles=shown,
        selftest_logits={"int8": runtime.run(shown).logits},
    )
    selftest.check(bundle, runtime, "int8")
    return _bundle.write(bundle, out), parity


def _clearly_decided(tiles: NDArray[np.uint8], runtime: Runtime) -> NDArray[np.uint8]:
    """Choose tiles whose decision no allowed rounding can turn, so that every sound device decides them alike."""
    seen = tiles[: max(_LOOKED_THROUGH, SELFTEST_TILES)]
    best = np.sort(runtime.run(seen).logits, axis=1)
    lead = best[:, -1] - best[:, -2]
    clear = np.flatnonzero(lead > 2 * selftest.MOST_STEPS * runtime.logit_step)
    # A network that decides nothing clearly, as after a few steps of training, is still to be tested.
    clear = clear if len(clear) else np.argsort(-lead)[:SELFTEST_TILES]
    chosen = clear[np.linspace(0, len(clear) - 1, min(SELFTEST_TILES, len(clear))).astype(np.int64)]
    return np.asarray(seen[chosen], np.uint8)


def _tiles(folder: Path, name: str, tile_px: int) -> NDArray[np.uint8]:
    tiles = _array(folder, name, np.uint8)
    if tiles.ndim != 4 or tiles.shape[1:] != (tile_px, tile_px, 3) or not len(tiles):
        raise BundleCorrupt(f"run {folder}", f"{name} holds no tiles of {tile_px} px", "Train it again")
    return tiles


def _array(folder: Path, name: str, dtype: type[_Number]) -> NDArray[_Number]:
    array = _run.array(folder, name)
    if array.dtype != dtype:
        raise BundleCorrupt(f"run {folder}", f"{name} holds {array.dtype}, not {np.dtype(dtype)}", "Train it again")
    return array.astype(dtype, copy=False)


def _refuse_what_lost(parity: Parity, min_agreement: float, max_accuracy_drop: float) -> None:
    drop = parity.accuracy_float - parity.accuracy_quantized
    if parity.agreement < min_agreement:
        why = f"decides only {100 * parity.agreement:.1f}% of {parity.tiles} tiles as the float network does"
        raise QuantizationRefused("the int8 network", why, f"At least {100 * min_agreement:g}% are asked for")
    if drop > max_accuracy_drop:
        why = f"lost {100 * drop:.1f} points of accuracy on {parity.tiles} tiles"
        raise QuantizationRefused("the int8 network", why, f"At most {100 * max_accuracy_drop:g} are allowed")


def _describe(run: _run.Run, parity: Parity) -> Description:
    figures = {
        "int8 agreement with float": parity.agreement,
        "int8 accuracy drop": parity.accuracy_float - parity.accuracy_quantized,
    }
    software = {**run.training.software, "converted by wbc-edge": __version__}
    return Description(
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
        metrics={**run.metrics, **figures},
    )


def _card(folder: Path, run: _run.Run, parity: Parity) -> str:
    try:
        card = (folder / _run.CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleCorrupt(f"run {folder}", f"{_run.CARD} is missing or damaged: {error}", "Train it again") from error
    kind = "held-out" if run.training.held_out_groups else "training"
    return (
        f"{card.rstrip()}\n\n## int8 against float\n\n"
        f"On {parity.tiles} {kind} tiles: the same decision on {100 * parity.agreement:.2f}%, accuracy "
        f"{100 * parity.accuracy_quantized:.2f}% (float {100 * parity.accuracy_float:.2f}%), largest difference of a "
        f"logit {parity.largest_difference:.3f}.\n"
    )
