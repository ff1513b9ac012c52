"""Whether the quantized network still decides the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.model.runtime import Runtime

_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Parity:
    """Quantized against float network on the same tiles.

    Attributes
    ----------
    tiles : int
        Number of tiles compared.
    agreement : float
        Share of tiles with the same decision, 0 to 1.
    accuracy_float, accuracy_quantized : float
        Share of tiles decided as labelled, 0 to 1.
    largest_difference : float
        Largest difference of a logit.
    """

    tiles: int
    agreement: float
    accuracy_float: float
    accuracy_quantized: float
    largest_difference: float


def measure(network: Any, runtime: Runtime, tiles: NDArray[np.uint8], labels: NDArray[np.int64]) -> Parity:
    """Compare the Keras network with the loaded quantized one.

    Parameters
    ----------
    network : keras.Model
        The float network.
    runtime : Runtime
        The quantized network, loaded as a device loads it.
    tiles : ndarray
        Shape (n, tile, tile, 3), uint8, BGR; held out of training where there are any.
    labels : ndarray
        Shape (n,), class index.

    Returns
    -------
    Parity
        The comparison.
    """
    exact = np.concatenate(
        [
            np.asarray(network.predict_on_batch(tiles[start : start + _CHUNK].astype(np.float32))[0])
            for start in range(0, len(tiles), _CHUNK)
        ]
    )
    quantized = runtime.run(tiles).logits
    decided, decided_quantized = exact.argmax(axis=1), quantized.argmax(axis=1)
    return Parity(
        tiles=len(tiles),
        agreement=float((decided == decided_quantized).mean()),
        accuracy_float=float((decided == labels).mean()),
        accuracy_quantized=float((decided_quantized == labels).mean()),
        largest_difference=float(np.abs(exact - quantized).max()),
    )
