"""What to do when plain int8 loses too much, in the order in which it costs least.

1. Better ranges for the activations: percentiles, or the range that errs least by mean square; of the network as it is,
   and of one whose channels were equalised (:mod:`convert.equalise`). What loses least on the representative dataset is
   tried first. Weights have a scale for each output channel in all of them, as in plain int8.
2. The layers that lose most are kept in float32, more and more of them, up to half.
3. Quantization-aware fine-tuning.

The first costs a device nothing, the second time. Bias correction, of the same paper, is not among them: it was tried
on the bundled network, and made the error of its logits hardly less (``docs/conversion.md``).
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

from convert import activations, equalise, graph, pooling, tflite
from convert import network as _network
from convert.activations import Chooser, Range, Seen
from convert.network import Network
from edge.model import runtime as _runtime

STEPS = ("calibration", "equalisation", "mixed", "fine-tuning")
"""What may be tried, in this order."""

_CHOOSERS: tuple[tuple[str, Chooser], ...] = (
    ("extreme values", activations.extremes),
    ("99.99th percentiles", activations.percentile(99.99)),
    ("99.9th percentiles", activations.percentile(99.9)),
    ("ranges of least squared error", activations.least_squares),
)
_PASSED_ON = frozenset({"AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D"})
"""Operations that make no new values, or only means of them."""

_OBSERVED_TILES = 100
_SENSITIVITY_TILES = 64
_MOST_KEPT = 0.5
_MIXED_FROM = 3
"""Ways of choosing ranges: what tiles lose, by which they are ranked, says little of a few verdicts."""


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


@dataclass(frozen=True, slots=True, eq=False)
class _Calibrated:
    """A float32 ``.tflite``, what its tensors held, and how a range is chosen from that; told in words."""

    what: str
    exact: bytes
    seen: dict[str, Seen]
    choose: Chooser

    def quantized(self, kept: Sequence[str] = (), only: str | None = None) -> bytes:
        """Quantize it by AI Edge Quantizer, with the input on the byte grid.

        Parameters
        ----------
        kept : sequence of str
            Outputs of the layers that stay in float32.
        only : str, optional
            Output of the only layer that does not.
        """
        from ai_edge_quantizer import qtyping, quantizer
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

        every = qtyping.TFLOperationName.ALL_SUPPORTED
        work = quantizer.Quantizer(self.exact)
        layers = ".*" if only is None else _exactly(only)
        work.add_static_config(layers, every, activation_num_bits=8, weight_num_bits=8)
        for name in kept:
            work.update_quantization_recipe(
                regex=_exactly(name), operation_name=every, algorithm_key=AlgorithmName.NO_QUANTIZE
            )
        statistics = {
            name: {
                "min": np.full((1,) * self.seen[name].rank, min(low, 0.0), np.float32),
                "max": np.full((1,) * self.seen[name].rank, max(high, 0.0), np.float32),
            }
            for name, (low, high) in self._ranges().items()
        }
        with warnings.catch_warnings():
            # Its own interpreter keeps all tensors, and says that this takes memory.
            warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors", UserWarning)
            result = work.quantize(statistics, enable_progress_report=False).quantized_model
        return pooling.as_convolutions(bytes(result or b""))

    def _ranges(self) -> dict[str, Range]:
        """Choose each tensor's range; tensors that only pass values on to each other share the widest.

        Else each would be rounded anew, and wait for it.
        """
        model = graph.parse(self.exact)
        part = model.subgraphs[0]
        names = [graph.text(tensor.name) for tensor in part.tensors]
        shown = names[part.inputs[0]]
        # Of constants the quantizer finds the range itself, that of weights for each output channel.
        chosen = {
            name: (0.0, 255.0) if name == shown else self.choose(self.seen[name])
            for name, tensor in zip(names, part.tensors, strict=True)
            if name in self.seen and not graph.is_constant(model, tensor)
        }
        together = {name: {name} for name in chosen}
        for operator in part.operators:
            if graph.operation_name(model, operator) in _PASSED_ON:
                passed = {names[index] for index in (*operator.inputs, *operator.outputs)} & chosen.keys()
                joined = set[str]().union(*(together[name] for name in passed))
                together.update(dict.fromkeys(joined, joined))
        return {
            name: (min(chosen[each][0] for each in joined), max(chosen[each][1] for each in joined))
            for name, joined in together.items()
        }


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
        How much an attempt loses; the best ranges are those of the layers that stay in int8 in the next step.
    progress : callable
        Called with what is being tried.

    Yields
    ------
    Attempt
        In the order of ``STEPS``; ranges, of the network as it is and equalised, in the order of what they lose.
    """
    observed = _spread(representative, _OBSERVED_TILES)
    sources = {"": exact}
    if "equalisation" in steps:
        progress("mending: equalising channels")
        sources["channels equalised, "] = equalise.equalised(exact, representative)
    calibrated = [
        _Calibrated(f"{said}{what}", source, seen, choose)
        for said, source in sources.items()
        for seen in [activations.observe(source, observed)]
        for what, choose in _CHOOSERS
    ]
    made: list[tuple[float, _Calibrated, Attempt]] = []
    for each in calibrated:
        progress(f"mending: {each.what}")
        attempt = Attempt(each.what, each.quantized())
        made.append((loss(attempt.network), each, attempt))
    made.sort(key=lambda found: found[0])
    for _, each, attempt in made:
        # Of the network as it is, the extreme values are plain int8.
        if each.exact is not exact or ("calibration" in steps and each.choose is not activations.extremes):
            yield attempt
    if "mixed" in steps:
        best = [each for _, each, _ in made[:_MIXED_FROM]]
        yield from _mixed(best, _spread(representative, _SENSITIVITY_TILES), network.classes, progress)
    if "fine-tuning" in steps and network.keras is not None:
        yield from _fine_tuned(network.keras, representative, progress)


def _mixed(
    best: Sequence[_Calibrated], tiles: NDArray[np.uint8], classes: int, progress: Callable[[str], None]
) -> Iterator[Attempt]:
    progress("mending: which layers lose most")
    order = _most_sensitive(best[0], tiles, classes)
    of = len(order)
    for count in range(1, int(_MOST_KEPT * of) + 1):
        names = tuple(dict.fromkeys(layer.name for layer in order[:count]))
        for calibrated in best:
            what = f"{calibrated.what}, {count} of {of} layers in float32"
            progress(f"mending: {what}")
            network = calibrated.quantized(kept=[layer.tensor for layer in order[:count]])
            yield Attempt(f"{what}: {', '.join(names)}", network, names)


def _most_sensitive(calibrated: _Calibrated, tiles: NDArray[np.uint8], classes: int) -> list[graph.Layer]:
    """Rank layers by what the logits lose when that layer alone is quantized."""
    expected = _runtime.load(calibrated.exact, classes).run(tiles).logits
    ranked = []
    for layer in graph.layers(calibrated.exact):
        alone = _runtime.load(calibrated.quantized(only=layer.tensor), classes)
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
    # It has learned to live with the ranges of all of them.
    seen = activations.observe(exact, representative)
    what = f"fine-tuned under rounding for {finetune.EPOCHS} epochs"
    yield Attempt(what, _Calibrated(what, exact, seen, activations.extremes).quantized())


def _spread(tiles: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    return tiles[np.linspace(0, len(tiles) - 1, min(most, len(tiles))).astype(np.intp)]


def _exactly(name: str) -> str:
    # The quantizer matches names of outputs, each followed by a semicolon.
    return f"^{re.escape(name)};?$"
