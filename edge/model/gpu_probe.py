"""What is found of this machine's GPU: does it answer, correctly, and how fast; kept, as finding out takes seconds."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge import __version__, durable, verdict
from edge.errors import GpuFailed, InferenceFailed, SelfTestFailed
from edge.model import runtime, selftest
from edge.model.accelerator import Finding
from edge.model.bundle import Bundle
from edge.model.description import Kind
from edge.model.gpu import GpuRuntime, software_counts
from edge.model.runtime import Runtime

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TIMED_TILES = 32
"""About as many as a frame has."""

_REPEATS = 5
_MOST_NOVELTY = 0.05
"""Of the novelty at which a frame counts as no smear, which is 1: what another way of rounding may do."""

_MOST_FINDINGS = 16


@dataclass(frozen=True, slots=True)
class Memory:
    """What was found of the GPU since the machine was started.

    Attributes
    ----------
    file : Path or None
        Where it is kept; None: nowhere.
    key : str
        What it was found with: machine, drivers, versions, network.
    """

    file: Path | None
    key: str

    def recall(self) -> Finding | None:
        """Return what was found before, if anything was."""
        return self._all().get(self.key)

    def keep(self, finding: Finding) -> None:
        """Keep what was found; where nothing can be written it is found out anew each time."""
        if self.file is None:
            return
        found = self._all()
        found.pop(self.key, None)
        kept = [*found.items(), (self.key, finding)][-_MOST_FINDINGS:]
        try:
            durable.write(self.file, msgspec.json.encode(dict(kept)))
        except OSError:
            return

    def _all(self) -> dict[str, Finding]:
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=dict[str, Finding]) if self.file else {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return {}


def start(bundle: Bundle, cpu: Runtime, kind: Kind) -> tuple[Finding, GpuRuntime | None]:
    """Put a network on the GPU and compare it with the processor.

    Parameters
    ----------
    bundle : Bundle
        Has the network, the tiles of the self-test, and what was said of them where it was made.
    cpu : Runtime
        What runs on the processor if the GPU does not.
    kind : str
        Type of the network for the GPU.

    Returns
    -------
    tuple
        What was found, and the network on the GPU unless it failed.
    """
    try:
        gpu = GpuRuntime(bundle.networks[kind], len(bundle.description.classes))
    except GpuFailed as error:
        return Finding(failure=error.why), None
    found = _look(bundle, cpu, gpu, kind)
    if found.failure:
        gpu.close()
        return found, None
    return found, gpu


def _look(bundle: Bundle, cpu: Runtime, gpu: GpuRuntime, kind: Kind) -> Finding:
    try:
        wrong = _difference(bundle, gpu, kind)
        if wrong:
            return Finding(failure=f"{gpu.adapter} answers wrongly: {wrong}", adapter=gpu.adapter)
        tiles = np.resize(bundle.selftest_tiles, (_TIMED_TILES, *bundle.selftest_tiles.shape[1:]))
        cpu_ms, gpu_ms = _milliseconds(cpu, tiles), _milliseconds(gpu, tiles)
    except InferenceFailed as error:
        return Finding(failure=f"{gpu.adapter}: {error.why}", adapter=gpu.adapter)
    return Finding(adapter=gpu.adapter, cpu_ms=cpu_ms, gpu_ms=gpu_ms)


def _difference(bundle: Bundle, gpu: GpuRuntime, kind: Kind) -> str:
    """Compare with what the same network says on the processor, and with what it said where it was made."""
    classes = len(bundle.description.classes)
    expected = runtime.load(bundle.networks[kind], classes).run(bundle.selftest_tiles)
    here = replace(bundle, selftest_logits={kind: expected.logits})
    try:
        for reference in (bundle, here):
            selftest.check(reference, gpu, kind)
    except SelfTestFailed as error:
        return error.why
    found = gpu.run(bundle.selftest_tiles)
    novelties = [
        verdict.novelty(outputs.embeddings, bundle.novelty_mean, bundle.novelty_whitening)
        for outputs in (found, expected)
    ]
    if not abs(novelties[0] - novelties[1]) <= _MOST_NOVELTY:
        return f"a novelty of {novelties[0]:.2f} where the processor's is {novelties[1]:.2f}"
    return ""


def _milliseconds(judge: Runtime, tiles: NDArray[np.uint8]) -> float:
    taken = []
    for _ in range(1 + _REPEATS):
        begun_s = time.perf_counter()
        judge.run(tiles)
        taken.append((time.perf_counter() - begun_s) * 1e3)
    return statistics.median(taken[1:])


def key(bundle: Bundle, kind: Kind, runtime_name: str, drivers: Sequence[Path]) -> str:
    """Digest all that a finding depends on: this boot of the machine, its drivers, the versions, the network.

    Parameters
    ----------
    bundle : Bundle
        The bundle.
    kind : str
        Type of the network for the GPU.
    runtime_name : str
        Name and version of the runtime, with its settings.
    drivers : sequence of Path
        From :func:`edge.model.accelerator.driver_files`.

    Returns
    -------
    str
        SHA-256, hexadecimal.
    """
    try:
        boot = _BOOT.read_text().strip()
    except OSError:
        boot = ""
    files = ((str(file), file.stat().st_mtime_ns) for file in drivers)
    facts = (bundle.sha256, kind, runtime_name, __version__, boot, *files, software_counts())
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()
