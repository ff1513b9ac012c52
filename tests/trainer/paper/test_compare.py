"""`trainer compare` and `trainer features` from the shell: tables, figures, going on after a stop, and mistakes."""

from __future__ import annotations

import csv
import json
import re

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from edge import RESEARCH_USE_ONLY
from edge.camera.decode import read_image
from trainer.cli import main
from trainer.paper import compare, tables
from trainer.paper.controls import CONTROLS
from trainer.paper.measures import Figure
from trainer.paper.results import Comparison, Outcome, Task

# Six networks and their controls are made on the way to the first promise.
pytestmark = pytest.mark.timeout(600)

QUICK = ("--size", 48, "--folds", 2, "--steps", 2, "--batch", 8)


def told(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def compared(manifest, out, *options):
    return told("compare", manifest, "--out", out, *QUICK, *options)


@pytest.fixture(scope="module")
def comparison(manifest_file, tmp_path_factory):
    """Compare two systems; the folder, what the command told, and its options."""
    out = tmp_path_factory.mktemp("comparison") / "out"
    options = ("--classes", "ALL,MM", "--system", "paper", "--system", "bayes")
    result = compared(manifest_file, out, *options, "--json")
    assert result.exit_code == 0, result.stderr
    return out, [json.loads(line) for line in result.stdout.splitlines()], options


@pytest.fixture
def one_control(monkeypatch):
    """Leave out the controls that take their time; nothing but their number is different then."""
    monkeypatch.setattr(compare, "CONTROLS", {"frequency": CONTROLS["frequency"]})


def without_times(path):
    found = json.loads(path.read_text())
    for row in found["rows"]:
        del row["ms_per_picture"], row["training_s"]
    del found["created"]
    return found


def test_every_system_and_control_stands_in_table_2_by_every_protocol(comparison):
    out, rows, _ = comparison
    systems = {"paper", "bayes", "frequency", "colour", "background", "shuffled"}
    expected = {(protocol, system) for protocol in ("paper", "field", "group") for system in systems}
    assert {(row["protocol"], row["system"]) for row in rows} == expected
    assert len(rows) == len(expected)
    with (out / "table2.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert len(table) == len(rows)
    for line, row in zip(table, rows, strict=True):
        for measure in ("accuracy", "precision", "recall", "specificity", "F1"):
            value, low, high = row["figures"][measure]
            assert 0 <= low <= high <= 1
            assert float(line[measure]) == pytest.approx(value)
        assert sum(map(sum, row["confusion"])) == row["tested"]
        right = sum(row["confusion"][index][index] for index in range(len(row["confusion"])))
        assert row["figures"]["accuracy"][0] == pytest.approx(right / row["tested"])


def test_only_the_papers_protocol_tests_what_augmentation_made(comparison):
    _, rows, _ = comparison
    for row in rows:
        if row["protocol"] == "paper":
            assert row["tested"] > 2 * 16
        else:
            assert row["tested"] == 16
            assert row["accuracy_as_taken"] == row["figures"]["accuracy"][0]


def test_the_page_says_what_must_not_be_believed(comparison):
    page = (comparison[0] / "tables.md").read_text()
    assert RESEARCH_USE_ONLY in page
    assert "mean colour alone then separates the classes" in page
    assert "ALL against MM: the classes come from **the same 2 laboratories**" in page
    assert "What the paper's protocol adds to accuracy, in points" in page
    assert "## Table 3" in page
    assert page.count("*control: shuffled labels*") == 3 + 1


def test_every_figure_is_a_picture_with_words_beside_it(comparison):
    out = comparison[0]
    page = (out / "figures.md").read_text()
    pictures = sorted(path.name for path in (out / "figures").iterdir())
    kinds = ("accuracy", "confusion", "loss", "precision-recall", "roc")
    assert pictures == sorted(f"fields-ALL-MM-{kind}.png" for kind in kinds)
    for name in pictures:
        assert min(read_image(out / "figures" / name).shape[:2]) > 300
        words = page.split(f"](figures/{name})")[0].rsplit("![", 1)[1]
        assert len(words) > 40


def test_inflation_is_the_papers_accuracy_minus_the_other(comparison):
    found = json.loads((comparison[0] / "compare.json").read_text())
    accuracy = {
        (str(row["task"]), row["system"], row["protocol"]): row["figures"]["accuracy"][0] for row in found["rows"]
    }
    assert len(found["inflation"]) == 2 * 2
    for one in found["inflation"]:
        key = str(one["task"]), one["system"]
        assert one["points"][0] == pytest.approx(accuracy[*key, "paper"] - accuracy[*key, one["protocol"]])


def test_no_inflation_is_read_where_a_training_called_one_class_only(comparison):
    found = msgspec.json.decode((comparison[0] / "compare.json").read_bytes(), type=Comparison)
    first = found.inflation[0]
    collapsed = [
        msgspec.structs.replace(one, one_class_only=1)
        if (one.task, one.title) == (first.task, first.title)
        else msgspec.structs.replace(one, one_class_only=0)
        for one in found.inflation
    ]
    page = tables.page(msgspec.structs.replace(found, inflation=collapsed))
    section = page.split("### What the paper's protocol adds")[1]
    line = next(one for one in section.splitlines() if first.title in one)
    assert "1 of its trainings called one class only; no inflation can be read from it" in line
    assert not re.search(r"[+-]\d+\.\d", line)


def test_trainings_that_called_one_class_only_are_counted():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.9, 0.1], [0.2, 0.8]])
    outcome = Outcome(
        Task("data", ("ALL", "MM")), "group", "paper", "network", False, np.array([0, 1, 0, 1]), scores,
        np.array(["a", "b", "c", "d"]), np.ones(4, bool), np.array([0, 0, 1, 1]), None,
    )  # fmt: skip
    assert outcome.one_class_only == 1


