"""The trainer under the other back ends of Keras; ``make test-backends`` installs what these need."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from edge.model import run as runs

PROGRAM = [sys.executable, "-c", "from trainer.cli import main; main()"]
QUICK = ["--steps", "4", "--batch", "8", "--tile", "32", "--folds", "2", "--json"]


def fit(manifest_file, out, backend, *options, **environment):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}: make test-backends")
    done = subprocess.run(
        [*PROGRAM, "fit", str(manifest_file), "--out", str(out), *QUICK, *options],
        env={**os.environ, "KERAS_BACKEND": backend, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_run_is_made_and_its_network_is_the_same_under_tensorflow(manifest_file, tmp_path, backend):
    told = fit(manifest_file, tmp_path / "run", backend, "--stop-on", "violet-normal-1")
    assert backend in runs.read(tmp_path / "run").training.software
    assert told["metrics"]["cross-validated fields"] == 24
    assert (tmp_path / "run" / "report.html").exists()
    np.save(tmp_path / "tiles.npy", runs.array(tmp_path / "run", runs.CALIBRATION)[:8])
    judge = (
        "import keras, numpy, sys;"
        "network = keras.models.load_model(sys.argv[1], compile=False);"
        "tiles = numpy.load(sys.argv[2]).astype('float32');"
        "numpy.save(sys.argv[3], numpy.asarray(keras.ops.convert_to_numpy(network.predict_on_batch(tiles)[0])))"
    )
    logits = {}
    for engine in (backend, "tensorflow"):
        place = tmp_path / f"{engine}.npy"
        arguments = [str(tmp_path / "run" / runs.NETWORK), str(tmp_path / "tiles.npy"), str(place)]
        environment = {**os.environ, "KERAS_BACKEND": engine}
        subprocess.run([sys.executable, "-c", judge, *arguments], env=environment, check=True)
        logits[engine] = np.load(place)
    assert logits[backend] == pytest.approx(logits["tensorflow"], abs=1e-4)


@pytest.mark.timeout(1200)
def test_two_devices_share_a_batch(manifest_file, tmp_path):
    # Two that are parts of one processor: the same code as for two GPUs.
    flags = "--xla_force_host_platform_device_count=2"
    told = fit(manifest_file, tmp_path / "run", "jax", "--devices", "2", XLA_FLAGS=flags)
    assert told["metrics"]["cross-validated fields"] == 24


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_mixed_precision_trains(manifest_file, tmp_path, backend):
    fit(manifest_file, tmp_path / "run", backend, "--precision", "mixed_bfloat16")
