"""The runtime judges the same tiles the same way, and refuses networks that it would misread."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from edge.errors import BundleCorrupt, RuntimeUnavailable
from edge.model import runtime
from edge.model.bundle import Bundle
from edge.model.runtime import InterpreterRuntime, Runtime

NAME = runtime.installed()[0]


@pytest.fixture(scope="module")
def classes(bundled: Bundle) -> int:
    return len(bundled.description.classes)


@pytest.fixture(scope="module")
def loaded(bundled: Bundle, classes: int) -> Runtime:
    return runtime.load(bundled.networks["int8"], classes)


@pytest.fixture(scope="module")
def interpreter_class() -> Any:
    return importlib.import_module(f"{runtime.RUNTIMES[NAME][0]}.interpreter").Interpreter


def test_logits_and_embeddings_come_out_one_row_a_tile(loaded: Runtime, bundled: Bundle, classes: int) -> None:
    outputs = loaded.run(bundled.selftest_tiles)
    count = len(bundled.selftest_tiles)
    assert outputs.logits.shape == (count, classes)
    assert outputs.embeddings.shape == (count, len(bundled.novelty_mean))
    assert outputs.logits.dtype == outputs.embeddings.dtype == np.float32
    assert np.ptp(outputs.logits, axis=0).max() > 0


def test_outputs_do_not_depend_on_what_else_is_judged(loaded: Runtime, bundled: Bundle) -> None:
    together = loaded.run(bundled.selftest_tiles)
    again = loaded.run(bundled.selftest_tiles)
    assert np.array_equal(together.logits, again.logits)
    assert np.array_equal(together.embeddings, again.embeddings)
    backwards = loaded.run(bundled.selftest_tiles[::-1])
    assert np.array_equal(together.logits, backwards.logits[::-1])
    assert np.array_equal(loaded.run(bundled.selftest_tiles[:1]).logits[0], together.logits[0])


def test_threads_do_not_change_what_is_seen(loaded: Runtime, bundled: Bundle, classes: int) -> None:
    two = runtime.load(bundled.networks["int8"], classes, threads=2)
    assert np.array_equal(two.run(bundled.selftest_tiles).logits, loaded.run(bundled.selftest_tiles).logits)


def test_no_tiles_give_no_rows(loaded: Runtime, bundled: Bundle, classes: int) -> None:
    outputs = loaded.run(bundled.selftest_tiles[:0])
    assert outputs.logits.shape == (0, classes)
    assert outputs.embeddings.shape == (0, len(bundled.novelty_mean))


def test_logits_are_whole_quantization_steps(loaded: Runtime, bundled: Bundle) -> None:
    steps = loaded.run(bundled.selftest_tiles).logits / loaded.logit_step
    assert loaded.logit_step > 0
    assert np.allclose(steps, np.rint(steps), atol=1e-3)


def test_bytes_reach_the_network_as_they_are(loaded: Runtime, bundled: Bundle, interpreter_class: Any) -> None:
    tile = bundled.selftest_tiles[:1]
    interpreter = interpreter_class(model_content=bundled.networks["int8"], num_threads=1)
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    interpreter.set_tensor(entry["index"], (tile.astype(int) - 128).astype(np.int8))
    interpreter.invoke()
    (exit_,) = (out for out in interpreter.get_output_details() if out["shape"][-1] == len(bundled.description.classes))
    scale, zero_point = exit_["quantization"]
    expected = (interpreter.get_tensor(exit_["index"]).astype(float) - zero_point) * scale
    assert np.allclose(loaded.run(tile).logits, expected, atol=1e-5)


def test_tiles_are_not_changed(loaded: Runtime, bundled: Bundle) -> None:
    tiles = bundled.selftest_tiles.copy()
    loaded.run(tiles)
    assert np.array_equal(tiles, bundled.selftest_tiles)


def test_tiles_of_another_size_are_refused(loaded: Runtime, bundled: Bundle) -> None:
    with pytest.raises(BundleCorrupt, match="takes tiles of"):
        loaded.run(bundled.selftest_tiles[:, :-1])


@pytest.mark.parametrize("quantization", [(0.5, -128), (1.0, 0), (0.0, 0)])
def test_an_input_off_the_byte_grid_is_refused(
    bundled: Bundle, classes: int, interpreter_class: Any, quantization: tuple[float, int]
) -> None:
    class OffGrid(interpreter_class):  # type: ignore[misc]
        def get_input_details(self) -> list[dict[str, Any]]:
            return [{**details, "quantization": quantization} for details in super().get_input_details()]

    with pytest.raises(BundleCorrupt, match="not on the byte grid"):
        InterpreterRuntime(OffGrid, NAME, bundled.networks["int8"], classes, 1)


def test_an_input_of_another_type_is_refused(bundled: Bundle, classes: int, interpreter_class: Any) -> None:
    class Unsigned(interpreter_class):  # type: ignore[misc]
        def get_input_details(self) -> list[dict[str, Any]]:
            return [{**details, "dtype": np.uint8} for details in super().get_input_details()]

    with pytest.raises(BundleCorrupt, match="uint8"):
        InterpreterRuntime(Unsigned, NAME, bundled.networks["int8"], classes, 1)


@pytest.mark.parametrize(("asked", "shape"), [("input", [3]), ("input", []), ("input", [0, 64, 64, 3]), ("output", [])])
def test_inputs_that_are_no_tiles_and_outputs_of_no_classes_are_refused(
    bundled: Bundle, classes: int, interpreter_class: Any, asked: str, shape: list[int]
) -> None:
    class Shaped(interpreter_class):  # type: ignore[misc]
        """Says so once it is loaded."""

        is_ready = False

        def allocate_tensors(self) -> None:
            super().allocate_tensors()
            self.is_ready = True

        def get_input_details(self) -> list[dict[str, Any]]:
            return self._shaped("input", super().get_input_details())

        def get_output_details(self) -> list[dict[str, Any]]:
            return self._shaped("output", super().get_output_details())

        def _shaped(self, of: str, details: list[dict[str, Any]]) -> list[dict[str, Any]]:
            if not self.is_ready or of != asked:
                return details
            return [{**each, "shape": np.array(shape, np.int32)} for each in details]

    with pytest.raises(BundleCorrupt, match=r"of no tiles|expected one input"):
        InterpreterRuntime(Shaped, NAME, bundled.networks["int8"], classes, 1)


def test_a_network_whose_names_are_no_text_is_refused(bundled: Bundle, classes: int, interpreter_class: Any) -> None:
    network = bundled.networks["int8"]
    name = interpreter_class(model_content=network).get_output_details()[0]["name"].encode()
    with pytest.raises(RuntimeUnavailable, match="cannot load it"):
        runtime.load(network.replace(name, b"\xff" + name[1:]), classes)


def test_a_network_for_other_classes_is_refused(bundled: Bundle, classes: int) -> None:
    with pytest.raises(BundleCorrupt, match="logits"):
        runtime.load(bundled.networks["int8"], classes + 1)


@pytest.mark.parametrize("network", [b"", b"no network", bytes(100)])
def test_what_is_no_network_is_refused(network: bytes) -> None:
    # It is the network that is wrong, and not the runtime.
    with pytest.raises(RuntimeUnavailable, match=r"^the network: .* cannot load it"):
        runtime.load(network, 3)


def test_an_unknown_runtime_is_refused_and_those_there_are_named(bundled: Bundle) -> None:
    with pytest.raises(RuntimeUnavailable, match=r"unknown\. Choose litert or tflite-runtime"):
        runtime.load(bundled.networks["int8"], 3, runtime="onnx")


def test_a_runtime_that_is_not_installed_is_refused_with_the_remedy(
    bundled: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "installed", list)
    for name, package in (("litert", "ai-edge-litert"), ("tflite-runtime", "tflite-runtime")):
        with pytest.raises(RuntimeUnavailable, match=f"not installed. `pip install {package}`"):
            runtime.load(bundled.networks["int8"], 3, runtime=name)


def test_the_default_is_the_first_installed(loaded: Runtime, bundled: Bundle, classes: int) -> None:
    assert loaded.name.startswith(NAME)
    assert runtime.load(bundled.networks["int8"], classes, runtime=NAME).name == loaded.name


def test_starting_says_nothing_on_standard_error(
    bundled: Bundle, classes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    runtime.load(bundled.networks["int8"], classes).run(bundled.selftest_tiles)
    assert capfd.readouterr() == ("", "")
