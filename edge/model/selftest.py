"""Whether the model decides here as it did where it was made."""

from __future__ import annotations

import numpy as np

from edge.errors import BundleCorrupt, SelfTestFailed
from edge.model.bundle import Bundle
from edge.model.description import Kind
from edge.model.runtime import Runtime

MOST_STEPS = 4.0
"""Kernels of different processors may round one step apart in a layer or two; more is another network."""

_FLOAT_TOLERANCE = 0.05


def check(bundle: Bundle, runtime: Runtime, kind: Kind) -> float:
    """Run the bundle's test tiles through the loaded network and compare.

    Parameters
    ----------
    bundle : Bundle
        The model.
    runtime : Runtime
        Its network of that type, loaded.
    kind : str
        The type, which has golden outputs of its own.

    Returns
    -------
    float
        Largest difference of a logit from the one expected; 0 is bit for bit.

    Raises
    ------
    BundleCorrupt
        When the network is not one for the bundle's tiles or its novelty.
    SelfTestFailed
        When a logit differs by more than four quantization steps (0.05 of a network with float outputs).
    """
    outputs = runtime.run(bundle.selftest_tiles)
    if outputs.embeddings.shape[1:] != bundle.novelty_mean.shape:
        raise BundleCorrupt(f"bundle {bundle.path}", "its network's embedding does not fit its novelty")
    difference = float(np.abs(outputs.logits - bundle.selftest_logits[kind]).max())
    tolerance = MOST_STEPS * runtime.logit_step if runtime.logit_step else _FLOAT_TOLERANCE
    if not difference <= tolerance + 1e-5:
        raise SelfTestFailed(
            f"bundle {bundle.path or bundle.description.name}",
            f"its self-test differs by {difference:.3f} on {runtime.name}, more than {tolerance:.3f}",
            "Do not use it on this device; try another runtime, or convert it again",
        )
    return difference
