"""Models: the bundle, its description, the runtimes that run it, its self-test, and where bundles are found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.model import bundle as _bundle
from edge.model import runtime as _runtime
from edge.model import selftest
from edge.model.bundle import Bundle
from edge.model.runtime import Runtime

PREFERRED_TYPES = ("int8", "float16", "float32")
"""Types of network in the order that a processor runs them fastest."""

__all__ = ["Bundle", "Model", "Runtime", "open_model"]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A checked bundle and its network, loaded and self-tested on this device.

    Attributes
    ----------
    bundle : Bundle
        The bundle.
    runtime : Runtime
        Its network in a runtime.
    """

    bundle: Bundle
    runtime: Runtime


def open_model(path: Path, *, runtime: str | None = None, threads: int = 1) -> Model:
    """Read a bundle, load its network, and prove both here.

    Parameters
    ----------
    path : Path
        The ``.wbc`` file.
    runtime : str, optional
        Name of the runtime; by default the first installed.
    threads : int
        Threads of the interpreter.

    Returns
    -------
    Model
        Ready to classify.

    Raises
    ------
    BundleError
        When the bundle is missing, corrupt, too new, or fails its self-test on this device.
    RuntimeUnavailable
        When no runtime can load it.
    """
    found = _bundle.read(path)
    kind = next((kind for kind in PREFERRED_TYPES if kind in found.networks), next(iter(found.networks)))
    classes = len(found.description.classes)
    loaded = _runtime.load(found.networks[kind], classes, runtime=runtime, threads=threads)
    selftest.check(found, loaded)
    return Model(found, loaded)
