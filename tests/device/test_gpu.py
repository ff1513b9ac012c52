"""The GPU's way on a real Vulkan driver, Mesa's lavapipe, which only imitates a GPU: refused, or used if asked for."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge import pipeline
from edge.bench import simulated_frame
from edge.frame import Frame
from edge.model import Execution, Model, open_model, shelf

# Shaders are compiled for the processor, in many seconds.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def lavapipe(vulkan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have that driver."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(vulkan / "lib"))
    monkeypatch.setenv("VK_DRIVER_FILES", str(vulkan / "driver.json"))
    # It compiles for many seconds what it has not compiled before.
    monkeypatch.setenv("MESA_SHADER_CACHE_DIR", str(vulkan / "shaders"))


@pytest.fixture
def opened(lavapipe: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Model]:
    """Open the model that ships where what imitates a GPU counts as one."""
    monkeypatch.setenv("WBC_EDGE_SOFTWARE_GPU", "1")
    # Processors that are busy with other things imitate a GPU slowly.
    monkeypatch.setattr("edge.model.gpu.START_TIMEOUT_S", 250)
    monkeypatch.setattr("edge.model.gpu.RUN_TIMEOUT_S", 100)

    def load(wanted: str = "gpu", path: Path | None = None) -> Model:
        execution = Execution(accelerator=wanted, findings=tmp_path / "accelerator.json")
        return open_model(path or shelf.find(None), execution=execution)

    return load


@pytest.fixture(scope="module")
def frame() -> Frame:
    return simulated_frame((640, 480))


@pytest.mark.parametrize("wanted", ["auto", "gpu"])
def test_it_is_named_and_refused_as_software(lavapipe: None, tmp_path: Path, wanted: str) -> None:
    model = open_model(
        shelf.find(None), execution=Execution(accelerator=wanted, findings=tmp_path / "accelerator.json")
    )
    assert model.runtime.choice.accelerator == "cpu"
    assert model.runtime.choice.why.startswith("llvmpipe")
    assert model.runtime.choice.why.endswith("only imitates a GPU")


def test_what_it_answers_is_what_the_processor_answers(
    opened: Callable[..., Model], frame: Frame, figures: Callable[..., None]
) -> None:
    on_gpu, on_cpu = opened(), open_model(shelf.find(None))
    assert on_gpu.runtime.choice.accelerator == "gpu", on_gpu.runtime.choice
    assert "llvmpipe" in on_gpu.runtime.name
    tiles = on_gpu.bundle.selftest_tiles
    step = on_cpu.runtime.logit_step
    there, here = on_gpu.runtime.run(tiles), on_cpu.runtime.run(tiles)
    assert np.abs(there.logits - here.logits).max() <= 4.001 * step
    assert np.abs(there.embeddings - here.embeddings).max() <= 0.05 * np.abs(here.embeddings).max()
    judged, expected = pipeline.classify(frame, on_gpu), pipeline.classify(frame, on_cpu)
    assert (judged.verdict, len(judged.tiles)) == (expected.verdict, len(expected.tiles))
    figures(
        "software GPU", said=on_gpu.runtime.choice.why, steps=float(np.abs(there.logits - here.logits).max() / step)
    )
    on_gpu.runtime.close()
    # It is slower, and so used only where it is asked for; that was found out, and is known from now on.
    by_itself = opened("auto").runtime.choice
    assert by_itself.accelerator == "cpu"
    assert "ms where the processor takes" in by_itself.why
    assert by_itself.why in on_gpu.runtime.choice.why


def test_a_float_network_runs_there_too(opened: Callable[..., Model], of_bright_tiles: Callable[..., Path]) -> None:
    model = opened(path=of_bright_tiles("float16"))
    assert (model.runtime.choice.accelerator, model.kind) == ("gpu", "float16"), model.runtime.choice
    model.runtime.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_when_it_is_gone_or_hangs_the_frame_in_hand_is_judged_by_the_processor(
    opened: Callable[..., Model], frame: Frame, number: int
) -> None:
    model = opened()
    assert model.runtime.choice.accelerator == "gpu", model.runtime.choice
    process = model.runtime._gpu._process
    model.runtime._gpu._wait_at_most(5)
    os.kill(process.pid, number)
    judged = pipeline.classify(frame, model)
    assert judged.verdict == pipeline.classify(frame, open_model(shelf.find(None))).verdict
    assert model.runtime.choice.accelerator == "cpu"
    assert model.runtime.choice.why.startswith("the GPU failed in use: ")
    assert process.poll() is not None
