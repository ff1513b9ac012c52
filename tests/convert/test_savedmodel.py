"""A SavedModel is read without loading it: what reaches beyond classifying is refused, however it is hidden."""

from __future__ import annotations

import shutil

import pytest
from foreign import classifier, endings, refused

from convert import network as networks


def hostile(path, marker, reach, *, form="call"):
    """Save a classifier that reaches out when it is called, or when it is loaded; it did so while it was saved."""
    import tensorflow as tf

    class Resource(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self):
            return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[])

        def _initialize(self):
            reach(marker)

    class Hostile(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = tf.Variable(tf.random.normal((6, 3), seed=1))
            self.resource = Resource() if form == "load" else None

        @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.float32)])
        def serve(self, tiles):
            if form == "load":
                return tf.matmul(tf.tile(tf.reduce_mean(tiles, (1, 2)), (1, 2)) + 0 * tf.ones(6), self.weights)
            with tf.control_dependencies([reach(marker)]):
                return tf.matmul(tf.tile(tf.reduce_mean(tiles, (1, 2)), (1, 2)), self.weights)

    module = Hostile()
    tf.saved_model.save(module, path, signatures=module.serve)
    for each in marker.parent.glob(f"{marker.name}*"):
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def saves(marker):
    import tensorflow as tf

    return tf.raw_ops.SaveV2(prefix=str(marker), tensor_names=["x"], shape_and_slices=[""], tensors=[tf.constant("x")])


def restores(marker):
    import tensorflow as tf

    return tf.raw_ops.RestoreV2(prefix=str(marker), tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.string])[0]


def merges(marker):
    import tensorflow as tf

    return tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[str(marker)], destination_prefix=f"{marker}-2")


def reads_lines(marker):
    import tensorflow as tf

    return tf.raw_ops.TextLineDataset(
        filenames=[str(marker)], compression_type="", buffer_size=tf.constant(0, tf.int64)
    )


def summarizes(marker):
    import tensorflow as tf

    return tf.raw_ops.CreateSummaryFileWriter(
        writer=tf.raw_ops.SummaryWriter(), logdir=str(marker), max_queue=1, flush_millis=1, filename_suffix="x"
    )


def writes(marker):
    import tensorflow as tf

    return tf.io.write_file(str(marker), "x")


def prints(marker):
    import tensorflow as tf

    return tf.print("x", output_stream=f"file://{marker}")


@pytest.mark.parametrize(
    ("reach", "operation"),
    [
        (saves, "SaveV2"),
        (restores, "RestoreV2"),
        (merges, "MergeV2Checkpoints"),
        (reads_lines, "TextLineDataset"),
        (writes, "WriteFile"),
        (prints, "PrintV2"),
    ],
)
def test_a_saved_model_that_reaches_for_files_is_refused_and_not_loaded(tmp_path, reach, operation):
    path, marker = tmp_path / "network", tmp_path / "was written"
    hostile(path, marker, reach)
    assert operation in refused(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("reach", "operation"), [(saves, "SaveV2"), (summarizes, "CreateSummaryFileWriter")])
def test_a_saved_model_that_reaches_for_files_when_loaded_is_refused(tmp_path, reach, operation):
    path, marker = tmp_path / "network", tmp_path / "was written"
    hostile(path, marker, reach, form="load")
    assert operation in refused(path)
    assert list(tmp_path.iterdir()) == [path]


def altered(path, change):
    """Change the description of a SavedModel."""
    from tensorflow.core.protobuf import saved_model_pb2

    described = saved_model_pb2.SavedModel()
    described.ParseFromString((path / "saved_model.pb").read_bytes())
    change(described.meta_graphs[0])
    (path / "saved_model.pb").write_bytes(described.SerializeToString())


def saver(meta):
    return next(function for function in meta.graph_def.library.function if "save" in function.signature.name)


def test_the_function_that_saves_variables_is_let_through_only_where_nothing_calls_it(tmp_path):
    path = tmp_path / "network"
    classifier(endings()["logits"]).export(path, verbose=False)
    networks.load(path)
    whole = (path / "saved_model.pb").read_bytes()

    def by_a_node(meta):
        caller = next(f for f in meta.graph_def.library.function if "__call__" in f.signature.name)
        node = caller.node_def.add(name="reaches", op="StatefulPartitionedCall")
        node.attr["f"].func.name = saver(meta).signature.name

    def by_its_name_as_an_operation(meta):
        saver(meta).signature.name = "Relu"

    def as_what_was_saved_to_be_called(meta):
        meta.object_graph_def.concrete_functions[saver(meta).signature.name].SetInParent()

    def as_what_stands_in_for_another(meta):
        saver(meta).attr["api_implements"].s = b"x"

    for change in (
        by_a_node,
        by_its_name_as_an_operation,
        as_what_was_saved_to_be_called,
        as_what_stands_in_for_another,
    ):
        (path / "saved_model.pb").write_bytes(whole)
        altered(path, change)
        assert "SaveV2" in refused(path), change.__name__


def test_a_saved_model_whose_whole_graph_tensorflow_would_run_is_refused(tmp_path):
    path = tmp_path / "network"
    classifier(endings()["logits"]).export(path, verbose=False)
    altered(path, lambda meta: meta.ClearField("object_graph_def"))
    assert "not of TensorFlow 2" in refused(path)


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\x08\xff\xff"])
def test_a_folder_that_is_no_saved_model_is_refused(tmp_path, content):
    path = tmp_path / "network"
    path.mkdir()
    if content is not None:
        (path / "saved_model.pb").write_bytes(content)
    refused(path)
