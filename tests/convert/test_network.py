"""A network is read without running anything of its file; what is none is refused in one line."""

from __future__ import annotations

import io
import json
import resource
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from foreign import classifier, endings, refused

from convert import network as networks
from convert.network import Preprocessing
from edge.model import run as runs


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "network.keras"
    network.save(path)
    return path


def test_a_whole_file_is_read(saved, network, tiles):
    read = networks.load(saved)
    assert (read.tile_px, read.classes) == (32, 3)
    found, expected = read.run(tiles), network.predict_on_batch(tiles.astype(np.float32))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


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
    line = refused(path)
    assert "has a layer of code, Lambda. Build it of Keras's own layers" in line
    assert "safe_mode" not in line
    assert not Path(marker).exists()
    # It is code indeed.
    keras.models.load_model(path, safe_mode=False)
    assert Path(marker).exists()


def external_storage(kernel, outside):
    shape, parent, name = kernel.shape, kernel.parent, kernel.name
    del parent[name]
    parent.create_dataset(name, shape, "<f4", external=[(str(outside), 0, h5py.h5f.UNLIMITED)])


def external_link(kernel, outside):
    parent, name = kernel.parent, kernel.name
    del parent[name]
    parent[name.rpartition("/")[2]] = h5py.ExternalLink(str(outside), "/kernel")


def external_group(kernel, outside):
    whole, group = kernel.file, kernel.parent.name
    del whole[group]
    whole[group] = h5py.ExternalLink(str(outside), "/")


def virtual(kernel, outside):
    shape, parent, name = kernel.shape, kernel.parent, kernel.name
    del parent[name]
    layout = h5py.VirtualLayout(shape, "<f4")
    layout[...] = h5py.VirtualSource(str(outside), "kernel", shape)
    parent.create_virtual_dataset(name, layout)


@pytest.mark.parametrize("reach", [external_storage, external_link, external_group, virtual])
def test_weights_that_are_another_file_are_not_read(saved, tmp_path, reach):
    outside = tmp_path / "outside.h5"
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        kernel = file["layers/conv2d/vars/0"]
        with h5py.File(outside, "w") as other:
            other["kernel"] = other["0"] = kernel[()]
            other["1"] = file["layers/conv2d/vars/1"][()]
        reach(kernel, outside)
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in {**parts, "model.weights.h5": weights.getvalue()}.items():
            archive.writestr(name, content)
    refused(saved)


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ""])
def test_a_file_that_is_hdf5_with_an_archive_behind_it_is_read_as_neither(network, saved, tmp_path, suffix):
    legacy, path = tmp_path / "legacy.h5", tmp_path / f"both{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.save(legacy)
    path.write_bytes(legacy.read_bytes() + saved.read_bytes())
    assert "is not called .keras" in refused(path)


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
    for number, outputs in enumerate(([map_of_features], [embedding, map_of_features], [embedding] * 3)):
        path = tmp_path / f"{number}.keras"
        keras.Model(shown, outputs).save(path)
        assert "outputs" in refused(path)


def test_several_inputs_or_another_shape_are_refused(tmp_path):
    import keras
    from keras import layers

    def saved_with(name, *shapes):
        shown = [keras.Input(shape) for shape in shapes]
        pooled = [layers.GlobalAveragePooling2D()(each) for each in shown]
        joined = layers.Concatenate()(pooled) if len(pooled) > 1 else pooled[0]
        path = tmp_path / name
        keras.Model(shown, [layers.Dense(2)(joined), joined]).save(path)
        return refused(path)

    assert "has 2 inputs" in saved_with("two.keras", (32, 32, 3), (32, 32, 3))
    assert "(None, 32, 16, 3)" in saved_with("oblong.keras", (32, 16, 3))
    assert "(None, 32, 32, 1)" in saved_with("gray.keras", (32, 32, 1))
    assert "(None, None, None, 3)" in saved_with("any.keras", (None, None, 3))


def test_an_unknown_custom_layer_is_named_and_its_code_never_looked_for(saved):
    def custom(config):
        layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Conv2D")
        layer |= {"class_name": "Swirl", "module": "somewhere", "registered_name": "somewhere>Swirl"}
        return config

    rewritten(saved, custom)
    assert "Swirl" in (line := refused(saved))
    assert "Keras's own layers" in line


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "assets/../../evil", "assets\\..\\evil"])
def test_an_archive_that_reaches_out_of_itself_is_refused(saved, name):
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(name, b"x")
    assert "reaches out" in refused(saved)


def test_an_archive_that_claims_to_be_huge_is_refused_before_it_is_unpacked(saved):
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("assets/zeros", "w") as part:
        for _ in range(33):
            part.write(bytes(32 << 20))
    assert saved.stat().st_size < 4 << 20
    assert "claims to unpack to" in refused(saved)


def test_a_small_file_that_describes_a_huge_network_is_refused_before_memory_is_taken(saved):
    def huge(config):
        layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
        layer["config"]["units"] = 400_000_000
        return config

    rewritten(saved, huge)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "describes a network of" in (line := refused(saved))
    assert " parameters, and holds" in line
    # A weight of it, of four bytes, would be 1.6 GB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("stored", [{"chunks": (1024, 1024), "compression": "gzip"}, {"chunks": (1024, 1024)}])