@pytest.mark.parametrize(
    ("low", "learned"),
    [(0.48, False), (0.5, False), (0.55, True)],
    ids=["chance within", "chance at the end", "better"],
)
def test_no_inflation_is_read_from_a_system_that_did_not_learn(comparison, low, learned):
    found = msgspec.json.decode((comparison[0] / "compare.json").read_bytes(), type=Comparison)
    title = found.inflation[0].title
    balanced = Figure(low + 0.04, low, low + 0.08)
    rows = [
        msgspec.structs.replace(row, figures={**row.figures, "balanced accuracy": balanced})
        if (row.title, row.protocol) == (title, "paper")
        else row
        for row in found.rows
    ]
    # Of trainings as short as these some call one class only.
    trained = [msgspec.structs.replace(one, one_class_only=0) for one in found.inflation]
    page = tables.page(msgspec.structs.replace(found, rows=rows, inflation=trained))
    (line,) = [line for line in page.split("### What the paper's protocol adds")[1].splitlines() if title in line][:1]
    said = (
        f"did not learn (balanced accuracy {100 * balanced.value:.1f}% ({100 * low:.1f} to {100 * balanced.high:.1f}))"
    )
    assert (said in line) is not learned
    assert (re.search(r"[+-]\d+\.\d", line) is not None) is learned
    assert line.count("|") == 2 + 2 * 2


def test_what_is_finished_is_not_done_again_and_the_rest_comes_out_the_same(comparison, manifest_file):
    out, _, options = comparison
    before = without_times(out / "compare.json")
    parts = {path: path.read_bytes() for path in (out / "parts").iterdir()}
    # As a run leaves it that was stopped while it did these.
    lost = [path for path in parts if path.name.startswith("fields-ALL-MM--group--")]
    assert len(lost) == 6
    for path in lost:
        path.unlink()
    (out / "compare.json").unlink()
    (out / "parts" / "fields-ALL-MM--group--bayes.part").write_bytes(b'{"key": ')
    assert compared(manifest_file, out, *options).exit_code == 0
    after = without_times(out / "compare.json")
    del before["command"], after["command"]
    assert after == before
    assert {path: path.read_bytes() for path in parts if path not in lost} == {
        path: content for path, content in parts.items() if path not in lost
    }


def test_other_settings_do_not_take_what_was_found_with_these(one_control, manifest_file, tmp_path):
    only = ("--classes", "ALL,MM", "--system", "bayes")
    assert compared(manifest_file, tmp_path, *only).exit_code == 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    assert compared(manifest_file, tmp_path, *only, "--seed", 1).exit_code == 0
    for path in (tmp_path / "parts").iterdir():
        assert json.loads(path.read_bytes())["key"] != json.loads(first[path.name])["key"]


def test_what_was_kept_is_of_the_same_fields_whatever_the_order_of_the_rows(
    one_control, drawn, write_manifest, tmp_path
):
    found = []
    for rows in (drawn, drawn[::-1], [*drawn[1::2], *drawn[::2]]):
        arguments = ("--system", "bayes")
        assert compared(write_manifest(rows), tmp_path / "out", *arguments).exit_code == 0
        kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "parts").iterdir()}
        found.append((without_times(tmp_path / "out" / "compare.json"), kept))
    assert found[0] == found[1] == found[2]
    # Nor does it decide what is found where nothing was kept.
    assert compared(write_manifest(drawn[::-1]), tmp_path / "anew", *arguments).exit_code == 0
    anew = without_times(tmp_path / "anew" / "compare.json")
    assert anew["rows"] == found[0][0]["rows"]


