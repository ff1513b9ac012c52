"""Models: the bundle, its description, the runtimes that run it, its self-test, and where bundles are found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.errors import NetworkNotFound, WbcError
from edge.model import bundle as _bundle
from edge.model import runtime as _runtime
from edge.model import selftest, signature
from edge.model.accelerator import Accelerated, Execution, accelerate
from edge.model.bundle import Bundle
from edge.model.description import Kind
from edge.model.runtime import Runtime

PREFERRED_TYPES: tuple[Kind, ...] = ("int8", "float16", "float32", "dynamic")
"""Types of network in the order that a processor runs them fastest; the last gives garbage on tflite-runtime."""

_DEFAULT = Execution()

__all__ = ["Bundle", "Execution", "Model", "Runtime", "open_model"]


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A checked bundle and its network, loaded and self-tested on this device.

    Attributes
    ----------
    bundle : Bundle
        The bundle.
    runtime : Accelerated
        Its network in a runtime, on the processor or on the GPU.
    """

    bundle: Bundle
    runtime: Accelerated

    @property
    def kind(self) -> Kind:
        """Type of the network that runs."""
        return self.runtime.kind


def open_model(
    path: Path,
    *,
    kind: Kind | None = None,
    execution: Execution = _DEFAULT,
    trusted_keys: Sequence[str] = (),
) -> Model:
    """Read a bundle, load its network, and prove both here.

    Parameters
    ----------
    path : Path
        The ``.wbc`` file.
    kind : str, optional
        Type of the network to load; by default the first of ``PREFERRED_TYPES`` that there is.
    execution : Execution
        How it is run; by default on one thread of the processor.
    trusted_keys : sequence of str
        Public keys, one of which must have signed the bundle; without any it may be unsigned.

    Returns
    -------
    Model
        Ready to classify.

    Raises
    ------
    BundleError
        When the bundle is missing, corrupt, too new, not signed by a trusted key, has no such network, or fails its
        self-test on this device.
    RuntimeUnavailable
        When no runtime can load it.
    """
    found = _bundle.read(path)
    # Before any of it is loaded: a network is not code, but its interpreter is large.
    signature.require(found.signature, found.sums, trusted_keys, str(path))
    chosen = kind if kind is not None else next(each for each in PREFERRED_TYPES if each in found.networks)
    if chosen not in found.networks:
        raise NetworkNotFound(f"bundle {path}", f"has no {kind} network", f"It has {', '.join(found.networks)}")
    classes = len(found.description.classes)
    with _named(path):
        loaded = _runtime.load(
            found.networks[chosen],
            classes,
            runtime=execution.runtime,
            threads=execution.threads,
            batch=execution.batch,
        )
        selftest.check(found, loaded, chosen)
    return Model(found, accelerate(found, loaded, chosen, execution))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say of which bundle the network is that fails in the block: a runtime is handed its bytes alone."""
    try:
        yield
    except WbcError as error:
        if error.what != _runtime.NETWORK:
            raise
        raise type(error)(f"{error.what} of {path}", error.why, error.remedy) from error
