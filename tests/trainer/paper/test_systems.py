"""The systems and the controls: what they learn, what they keep, what they cannot see."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from edge.errors import ConfigurationError
from trainer.errors import OutOfMemory, WeightsUnavailable
from trainer.networks import paper, vgg16
from trainer.paper import controls, lineup, systems

SIDE_PX = 48
CLASSICAL = ("svm", "bayes", "tree", "forest")


def silent(*_):
    pass


def made(*names, steps=4, weights="none"):
    return lineup.systems(names, SIDE_PX, steps, 8, 40, weights, 0)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_classical_system_tells_apart_what_it_learned(pictures, name):
    system = made(name)[name]
    inputs = system.read(pictures, silent)
    assert inputs.shape == (len(pictures.labels), 249)
    fitted = system.fit(inputs, pictures.labels, 3, 0, silent)
    scores = fitted.scores(inputs)
    assert scores.shape == (len(pictures.labels), 3)
    assert (scores.argmax(axis=1) == pictures.labels).mean() > 0.75
    assert fitted.losses == ()
    assert fitted.parameters > 0
    assert fitted.size_bytes() > 1000


@pytest.mark.parametrize("name", CLASSICAL)
def test_two_classes_have_two_scores(pictures, name):
    two = pictures.where(pictures.labels < 2)
    system = made(name)[name]
    inputs = system.read(two, silent)
    scores = system.fit(inputs, two.labels, 2, 0, silent).scores(inputs)
    assert scores.shape == (len(two.labels), 2)
    assert ((scores[:, 0] > scores[:, 1]) == (two.labels == 0)).mean() > 0.75


def test_a_tree_keeps_two_numbers_a_question_and_a_share_of_each_class_a_leaf(pictures):
    two = pictures.where(pictures.labels < 2)
    system = made("tree")["tree"]
    # A feature that is the class: one question, two leaves.
    fitted = system.fit(np.repeat(two.labels[:, None], 3, axis=1).astype(float), two.labels, 2, 0, silent)
    assert fitted.parameters == 2 + 2 * 2


def test_the_papers_network_is_as_described():
    network = paper.build(96, 2)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert [kinds.count(kind) for kind in ("Conv2D", "MaxPooling2D", "Dense")] == [2, 2, 5]
    assert network.layers[-2].activation.__name__ == "softmax"
    assert network.layers[-1].activation.__name__ == "sigmoid"
    assert float(network.optimizer.learning_rate) == pytest.approx(0.01)
    assert network.count_params() == 7370


@pytest.mark.parametrize("side_px", [43, 64, 224])
def test_whatever_the_side_few_numbers_reach_the_dense_layers(side_px):
    flat = [layer for layer in paper.build(side_px, 3).layers if type(layer).__name__ == "Flatten"]
    assert flat[0].output.shape[1] <= 144


def test_the_papers_loss_is_next_to_the_least_there_is():
    assert paper.least_loss(2) == pytest.approx(0.5032, abs=5e-5)
    network = paper.build(SIDE_PX, 2)
    faultless = np.array([[1 / (1 + np.exp(-1)), 0.5]])
    assert float(network.compute_loss(y=np.array([[1.0, 0.0]]), y_pred=faultless)) == pytest.approx(paper.least_loss(2))


def test_a_network_learns_the_same_from_the_same_seed(taken):
    system = made("paper")["paper"]
    fits = [system.fit(system.read(taken, silent), taken.labels, 3, seed, silent) for seed in (0, 0, 1)]
    first, again, other = (fit.scores(taken.pixels) for fit in fits)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(fits[0].losses) == 4
    assert fits[0].losses == fits[1].losses


def test_a_network_takes_as_many_bytes_whatever_was_built_before(taken):
    import keras

    def fitted():
        system = made("paper")["paper"]
        return system.fit(system.read(taken, silent), taken.labels, 3, 0, silent).size_bytes()

    first = fitted()
    for _ in range(120):
        keras.layers.Dense(1), keras.layers.Conv2D(1, 1), keras.Input((1,))
    assert fitted() == first


def stuck_at_first(trainings, pixels):
    """Give a maker of networks that do not learn; the first that many call one class, the others by mean colour."""
    made = []

    def build(side_px, classes):
        made.append(len(made))
        is_stuck = len(made) <= trainings
        kernel = np.zeros((3, classes)) if is_stuck else np.eye(3, classes)
        # Less the mean over all pictures no channel is the greatest in each of them.
        bias = np.eye(classes)[0] if is_stuck else -pixels.mean(axis=(0, 1, 2))[:classes]
        picture = keras.Input((side_px, side_px, 3))
        last = keras.layers.Dense(classes)
        network = keras.Model(picture, last(keras.layers.GlobalAveragePooling2D()(picture)))
        last.set_weights([kernel, bias])
        network.compile(optimizer=keras.optimizers.SGD(0.0), loss="mean_squared_error")
        return network

    return build, made


@pytest.mark.parametrize(("stuck", "restarts"), [(0, 0), (1, 1), (9, systems.TRAININGS - 1)])
def test_a_training_that_ends_at_one_class_is_begun_anew_some_times(taken, stuck, restarts):
    build, made = stuck_at_first(stuck, taken.pixels)
    fitted = systems.Network("one", build, 2, 4).fit(taken.pixels, taken.labels, 3, 0, silent)
    assert fitted.restarts == restarts
    assert len(made) == restarts + 1


@pytest.mark.parametrize("name", ["paper", "vgg16"])
def test_a_batch_that_does_not_fit_into_memory_says_which_would(pictures, monkeypatch, name):
    system = replace(made(name)[name], batch=12)
    inputs = system.read(pictures, silent)
    original = keras.Model.train_on_batch

    def step(self, seen, *others):
        if len(seen) > 3:
            raise MemoryError("Unable to allocate 7.72 GiB for an array")
        return original(self, seen, *others)

    monkeypatch.setattr(keras.Model, "train_on_batch", step)
    with pytest.raises(OutOfMemory, match=r"a batch of 12 pictures: there is not enough memory\. 3 fit: --batch"):
        system.fit(inputs, pictures.labels, 3, 0, silent)


def test_vgg16_reads_pictures_by_convolutions_that_do_not_learn(taken, tmp_path):
    weights = tmp_path / "vgg16.weights.h5"
    system = made("vgg16")["vgg16"]
    assert "UNTRAINED" in system.title
    few = taken.where(np.arange(0, 24, 4))
    read = system.read(few, silent)
    assert read.shape == (6, 512)
    fitted = system.fit(read, few.labels, 3, 0, silent)
    np.testing.assert_array_equal(system.read(few, silent), read)
    assert fitted.scores(read).shape == (6, 3)
    # 13 convolutions, two dense layers, and the scaling between them.
    assert fitted.parameters == 14_714_688 + 513 * 256 + 257 * 3 + 2 * 512 + 1
    # The same weights from a file read the same.
    system.convolutions.get_layer("vgg16").save_weights(weights)
    from_file = lineup.systems(("vgg16",), SIDE_PX, 4, 8, 40, str(weights), seed=5)["vgg16"]
    assert from_file.title == "VGG-16, transferred"
    np.testing.assert_allclose(from_file.read(few, silent), read, rtol=1e-5, atol=1e-6)


def test_weights_that_cannot_be_had_are_an_error_with_the_way_out(tmp_path, monkeypatch):
    with pytest.raises(WeightsUnavailable, match="no such file") as missing:
        made("vgg16", weights=str(tmp_path / "nowhere.h5"))
    assert missing.value.exit_code == 64
    broken = tmp_path / "broken.weights.h5"
    broken.write_bytes(b"nothing")
    with pytest.raises(WeightsUnavailable, match=r"broken\.weights\.h5"):
        made("vgg16", weights=str(broken))

    def offline(**_):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(vgg16.keras.applications, "VGG16", offline)
    with pytest.raises(WeightsUnavailable, match=r"could not download them.*or `none`"):
        made("vgg16", weights="imagenet")


def test_an_unknown_system_is_refused():
    with pytest.raises(ConfigurationError, match="system 'resnet': unknown; there are paper, vgg16"):
        made("resnet")


def test_the_background_reader_does_not_see_cells(taken):
    repainted = taken.pixels.copy()
    repainted[~taken.background] = (255, 0, 255)
    changed = replace(taken, pixels=repainted)
    for row in range(24):
        before, after = (controls.background_only(shown, row) for shown in (taken, changed))
        np.testing.assert_array_equal(before, after)


def test_the_colour_reader_sees_nothing_but_a_mean(taken):
    shuffled = taken.pixels.reshape(24, -1, 3)[:, np.random.default_rng(0).permutation(48 * 48)].reshape(24, 48, 48, 3)
    changed = replace(taken, pixels=shuffled)
    np.testing.assert_allclose(controls.mean_colour(changed, 3), controls.mean_colour(taken, 3), rtol=1e-4)


def test_shuffled_labels_are_as_many_and_shared_by_a_fields_pictures(pictures):
    dealt = controls.shuffled(pictures, 0)
    assert not np.array_equal(dealt, pictures.labels)
    for field in range(24):
        assert len(set(dealt[pictures.fields == field].tolist())) == 1
    of_fields = [dealt[pictures.fields == field][0] for field in range(24)]
    assert np.bincount(of_fields).tolist() == [8, 8, 8]
