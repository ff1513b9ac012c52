"""Quantization-aware fine-tuning: a Keras network learns to live with the rounding that int8 will do to it.

While it is trained, weights are rounded with one scale for each output channel, and the activations of each layer
with one scale for all (Jacob et al. 2018, "Quantization and training of neural networks for efficient
integer-arithmetic-only inference"), through which gradients pass as if nothing was rounded. It is taught by the network
itself, as it was: to give the same logits and embeddings (Hinton et al. 2015, "Distilling the knowledge in a neural
network"), so that no labels are needed, and it cannot learn anything else from the few tiles there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

EPOCHS = 30
_BATCH = 32
_LEARNING_RATE = 1e-3
_FUSED = (layers.BatchNormalization, layers.ReLU, layers.Activation)
_WEIGHTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)

Range = tuple[float, float]


def fine_tune(
    model: Any,
    tiles: NDArray[np.uint8],
    progress: Callable[[int, int], None],
    *,
    epochs: int,
    seed: int = 0,
) -> Any:
    """Train a copy of a network under the rounding of int8.

    Parameters
    ----------
    model : keras.Model
        Functional; tiles, float32 0 to 255, in, logits and embedding out.
    tiles : ndarray
        Shape (n, tile, tile, 3), uint8: of the training part.
    progress : callable
        Called with how many epochs are done, and of how many.
    epochs : int
        How often all tiles are shown.
    seed : int
        Of the order of the tiles.

    Returns
    -------
    keras.Model
        Of the same layers, with other weights.
    """
    keras.utils.set_random_seed(seed)
    shown = tiles.astype(np.float32)
    taught = keras.models.clone_model(model)
    taught.set_weights(model.get_weights())
    rounded = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer) and not _is_fused(layer)]
    ranges = _ranges(model, rounded, shown)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        simulated = _Rounded(layer, ranges.get(layer.name), name=f"rounded_{layer.name}")
        return simulated(*args, **kwargs)

    student = keras.models.clone_model(taught, call_function=call, clone_function=lambda layer: layer)
    target = model.predict(shown, batch_size=_BATCH, verbose=0)
    # By their spread, so that logits and embedding weigh alike.
    losses = [_squares(float(np.var(part)) + 1e-6) for part in target]
    steps = max(1, epochs * -(-len(shown) // _BATCH))
    student.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)), loss=losses
    )
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: progress(epoch + 1, epochs))
    student.fit(shown, list(target), batch_size=_BATCH, epochs=epochs, verbose=0, callbacks=[watch])
    return taught


def _squares(spread: float) -> Callable[[Any, Any], Any]:
    def loss(expected: Any, found: Any) -> Any:
        return ops.mean(ops.square(expected - found)) / spread

    return loss


def _is_fused(layer: Any) -> bool:
    """Say whether the converter computes what comes next together with a layer, so that nothing is rounded between."""
    following = [node.operation for node in layer._outbound_nodes]
    return len(following) == 1 and isinstance(following[0], _FUSED)


def _ranges(model: Any, rounded: list[Any], shown: NDArray[np.float32]) -> dict[str, Range]:
    outputs = keras.Model(model.input, [layer.output for layer in rounded]).predict(shown, batch_size=_BATCH, verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return {layer.name: (float(part.min()), float(part.max())) for layer, part in zip(rounded, outputs, strict=True)}


class _Rounded(layers.Layer):  # type: ignore[misc]
    """A layer whose weights and output are rounded as int8 rounds them; it shares the layer's weights."""

    def __init__(self, layer: Any, span: Range | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._layer, self._span = layer, span

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Run the layer; normalisation with the statistics that it will have on the device."""
        if isinstance(self._layer, layers.BatchNormalization | layers.Dropout):
            kwargs["training"] = False
        if isinstance(self._layer, _WEIGHTED):
            mapping = [(self._layer.kernel, _rounded_kernel(self._layer))]
            with keras.StatelessScope(state_mapping=mapping):
                output = self._layer.call(*args, **kwargs)
        else:
            output = self._layer.call(*args, **kwargs)
        if self._span is None:
            return output
        low, high = min(self._span[0], 0.0), max(self._span[1], 1e-6)
        return keras.quantizers.fake_quant_with_min_max_vars(output, low, high, num_bits=8)


def _rounded_kernel(layer: Any) -> Any:
    kernel = ops.convert_to_tensor(layer.kernel)
    # A depthwise kernel is (height, width, channels, 1): its channels are its outputs.
    kept = 2 if isinstance(layer, layers.DepthwiseConv2D) else len(kernel.shape) - 1
    axes = tuple(axis for axis in range(len(kernel.shape)) if axis != kept)
    step = ops.maximum(ops.stop_gradient(ops.max(ops.abs(kernel), axis=axes, keepdims=True)), 1e-9) / 127.0
    return kernel + ops.stop_gradient(ops.round(kernel / step) * step - kernel)
