"""Memory that ran out, in the words of each back end, and the batch that would have fitted."""

from __future__ import annotations

from collections.abc import Callable

from trainer.errors import OutOfMemory

FULL_DISK = "no space left on device"
_SIGNS = (
    "resource_exhausted",
    "resourceexhausted",
    "out of memory",
    "outofmemory",
    "oom when allocating",
    # NumPy's, that TensorFlow tells of a thread that makes batches.
    "memoryerror",
    # TensorFlow's for a constant of its graph.
    "cannot parse tensor from proto",
)


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error of any back end means that memory ran out.

    Parameters
    ----------
    error : Exception
        What was raised.

    Returns
    -------
    bool
        True for ``MemoryError`` and for what TensorFlow, jax and torch raise. To TensorFlow a full disk is an exhausted
        resource as well, and that is not meant.
    """
    said = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or (FULL_DISK not in said and any(sign in said for sign in _SIGNS))


def too_large(batch: int, unit: str, step: Callable[[int], object]) -> OutOfMemory:
    """Find the largest of the halved batches that fits, by one step on each.

    Parameters
    ----------
    batch : int
        The batch that did not fit.
    unit : str
        What a batch is of, such as ``"tiles"``.
    step : callable
        Makes a step of so many.

    Returns
    -------
    OutOfMemory
        To be raised: says which batch would fit.
    """
    fits = batch // 2
    while fits >= 2:
        try:
            step(fits)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            fits //= 2
        else:
            return OutOfMemory(f"a batch of {batch} {unit}", "there is not enough memory", f"{fits} fit: --batch")
    return OutOfMemory(f"a batch of {batch} {unit}", "there is not enough memory, nor for two")
