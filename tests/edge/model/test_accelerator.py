"""The GPU is used where it is there, answers correctly and is faster; the processor goes on whatever it does."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import GpuFailed
from edge.model import Execution, open_model, runtime, shelf
from edge.model.accelerator import Accelerated, Finding, accelerate, decide, driver_files
from edge.model.bundle import Bundle
from edge.model.gpu import GpuRuntime
from edge.model.gpu_probe import Memory
from edge.model.runtime import Outputs, Runtime

pytestmark = pytest.mark.skipif("litert" not in runtime.installed(), reason="needs LiteRT, which alone has a GPU")


@dataclass
class Slow:
    """A processor that takes its time."""

    under: Runtime

    @property
    def name(self) -> str:
        return self.under.name

    @property
    def logit_step(self) -> float:
        return self.under.logit_step

    def run(self, tiles: NDArray[np.uint8]) -> Outputs:
        time.sleep(0.5)
        return self.under.run(tiles)


@pytest.fixture
def cpu(bundled: Bundle) -> Runtime:
    return runtime.load(bundled.networks["int8"], len(bundled.description.classes))


@pytest.fixture
def chosen(bundled: Bundle, cpu: Runtime, tmp_path: Path) -> Callable[..., Accelerated]:
    """Choose between the processor and the GPU."""

    def choose(wanted: str = "auto", processor: Runtime = cpu) -> Accelerated:
        execution = Execution(accelerator=wanted, findings=tmp_path / "accelerator.json")
        return accelerate(bundled, processor, "int8", execution)

    return choose


@pytest.mark.parametrize(
    ("found", "wanted", "accelerator", "why"),
    [
        (Finding(adapter="V3D", cpu_ms=5, gpu_ms=3), "auto", "gpu", "V3D takes 3.0 ms where the processor takes 5.0"),
        (Finding(adapter="V3D", cpu_ms=3, gpu_ms=5), "auto", "cpu", "V3D takes 5.0 ms where the processor takes 3.0"),
        (Finding(adapter="V3D", cpu_ms=3, gpu_ms=5), "gpu", "gpu", "was asked for"),
        (Finding(failure="it died of SIGILL"), "auto", "cpu", "SIGILL"),
        (Finding(failure="it died of SIGILL"), "gpu", "cpu", "SIGILL"),
    ],
)
def test_the_faster_correct_one_is_used_and_the_reason_told(
    found: Finding, wanted: str, accelerator: str, why: str
) -> None:
    choice = decide(found, wanted)
    assert choice.accelerator == accelerator
    assert why in choice.why
    assert str(choice).startswith(f"{accelerator}: ")


def test_drivers_are_found_as_the_loader_finds_them(tmp_path: Path) -> None:
    (tmp_path / "one.json").touch()
    (tmp_path / "two.json").touch()
    (tmp_path / "notes.txt").touch()
    both = [tmp_path / "one.json", tmp_path / "two.json"]
    assert driver_files({"VK_DRIVER_FILES": str(tmp_path)}) == both
    assert driver_files({"VK_ICD_FILENAMES": f"{both[1]}:{tmp_path / 'missing.json'}"}) == both[1:]
    assert driver_files({"VK_DRIVER_FILES": str(both[0]), "VK_ICD_FILENAMES": str(both[1])}) == both[:1]


def test_without_a_driver_nothing_is_started(
    chosen: Callable[..., Accelerated], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere.json")
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert chosen().choice.why == "no Vulkan driver is installed"
    assert chosen("cpu").choice.why == "as set"


def test_a_driver_that_is_none_leaves_the_processor(
    chosen: Callable[..., Accelerated], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # LiteRT's own library really looks for a GPU here.
    (tmp_path / "driver.json").touch()
    monkeypatch.setenv("VK_DRIVER_FILES", str(tmp_path / "driver.json"))
    found = chosen("gpu")
    assert (found.choice.accelerator, found.choice.why) == ("cpu", "Vulkan finds no GPU")


def test_a_faster_gpu_is_used_and_named_and_says_what_the_processor_says(
    chosen: Callable[..., Accelerated],
    gpu: Callable[[str], None],
    bundled: Bundle,
    cpu: Runtime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu("works")
    monkeypatch.setattr("edge.model.gpu_probe._REPEATS", 1)
    found = chosen(processor=Slow(cpu))
    assert found.choice.accelerator == "gpu", found.choice
    assert "Double (of 1, or 2) takes" in found.choice.why
    assert found.name.endswith(" on Double (of 1, or 2)")
    for count in (0, 1, 12):
        tiles = np.resize(bundled.selftest_tiles, (count, *bundled.selftest_tiles.shape[1:]))
        here, there = cpu.run(tiles), found.run(tiles)
        assert np.array_equal(here.logits, there.logits)
        assert np.array_equal(here.embeddings, there.embeddings)
    found.close()


def test_a_slower_gpu_is_not_used_unless_it_is_asked_for(
    chosen: Callable[..., Accelerated], gpu: Callable[[str], None]
) -> None:
    gpu("is slow")
    assert chosen().choice.accelerator == "cpu"
    asked_for = chosen("gpu")
    assert asked_for.choice.accelerator == "gpu"
    asked_for.close()


@pytest.mark.parametrize(
    ("wanted", "how", "why"),
    [
        ("gpu", "crashes at once", "its process died of SIGILL"),
        ("auto", "hangs at once", "gave no answer within 1 s"),
        ("gpu", "lies", "answers wrongly: its self-test differs"),
        ("gpu", "imitates", "Double (of 1, or 2) only imitates a GPU"),
        ("auto", "is silent", "the runtime does not say on what it runs"),
        ("auto", "does half", "parts of the network do not run on it"),
    ],
)
def test_one_that_crashes_hangs_lies_or_only_imitates_is_refused_and_that_is_remembered(
    chosen: Callable[..., Accelerated],
    gpu: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    wanted: str,
    how: str,
    why: str,
) -> None:
    gpu(how)
    if how == "hangs at once":
        monkeypatch.setattr("edge.model.gpu.START_TIMEOUT_S", 1)
    found = chosen(wanted)
    assert found.choice.accelerator == "cpu"
    assert why in found.choice.why
    # Nothing is started for what is known.
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert chosen(wanted).choice == found.choice
    assert len(json.loads((tmp_path / "accelerator.json").read_bytes())) == 1
    (tmp_path / "accelerator.json").unlink()
    assert "cannot be started" in chosen(wanted).choice.why


def test_what_imitates_a_gpu_counts_as_one_where_its_way_is_tested(
    chosen: Callable[..., Accelerated], gpu: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu("imitates")
    assert chosen("gpu").choice.accelerator == "cpu"
    monkeypatch.setenv("WBC_EDGE_SOFTWARE_GPU", "1")
    found = chosen("gpu")
    assert found.choice.accelerator == "gpu"
    found.close()


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("fails later", "device lost"),
        ("dies later", "its process died of SIGSEGV"),
        ("hangs later", "gave no answer within 1 s"),
    ],
)
def test_when_the_gpu_fails_in_use_the_same_tiles_are_judged_by_the_processor(
    chosen: Callable[..., Accelerated],
    gpu: Callable[[str], None],
    bundled: Bundle,
    cpu: Runtime,
    how: str,
    why: str,
) -> None:
    gpu(how)
    found = chosen("gpu")
    assert found._gpu is not None
    if how == "hangs later":
        found._gpu._wait_at_most(1)
    expected = cpu.run(bundled.selftest_tiles).logits
    for _ in range(3):
        assert np.array_equal(found.run(bundled.selftest_tiles).logits, expected)
    assert found.choice.accelerator == "cpu"
    assert found.choice.why.startswith("the GPU failed in use: ")
    assert why in found.choice.why
    assert found.name == cpu.name
    # Nor is it trusted by who comes after.
    assert chosen("gpu").choice == found.choice


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_asks_the_whole_group_to_end_leaves_the_gpu_to_the_one_that_asks(
    gpu: Callable[[str], None], bundled: Bundle, number: signal.Signals
) -> None:
    gpu("works")
    running = GpuRuntime(bundled.networks["int8"], len(bundled.description.classes))
    running._process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        running._process.wait(0.5)
    assert len(running.run(bundled.selftest_tiles).logits) == len(bundled.selftest_tiles)
    running.close()
    assert running._process.returncode == 0
    # Whoever asks hears them as before.
    assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_process_of_the_gpu_ends_with_the_one_that_asks(gpu: Callable[[str], None], bundled: Bundle) -> None:
    gpu("works")
    running = GpuRuntime(bundled.networks["int8"], len(bundled.description.classes))
    process = running._process
    assert process.poll() is None
    del running
    assert process.poll() == 0


def test_a_network_that_is_none_is_refused_in_words(gpu: Callable[[str], None]) -> None:
    gpu("works")
    with pytest.raises(GpuFailed, match="cannot load it"):
        GpuRuntime(b"no network", 3)


def test_what_was_found_is_forgotten_one_by_one_and_never_in_the_way(tmp_path: Path) -> None:
    file = tmp_path / "accelerator.json"
    for number in range(20):
        Memory(file, str(number)).keep(Finding(failure=f"failure {number}"))
    assert Memory(file, "3").recall() is None
    assert Memory(file, "19").recall() == Finding(failure="failure 19")
    for damaged in (b"{", b'{"19": {"failure": "\xff"}}'):
        file.write_bytes(damaged)
        assert Memory(file, "19").recall() is None
    Memory(tmp_path / "missing" / "file", "1").keep(Finding())
    Memory(None, "1").keep(Finding())
    assert Memory(None, "1").recall() is None


def test_a_model_opens_on_what_is_asked_for(gpu: Callable[[str], None]) -> None:
    gpu("works")
    model = open_model(shelf.find(None), execution=Execution(accelerator="gpu"))
    assert (model.runtime.choice.accelerator, model.kind) == ("gpu", "int8")
    model.runtime.close()
    assert open_model(shelf.find(None)).runtime.choice.accelerator == "cpu"