def test_each_manifest_is_a_data_set_of_its_own_and_laboratories_can_be_left_out(
    one_control, drawn, write_manifest, tmp_path
):
    first = write_manifest([row for row in drawn if row[1] != "normal"], name="first.csv")
    second = write_manifest([row for row in drawn if row[1] != "MM"], name="second.csv")
    result = compared(first, tmp_path / "out", second, "--system", "bayes", "--by", "lab")
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "out" / "table3.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert {(line["data"], line["classes"]) for line in table} == {("first", "ALL MM"), ("second", "ALL normal")}
    assert all(0 <= float(line["lab"]) <= 1 for line in table)


def test_more_than_two_classes_are_a_task_too(one_control, manifest_file, tmp_path):
    result = compared(manifest_file, tmp_path, "--system", "bayes")
    assert result.exit_code == 0, result.stderr
    assert "fields: ALL against MM against normal" in result.stdout
    assert "means over the classes, each against the rest" in result.stdout
    found = json.loads((tmp_path / "compare.json").read_text())
    assert {len(row["confusion"]) for row in found["rows"]} == {3}


@pytest.mark.parametrize(
    ("kept", "options", "code", "said"),
    [
        (lambda row: row[1] == "ALL", (), 60, "has only one class, ALL"),
        (lambda row: row[1] != "MM" or row[2] == "purple-MM-0", (), 60, "class 'MM' has only one group"),
        (lambda _: True, ("--classes", "ALL,CML"), 60, "has not all classes of any --classes"),
        (lambda _: True, ("--folds", 9), 60, "class 'ALL': has 8 pictures, too few for 9 folds"),
        (lambda row: row[3] == "purple", ("--by", "lab"), 60, "comes from one laboratory only"),
        (lambda _: True, ("--classes", "ALL"), 2, "give two classes or more"),
        (lambda _: True, ("--relabel", "ALL"), 2, "give OLD=NEW"),
        (lambda _: True, ("--system", "resnet"), 2, "'resnet' is not one of"),
        (lambda _: True, ("--system", "vgg16", "--weights", "nowhere.h5"), 64, "nowhere.h5: no such file"),
        (lambda _: True, ("--um-per-px", 50), 3, "pixel size 50 um"),
        (lambda _: True, ("--seed", 2**32), 2, "seed 4294967296: must be between 0 and"),
    ],
)
def test_a_mistake_is_one_line_and_its_own_exit_code(drawn, write_manifest, tmp_path, kept, options, code, said):
    path = write_manifest([row for row in drawn if kept(row)])
    arguments = ("--system", "bayes", *options) if "vgg16" not in options else options
    result = compared(path, tmp_path / "out", *arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert not (tmp_path / "out" / "compare.json").exists()


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_read(manifest_file, tmp_path):
    (tmp_path / "file").write_text("")
    result = compared(manifest_file, tmp_path / "file" / "out", "--system", "bayes")
    assert result.exit_code == 50


def test_features_of_a_scale_that_no_microscope_has_are_refused(manifest_file):
    result = told("features", manifest_file, "--um-per-px", 99)
    assert result.exit_code == 3
    assert "pixel size 99 um" in result.stderr


def test_features_are_ranked_and_written(manifest_file, tmp_path):
    out = tmp_path / "features.csv"
    result = told("features", manifest_file, "--size", 48, "--best", 5, "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    ranked = [json.loads(line) for line in result.stdout.splitlines()]
    scores = [entry["chi_square"] for entry in ranked]
    assert scores == sorted(scores, reverse=True)
    assert len(ranked) == 5
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["path", "label", "group", "lab", *(entry["feature"] for entry in ranked)]
    assert len(rows) == 24
    shown = told("features", manifest_file, "--size", 48)
    assert shown.stdout.splitlines()[0].split()[0] == ranked[0]["feature"]


def test_labels_are_renamed_before_features_are_ranked(manifest_file, tmp_path):
    out = tmp_path / "features.csv"
    result = told("features", manifest_file, "--size", 48, "--best", 1, "--relabel", "MM=myeloma", "--out", out)
    assert result.exit_code == 0, result.stderr
    with out.open() as stream:
        labels = {row["label"] for row in csv.DictReader(stream)}
    assert "myeloma" in labels
    assert "MM" not in labels
