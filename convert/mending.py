"""What to do when plain int8 loses too much, in the order in which it costs least.

1. Better ranges for the activations: percentiles, or the range that errs least by mean square. Weights have a scale for
   each output channel in all of them, as in plain int8.
2. The layers that lose most are kept in float32, more and more of them, up to half.
3. Quantization-aware fine-tuning.

Cross-layer equalisation and bias correction (Nagel et al. 2019, "Data-free quantization through weight equalization and
bias correction") are not among them: no library that is alive does them for Keras or TFLite.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert import activations, graph, pooling, tflite
from convert import network as _network
from convert.activations import Chooser, Seen
from convert.network import Network
from edge.model import runtime as _runtime

STEPS = ("calibration", "mixed", "fine-tuning")
"""What may be tried, in this order."""

_CHOOSERS: tuple[tuple[str, Chooser], ...] = (
    ("99.99th percentiles", activations.percentile(99.99)),
    ("99.9th percentiles", activations.percentile(99.9)),
    ("ranges of least squared error", activations.least_squares),
)
_OBSERVED_TILES = 100
_SENSITIVITY_TILES = 64
_MOST_KEPT = 0.5


@dataclass(frozen=True, slots=True)
class Attempt:
    """A network that may be better than plain int8.

    Attributes
    ----------
    what : str
        What was done, for people.
    network : bytes
        The ``.tflite``.
    kept : tuple of str
        Layers that were kept in float32.
    """

    what: str
    network: bytes
    kept: tuple[str, ...] = ()


def attempts(
    network: Network,
    exact: bytes,
    representative: NDArray[np.uint8],
    steps: Collection[str],
    loss: Callable[[bytes], float],
    progress: Callable[[str], None],
) -> Iterator[Attempt]:
    """Make one network after the other, until nobody asks for the next.

    Parameters
    ----------
    network : Network
        The trained network.
    exact : bytes
        Its float32 ``.tflite``.
    representative : ndarray
        Shape (n, tile, tile, 3), uint8: the representative dataset.
    steps : collection of str
        Which of ``STEPS`` to try.
    loss : callable
        How much an attempt loses; the best ranges are those of the next steps.
    progress : callable
        Called with what is being tried.

    Yields
    ------
    Attempt
        In the order of ``STEPS``.
    """
    seen = activations.observe(exact, representative[:_OBSERVED_TILES])
    found: list[tuple[float, Chooser]] = []
    for what, choose in _CHOOSERS:
        progress(f"mending: {what}")
        attempt = Attempt(what, _quantized(exact, seen, choose))
        found.append((loss(attempt.network), choose))
        if "calibration" in steps:
            yield attempt
    found.append((loss(_quantized(exact, seen, activations.extremes)), activations.extremes))
    best = min(found, key=lambda each: each[0])[1]
    if "mixed" in steps:
        yield from _mixed(exact, seen, best, representative[:_SENSITIVITY_TILES], network.classes, progress)
    if "fine-tuning" in steps and network.keras is not None:
        yield from _fine_tuned(network.keras, representative, progress)


def _mixed(
    exact: bytes,
    seen: dict[str, Seen],
    choose: Chooser,
    tiles: NDArray[np.uint8],
    classes: int,
    progress: Callable[[str], None],
) -> Iterator[Attempt]:
    progress("mending: which layers lose most")
    order = _most_sensitive(exact, seen, choose, tiles, classes)
    for count in range(1, int(_MOST_KEPT * len(order)) + 1):
        kept = order[:count]
        names = tuple(dict.fromkeys(layer.name for layer in kept))
        progress(f"mending: {count} of {len(order)} layers in float32")
        network = _quantized(exact, seen, choose, kept=[layer.tensor for layer in kept])
        yield Attempt(f"{count} of {len(order)} layers in float32: {', '.join(names)}", network, names)


def _most_sensitive(
    exact: bytes, seen: dict[str, Seen], choose: Chooser, tiles: NDArray[np.uint8], classes: int
) -> list[graph.Layer]:
    """Rank layers by what the logits lose when that layer alone is quantized."""
    expected = _runtime.load(exact, classes).run(tiles).logits
    ranked = []
    for layer in graph.layers(exact):
        alone = _runtime.load(_quantized(exact, seen, choose, only=layer.tensor), classes)
        lost = float(np.square(alone.run(tiles).logits - expected).mean())
        ranked.append((lost, layer))
    return [layer for _, layer in sorted(ranked, key=lambda each: -each[0])]


def _fine_tuned(model: Any, representative: NDArray[np.uint8], progress: Callable[[str], None]) -> Iterator[Attempt]:
    from convert import finetune

    tuned = finetune.fine_tune(
        model,
        representative,
        lambda done, of: progress(f"mending: fine-tuning, epoch {done} of {of}"),
        epochs=finetune.EPOCHS,
    )
    exact = tflite.convert(_network.of_keras(tuned, Path("fine-tuned")), "float32", representative)
    seen = activations.observe(exact, representative[:_OBSERVED_TILES])
    # It has learned to live with these ranges.
    network = _quantized(exact, seen, activations.extremes)
    yield Attempt(f"fine-tuned under rounding for {finetune.EPOCHS} epochs", network)


def _quantized(
    exact: bytes, seen: dict[str, Seen], choose: Chooser, kept: Sequence[str] = (), only: str | None = None
) -> bytes:
    """Quantize a float32 ``.tflite`` by AI Edge Quantizer, with ranges chosen here and the input on the byte grid."""
    from ai_edge_quantizer import qtyping, quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    every = qtyping.TFLOperationName.ALL_SUPPORTED
    work = quantizer.Quantizer(exact)
    work.add_static_config(".*" if only is None else _exactly(only), every, activation_num_bits=8, weight_num_bits=8)
    for name in kept:
        work.update_quantization_recipe(
            regex=_exactly(name), operation_name=every, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    parsed = graph.parse(exact).subgraphs[0]
    shown = graph.text(parsed.tensors[parsed.inputs[0]].name)
    ranges = {name: (0.0, 255.0) if name == shown else choose(values) for name, values in seen.items()}
    statistics = {
        name: {
            "min": np.full((1,) * seen[name].rank, min(low, 0.0), np.float32),
            "max": np.full((1,) * seen[name].rank, max(high, 0.0), np.float32),
        }
        for name, (low, high) in ranges.items()
    }
    with warnings.catch_warnings():
        # Its own interpreter keeps all tensors, and says that this takes memory.
        warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors", UserWarning)
        result = work.quantize(statistics, enable_progress_report=False).quantized_model
    return pooling.as_convolutions(bytes(result or b""))


def _exactly(name: str) -> str:
    # The quantizer matches names of outputs, each followed by a semicolon.
    return f"^{re.escape(name)};?$"
