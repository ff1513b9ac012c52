"""What leaves for other programs decides there as here.

LiteRT is asked at once; MediaPipe, onnxruntime and bioimage.io's own checks where `make test-elsewhere` installed them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from convert import export, graph, portable
from convert.errors import ExportRefused
from edge import RESEARCH_USE_ONLY
from edge.errors import NetworkNotFound, OutputError
from edge.model import bundle as bundles
from edge.model import runtime, shelf
from edge.verdict import softmax

ELSEWHERE = Path(os.environ.get("WBC_ELSEWHERE_PYTHON", ".venvs/elsewhere/bin/python"))
elsewhere = pytest.mark.skipif(
    not ELSEWHERE.exists(), reason="needs mediapipe, onnxruntime and bioimageio.spec: make test-elsewhere"
)


def scores(network, tiles):
    """Run a network that takes RGB and gives scores."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=network)
    interpreter.allocate_tensors()
    (shown,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for tile in tiles:
        interpreter.set_tensor(shown["index"], tile[None, ..., ::-1].astype(shown["dtype"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(given["index"])[0].astype(np.float64))
    scale, zero = given["quantization"]
    return (np.array(found) - zero) * (scale or 1)


def expected(bundle, kind, tiles):
    return softmax(runtime.load(bundle.networks[kind], len(bundle.description.classes)).run(tiles).logits)


@pytest.mark.parametrize("kind", ["int8", "float16", "float32", "dynamic"])
def test_rgb_tiles_get_the_scores_that_ours_give(whole, tiles, kind):
    bundle, _ = whole
    found = scores(portable.for_others(bundle.networks[kind], bundle.description), tiles)
    # A step of the scores of int8 is 1/256.
    assert np.abs(found - expected(bundle, kind, tiles)).max() < (1 / 256 + 1e-6 if kind == "int8" else 1e-5)


def test_the_bundled_model_can_leave_too():
    bundle = bundles.read(shelf.find(None))
    found = scores(portable.for_others(bundle.networks["int8"], bundle.description), bundle.selftest_tiles)
    assert np.abs(found - expected(bundle, "int8", bundle.selftest_tiles)).max() < 1 / 256 + 1e-6


def test_the_network_in_a_bundle_carries_labels_and_says_what_it_is(whole):
    from ai_edge_litert.interpreter import Interpreter

    network = whole[0].networks["float32"]
    with zipfile.ZipFile(io.BytesIO(network)) as archive:
        assert archive.read("labels.txt").decode().split() == ["ALL", "MM", "normal"]
    model = graph.parse(network)
    (content,) = (model.buffers[entry.buffer].data for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    content = bytes(content)
    assert content[4:8] == b"M001"
    for told in (b"For research use only", b"BGR", b"labels.txt", b"research only", b"small"):
        assert told in content
    signatures = Interpreter(model_content=network).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["tiles"], "outputs": ["embedding", "logits"]}}


def test_a_type_that_is_not_there_and_a_place_that_cannot_be_written_are_refused(whole, tmp_path):
    bundle = bundles.read(shelf.find(None))
    with pytest.raises(NetworkNotFound, match="It has int8"):
        export.export(bundle, "tflite", tmp_path / "x.tflite", "float16")
    with pytest.raises(OutputError):
        export.export(whole[0], "tflite", tmp_path / "missing" / "x.tflite")
    with pytest.raises(ExportRefused, match="Export a float type"):
        export.export(bundle, "bioimageio", tmp_path / "x.zip", "int8")
    assert not list(tmp_path.iterdir())


def test_onnx_is_of_the_most_exact_type_and_says_the_classes(whole, tmp_path):
    import onnx

    path = tmp_path / "small.onnx"
    assert export.export(whole[0], "onnx", path) == "float32"
    model = onnx.load(path)
    assert [output.name for output in model.graph.output] == ["logits", "embedding"]
    assert {prop.key: prop.value for prop in model.metadata_props}["classes"] == "ALL,MM,normal"


def test_the_licence_and_the_version_are_the_models_and_not_those_of_the_code(whole, tmp_path):
    bundle = whole[0]
    export.export(bundle, "bioimageio", tmp_path / "small.zip")
    with zipfile.ZipFile(tmp_path / "small.zip") as archive:
        described = json.loads(archive.read("rdf.yaml"))
        licence = archive.read(described["license"]["source"])
    assert described["license"]["sha256"] == hashlib.sha256(licence).hexdigest()
    assert b"research only" in licence
    assert RESEARCH_USE_ONLY.encode() in licence
    assert "Apache" not in json.dumps(described)
    assert described["version"] == bundle.description.version == "1"


def test_a_version_that_bioimage_io_would_not_read_is_told_elsewhere(whole, tmp_path):
    description = msgspec.structs.replace(whole[0].description, version="first try")
    export.export(replace(whole[0], description=description), "bioimageio", tmp_path / "small.zip")
    with zipfile.ZipFile(tmp_path / "small.zip") as archive:
        described = json.loads(archive.read("rdf.yaml"))
    assert "version" not in described
    assert described["config"]["wbc-edge"]["version"] == "first try"


def run_elsewhere(program, *arguments):
    ran = subprocess.run(
        [ELSEWHERE, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


MEDIAPIPE = """
import json, sys
import mediapipe, numpy as np
from mediapipe.tasks import python
from mediapipe.tasks.python import vision

options = python.BaseOptions(model_asset_path=sys.argv[1])
classifier = vision.ImageClassifier.create_from_options(vision.ImageClassifierOptions(base_options=options))
found = []
for tile in np.load(sys.argv[2]):
    shown = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(tile[..., ::-1]))
    (head,) = classifier.classify(shown).classifications
    found.append({each.category_name: each.score for each in head.categories})
classifier.close()
print(json.dumps(found))
"""


@elsewhere
@pytest.mark.parametrize("kind", ["int8", "float16", "float32"])
def test_mediapipes_image_classifier_gives_our_scores_tile_by_tile(whole, tiles, tmp_path, kind):
    bundle, _ = whole
    np.save(tmp_path / "tiles.npy", tiles)
    export.export(bundle, "tflite", tmp_path / "small.tflite", kind)
    rows = run_elsewhere(MEDIAPIPE, tmp_path / "small.tflite", tmp_path / "tiles.npy")
    found = np.array([[row[name] for name in bundle.description.classes] for row in rows])
    assert np.abs(found - expected(bundle, kind, tiles)).max() < (1 / 256 + 1e-6 if kind == "int8" else 1e-5)


ONNX = """
import json, sys
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
logits, _ = session.run(None, {"tiles": np.load(sys.argv[2]).astype(np.float32)})
print(json.dumps(logits.tolist()))
"""


@elsewhere
def test_onnxruntime_gives_our_logits(whole, tiles, tmp_path):
    np.save(tmp_path / "tiles.npy", tiles)
    export.export(whole[0], "onnx", tmp_path / "small.onnx")
    logits = runtime.load(whole[0].networks["float32"], 3).run(tiles).logits
    found = np.array(run_elsewhere(ONNX, tmp_path / "small.onnx", tmp_path / "tiles.npy"))
    np.testing.assert_allclose(found, logits, atol=1e-3)


BIOIMAGE = """
import json, sys
from bioimageio.spec import load_description

found = load_description(sys.argv[1], perform_io_checks=False)
print(json.dumps(found.validation_summary.status))
"""


@elsewhere
def test_bioimage_io_finds_its_form_valid(whole, tmp_path):
    export.export(whole[0], "bioimageio", tmp_path / "small.zip")
    assert run_elsewhere(BIOIMAGE, tmp_path / "small.zip") in ("valid-format", "passed")
