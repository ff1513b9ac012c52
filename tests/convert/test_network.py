"""A network is read without running anything of its file; what is none is refused in one line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from convert import network as networks
from convert.errors import CalibrationRefused, NetworkUnreadable
from edge.model import run as runs


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "network.keras"
    network.save(path)
    return path


def test_a_whole_file_is_read(saved, network, tiles):
    read = networks.load(saved)
    shown = tiles[:4].astype(np.float32)
    assert np.array_equal(read.predict_on_batch(shown)[0], network.predict_on_batch(shown)[0])


def refused(path):
    with pytest.raises(NetworkUnreadable) as error:
        networks.load(path)
    assert error.value.exit_code == 70
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x89HDF\r\n\x1a\n" + bytes(64), b"PK\x03\x04" + bytes(64)])
def test_garbage_is_refused(saved, content):
    saved.write_bytes(content)
    refused(saved)


def test_a_missing_file_is_refused(tmp_path):
    refused(tmp_path / runs.NETWORK)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    refused(saved)


def rewritten(path, change):
    """Change the configuration in a .keras file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = json.dumps(change(json.loads(parts["config.json"]))).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_code_in_a_lambda_layer_is_not_run(tmp_path):
    import keras
    from keras import layers

    path, marker = tmp_path / "network.keras", str(tmp_path / "was run")
    shown = keras.Input((32, 32, 3))
    hostile = layers.Lambda(lambda x: (__import__("os").makedirs(marker, exist_ok=True), x)[1])
    embedding = layers.GlobalAveragePooling2D()(hostile(shown))
    keras.Model(shown, [layers.Dense(3)(embedding), embedding]).save(path)
    Path(marker).rmdir()
    refused(path)
    assert not Path(marker).exists()
    # It is code indeed.
    keras.models.load_model(path, safe_mode=False)
    assert Path(marker).exists()


@pytest.mark.parametrize(
    "config",
    [
        [],
        {"class_name": "os.system", "module": "os", "config": {"command": "true"}},
        {"class_name": "Functional", "module": "keras", "config": None},
        {"class_name": "Functional", "module": "keras", "config": {"layers": [{}]}},
    ],
)
def test_a_hostile_configuration_is_refused(saved, config):
    rewritten(saved, lambda _: config)
    refused(saved)


def test_another_number_or_form_of_outputs_is_refused(tmp_path):
    import keras
    from keras import layers

    shown = keras.Input((32, 32, 3))
    map_of_features = layers.Conv2D(4, 3)(shown)
    embedding = layers.GlobalAveragePooling2D()(map_of_features)
    for number, outputs in enumerate(([embedding], [embedding, map_of_features], [embedding] * 3)):
        path = tmp_path / f"{number}.keras"
        keras.Model(shown, outputs).save(path)
        assert "outputs" in refused(path)


@pytest.mark.parametrize(
    ("shape", "level", "told"),
    [
        ((0, 32, 32, 3), 0, "empty"),
        ((5, 32, 32, 3), 90, "the same tile throughout"),
        ((5, 16, 16, 3), 0, r"has shape \(5, 16, 16, 3\)"),
        ((32, 32, 3), 0, r"has shape \(32, 32, 3\)"),
    ],
)
def test_a_representative_dataset_that_is_none_is_refused(network, shape, level, told):
    with pytest.raises(CalibrationRefused, match=told):
        networks.to_int8(network, np.full(shape, level, np.uint8))


def test_a_layer_without_int8_is_refused(tiles):
    import keras
    from keras import layers

    shown = keras.Input((32, 32, 3))
    embedding = layers.GlobalAveragePooling2D()(keras.ops.fft2((shown, shown))[0])
    network = keras.Model(shown, [layers.Dense(3)(embedding), embedding])
    with pytest.raises(NetworkUnreadable, match="cannot be quantized"):
        networks.to_int8(network, tiles)
