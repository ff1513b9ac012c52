"""What a model runs on, processor or GPU, and why: the faster one that answers correctly.

A GPU is believed nothing. Its driver may crash or hang, so it runs in a process of its own (:mod:`edge.model.gpu`); it
may be a program that imitates a GPU, so its adapter must name itself; it may answer wrongly, so its answers on the
bundle's self-test are compared with the processor's; it may be slow, so both are timed. That a GPU is no good is kept
until the machine is started again (:mod:`edge.model.gpu_probe`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import GpuFailed
from edge.model.bundle import Bundle
from edge.model.description import Kind
from edge.model.runtime import BATCH, Outputs, Runtime

if TYPE_CHECKING:
    from edge.model.gpu import GpuRuntime
    from edge.model.gpu_probe import Memory

Wanted = Literal["auto", "cpu", "gpu"]
"""What is asked for: the faster one; the processor; the GPU wherever it answers correctly, be it slower."""

GPU_TYPES: tuple[Kind, ...] = ("float16", "int8")
"""Types of network in the order that a GPU runs them best."""

_DRIVER_FOLDERS = ("/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d")


@dataclass(frozen=True, slots=True)
class Execution:
    """How networks are run on this device.

    Attributes
    ----------
    runtime : str or None
        Name of the runtime; None is the first installed.
    threads : int
        Threads of the interpreter.
    batch : int
        Tiles a call of the interpreter.
    accelerator : str
        ``auto``, ``cpu`` or ``gpu``.
    findings : Path or None
        File in which it is kept what was found of the GPU; None: it is found out each time.
    """

    runtime: str | None = None
    threads: int = 1
    batch: int = BATCH
    accelerator: Wanted = "cpu"
    findings: Path | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model runs on.

    Attributes
    ----------
    accelerator : str
        ``cpu`` or ``gpu``.
    why : str
        The reason, for people.
    """

    accelerator: Literal["cpu", "gpu"]
    why: str

    def __str__(self) -> str:
        """Return both in a line."""
        return f"{self.accelerator}: {self.why}"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of the GPU of this machine with one network.

    Attributes
    ----------
    failure : str
        Why it cannot be used; empty when it can.
    adapter : str
        What its driver calls it.
    cpu_ms, gpu_ms : float
        Median time of 32 tiles on each.
    """

    failure: str = ""
    adapter: str = ""
    cpu_ms: float = 0.0
    gpu_ms: float = 0.0


class Accelerated:
    """A network on the GPU while that works, and on the processor from when it does not: a :class:`Runtime`.

    Parameters
    ----------
    cpu : Runtime
        The network on the processor.
    cpu_kind : str
        Its type.
    choice : Choice
        What it runs on, and why.
    gpu : GpuRuntime, optional
        The network on the GPU, if that was chosen.
    gpu_kind : str
        Its type.
    memory : Memory, optional
        Where it is kept that the GPU failed.

    Attributes
    ----------
    choice : Choice
        What it runs on at this moment.
    """

    def __init__(
        self,
        cpu: Runtime,
        cpu_kind: Kind,
        choice: Choice,
        gpu: GpuRuntime | None = None,
        gpu_kind: Kind | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._cpu, self._cpu_kind, self.choice = cpu, cpu_kind, choice
        self._gpu, self._gpu_kind, self._memory = gpu, gpu_kind, memory

    @property
    def _now(self) -> Runtime:
        return self._cpu if self._gpu is None else self._gpu

    @property
    def name(self) -> str:
        """Name and version of the runtime, and of the GPU if it runs there."""
        return self._now.name

    @property
    def logit_step(self) -> float:
        """Size of one quantization step of the logits; 0 for a network with float outputs."""
        return self._now.logit_step

    @property
    def kind(self) -> Kind:
        """Type of the network that runs."""
        return self._cpu_kind if self._gpu is None or self._gpu_kind is None else self._gpu_kind

    def run(self, tiles: NDArray[np.uint8]) -> Outputs:
        """Judge tiles; those on which the GPU fails are judged by the processor, and all after them."""
        if self._gpu is not None:
            try:
                return self._gpu.run(tiles)
            except GpuFailed as error:
                self._leave(error)
        return self._cpu.run(tiles)

    def close(self) -> None:
        """Let the GPU go; the model is not used any more."""
        if self._gpu is not None:
            self._gpu.close()

    def _leave(self, error: GpuFailed) -> None:
        assert self._gpu is not None
        why = f"the GPU failed in use: {error.why}"
        self._gpu.close()
        self._gpu, self.choice = None, Choice("cpu", why)
        if self._memory is not None:
            self._memory.keep(Finding(failure=why))


def accelerate(bundle: Bundle, cpu: Runtime, cpu_kind: Kind, execution: Execution) -> Accelerated:
    """Put a bundle's network on the GPU, if that is asked for and better.

    Parameters
    ----------
    bundle : Bundle
        The bundle.
    cpu : Runtime
        Its network on the processor, proven.
    cpu_kind : str
        Type of that network.
    execution : Execution
        What is asked for.

    Returns
    -------
    Accelerated
        On the GPU or on the processor, with the reason.
    """
    kind = next((kind for kind in GPU_TYPES if kind in bundle.networks), None)
    drivers = driver_files(os.environ)
    why = _ruled_out(kind, drivers, cpu, execution)
    if kind is None or why:
        return Accelerated(cpu, cpu_kind, Choice("cpu", why))
    from edge.model import gpu_probe

    settings = f"{cpu.name}, {execution.threads} threads, batches of {execution.batch}"
    memory = gpu_probe.Memory(execution.findings, gpu_probe.key(bundle, kind, settings, drivers))
    found = memory.recall()
    gpu = None
    if found is None or decide(found, execution.accelerator).accelerator == "gpu":
        found, gpu = gpu_probe.start(bundle, cpu, kind)
        memory.keep(found)
    choice = decide(found, execution.accelerator)
    if gpu is not None and choice.accelerator == "cpu":
        gpu.close()
        gpu = None
    return Accelerated(cpu, cpu_kind, choice, gpu, kind, memory)


def _ruled_out(kind: Kind | None, drivers: Sequence[Path], cpu: Runtime, execution: Execution) -> str:
    """Say why no GPU need be looked for; empty when one must."""
    if execution.accelerator == "cpu":
        return "as set"
    if kind is None:
        return f"the model has no network of type {' or '.join(GPU_TYPES)}"
    if not cpu.name.startswith("litert "):
        return f"{cpu.name} has no GPU"
    return "" if drivers else "no Vulkan driver is installed"


def decide(found: Finding, wanted: Wanted) -> Choice:
    """Decide what a model runs on.

    Parameters
    ----------
    found : Finding
        What was found of the GPU.
    wanted : str
        ``auto`` or ``gpu``.

    Returns
    -------
    Choice
        With the reason.
    """
    if found.failure:
        return Choice("cpu", found.failure)
    said = f"{found.adapter} takes {found.gpu_ms:.1f} ms where the processor takes {found.cpu_ms:.1f} ms"
    if found.gpu_ms < found.cpu_ms:
        return Choice("gpu", said)
    return Choice("gpu", f"{said}, and was asked for") if wanted == "gpu" else Choice("cpu", said)


def driver_files(environment: Mapping[str, str]) -> list[Path]:
    """List the Vulkan drivers, as the Vulkan loader finds them; without any no GPU need be looked for.

    Parameters
    ----------
    environment : mapping of str to str
        The process's: ``VK_DRIVER_FILES``, or ``VK_ICD_FILENAMES`` as it was called before, names others.

    Returns
    -------
    list of Path
        Manifests of drivers.
    """
    named = environment.get("VK_DRIVER_FILES") or environment.get("VK_ICD_FILENAMES")
    places = [Path(place) for place in (named.split(os.pathsep) if named else _DRIVER_FOLDERS) if place]
    found = [file for place in places for file in (sorted(place.glob("*.json")) if place.is_dir() else [place])]
    return [file for file in found if file.is_file()]