def test_weights_that_claim_to_be_more_than_the_file_holds_are_refused_before_memory_is_taken(saved, stored):
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        del file["layers/conv2d/vars/0"]
        # Four gigabytes of which none is there: as much as Keras would still unpack.
        file.create_dataset("layers/conv2d/vars/0", (1 << 15, 1 << 15), "<f4", **stored)
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in {**parts, "model.weights.h5": weights.getvalue()}.items():
            archive.writestr(name, content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "has weights that claim to be 42949" in refused(saved)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_weights_of_a_form_that_keras_does_not_write_are_not_read(saved):
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name.replace(".h5", ".npz"), content)
    assert "no item named 'model.weights.h5'" in refused(saved)


def test_a_network_whose_layers_take_gigabytes_for_a_tile_is_refused_before_they_are_taken(tmp_path):
    import keras
    from keras import layers

    shown = keras.Input((32, 32, 3))
    embedding = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1)(layers.ZeroPadding2D(3000)(shown)))
    keras.Model(shown, layers.Dense(3)(embedding)).save(path := tmp_path / "wide.keras")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "takes more memory for a tile than any device has for it: 582 MB" in refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_an_embedding_too_wide_for_a_bundle_is_refused_before_its_novelty_is_measured(tmp_path):
    import keras
    from keras import layers

    shown = keras.Input((32, 32, 3))
    keras.Model(shown, layers.Dense(3)(layers.Flatten()(shown))).save(path := tmp_path / "flat.keras")
    assert "says 3072 numbers of a tile before its last layer, and a bundle holds 2048" in refused(path)


def test_a_huge_network_whose_layers_do_not_fit_takes_no_memory_later_either(saved):
    import keras

    def torn(config):
        layers = config["config"]["layers"]
        next(layer for layer in layers if layer["class_name"] == "Conv2D")["config"]["filters"] = 100_000_000
        return config

    rewritten(saved, torn)
    refused(saved)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with keras.StatelessScope():
        pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("ending", ["softmax in the layer", "softmax behind it", "logits", "without bias"])
@pytest.mark.parametrize("form", ["keras", "saved_model"])
def test_logits_and_embedding_are_found_in_any_classifier(tmp_path, tiles, ending, form):
    from edge.verdict import softmax

    model = classifier(endings()[ending])
    path = tmp_path / ("network.keras" if form == "keras" else "network")
    model.save(path) if form == "keras" else model.export(path, verbose=False)
    shown = tiles.astype(np.float32) / 255
    logits, embeddings = networks.load(path, Preprocessing(scale=255)).run(tiles)
    expected = model.predict_on_batch(shown)
    np.testing.assert_allclose(logits if ending == "logits" else softmax(logits), expected, rtol=1e-4, atol=1e-5)
    weights = model.layers[-1 if ending != "softmax behind it" else -2].get_weights()
    np.testing.assert_allclose(embeddings @ weights[0] + (weights[1] if len(weights) > 1 else 0), logits, atol=1e-4)


def test_a_network_gets_the_channels_and_the_range_that_it_wants(tmp_path, tiles):
    model = classifier(endings()["logits"])
    model.save(path := tmp_path / "network.keras")
    mean, scale = (10.0, 20.0, 30.0), 50.0
    logits, _ = networks.load(path, Preprocessing(scale, mean, rgb=True)).run(tiles)
    expected = model.predict_on_batch((tiles[..., ::-1].astype(np.float32) - mean) / scale)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_a_classifier_that_ends_in_no_dense_layer_is_refused(tmp_path):
    from keras import layers

    path = tmp_path / "network.keras"
    classifier(layers.ReLU()).save(path)
    assert "Dense(number of classes)" in refused(path)


@pytest.mark.parametrize("form", ["keras", "saved_model"])
def test_of_two_outputs_as_well_the_softmax_is_cut_off(tmp_path, tiles, form):
    import keras
    from keras import layers

    from edge.verdict import softmax

    model = classifier(lambda x: layers.Dense(3, activation="softmax", name="last")(layers.Rescaling(50.0)(x)))
    both = keras.Model(model.input, [model.output, model.get_layer("last").input])
    path = tmp_path / ("network.keras" if form == "keras" else "network")
    both.save(path) if form == "keras" else both.export(path, verbose=False)
    read = networks.load(path)
    logits, embeddings = read.run(tiles)
    expected = both.predict_on_batch(tiles.astype(np.float32))
    np.testing.assert_allclose(softmax(logits), expected[0], atol=1e-4)
    np.testing.assert_allclose(embeddings, expected[1], rtol=1e-4)
    # Fine-tuning would teach it its probabilities.
    assert read.keras is None


@pytest.mark.parametrize("form", ["keras", "saved_model"])
@pytest.mark.parametrize(("named", "classes"), [("logits", None), ("scores", 3)])
def test_of_named_outputs_the_classes_are_known_by_name_or_by_width(tmp_path, tiles, form, named, classes):
    import keras
    from keras import layers

    model = classifier(layers.Dense(3, name="last"))
    outputs = {named: model.output, "embedding": model.get_layer("last").input}
    path = tmp_path / ("network.keras" if form == "keras" else "network")
    both = keras.Model(model.input, outputs)
    both.save(path) if form == "keras" else both.export(path, verbose=False)
    read = networks.load(path, classes=classes)
    assert read.classes == 3
    expected = model.predict_on_batch(tiles.astype(np.float32))
    np.testing.assert_allclose(read.run(tiles)[0], expected, rtol=1e-4, atol=1e-3)
    assert read.keras is None


def test_of_named_outputs_that_tell_nothing_none_is_guessed(tmp_path):
    import keras
    from keras import layers

    model = classifier(layers.Dense(3, name="last"))
    path = tmp_path / "network"
    keras.Model(model.input, {"b": model.output, "a": model.get_layer("last").input}).export(path, verbose=False)
    assert "has outputs a and b" in refused(path)
