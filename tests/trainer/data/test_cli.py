"""`trainer data` from the shell: manifests that train, tables for people, JSON for programs, a line for a mistake."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from trainer import manifest
from trainer.cli import main


def told(*arguments):
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


@pytest.fixture(scope="module")
def snam(drawn, tmp_path_factory):
    """Lay out drawn fields as SN-AM: BMP, masks, one with a black bar."""
    folder = tmp_path_factory.mktemp("archive") / "SN-AM"
    folder.mkdir()
    for kind in ("ALL", "MM"):
        paths = [row[0] for row in drawn if row[1] == kind and row[3] == "purple"]
        for number, path in enumerate(paths, start=1):
            name = f"{number}_ALL_{number + 4}" if kind == "ALL" else f"{number}_MM"
            picture = cv2.imread(path)
            mask = np.zeros(picture.shape[:2], np.uint8)
            mask[:, :160] = 255
            if name == "1_MM":
                picture = cv2.copyMakeBorder(picture, 20, 0, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
                mask = cv2.copyMakeBorder(mask, 20, 0, 0, 0, cv2.BORDER_CONSTANT, value=0)
            cv2.imwrite(str(folder / f"{name}.bmp"), picture)
            cv2.imwrite(str(folder / f"{name}_nucleus_mask.bmp"), mask)
    return folder


def test_snam_becomes_a_manifest_beside_which_nothing_is_left(snam, tmp_path):
    out = tmp_path / "made" / "snam.csv"
    result = told("snam", snam, "--um-per-px", "0.5", "--out", out)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "8 fields in 8 groups; classes ALL, MM; borders found on 1" in result.stderr
    assert [path.name for path in out.parent.iterdir()] == ["snam.csv"]
    fields = {field.path.name: field for field in manifest.read([out])}
    assert fields["1_MM.bmp"].roi == manifest.Roi(0, 21, 320, 239)
    assert fields["1_ALL_5.bmp"].roi is None
    assert all(field.path.samefile(snam / name) for name, field in fields.items())
    assert {field.mask.name for field in fields.values()} == {f"{Path(name).stem}_nucleus_mask.bmp" for name in fields}
    with out.open() as stream:
        assert not any(Path(row["path"]).is_absolute() for row in csv.DictReader(stream))


def test_without_out_the_manifest_goes_to_standard_output(snam, tmp_path):
    result = told("snam", snam)
    assert "0.05 um, an estimate" in result.stderr
    (tmp_path / "piped.csv").write_text(result.stdout)
    fields = manifest.read([tmp_path / "piped.csv"])
    assert len(fields) == 8
    assert {field.um_per_px for field in fields} == {0.05}


def test_a_folder_a_class_becomes_a_manifest(drawn, tmp_path):
    for path, label, group, *_ in drawn:
        home = tmp_path / "slides" / label
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, home / f"{group}_{Path(path).name}")
    out = tmp_path / "fields.csv"
    result = told("folders", tmp_path / "slides", "--um-per-px", 0.5, "--group", "^([a-z]+-[A-Za-z]+-.)_", "--out", out)
    assert result.exit_code == 0, result.stderr
    fields = manifest.read([out])
    assert manifest.classes(fields) == ("ALL", "MM", "normal")
    assert {field.group for field in fields} == {f"slides-{row[2]}" for row in drawn}
    refused = told("folders", tmp_path / "slides", "--um-per-px", 0.5)
    assert refused.exit_code == 60
    assert "Say with --group" in refused.stderr


def test_borders_of_a_manifest_are_left_out(snam, tmp_path):
    rows = [(snam / "1_MM.bmp", "MM", "g", "l", 0.5)]
    path = tmp_path / "fields.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([manifest.REQUIRED, *rows])
    result = told("borders", path)
    assert result.exit_code == 0
    assert next(csv.DictReader(result.stdout.splitlines()))["roi"] == "0,21,320,239"


def test_borders_are_not_looked_for_in_pictures_that_are_not_there(write_manifest):
    result = told("borders", write_manifest([("gone.png", "MM", "g", "l", 0.5)]))
    assert result.exit_code == 60
    assert "1 of 1 files of the manifest: not found: " in result.stderr
    assert result.stdout == ""


def test_check_tells_a_person_in_tables_and_sentences(manifest_file):
    result = told("check", manifest_file)
    assert result.exit_code == 0
    assert re.search(r"^class +purple +violet$", result.stdout, re.MULTILINE)
    assert re.search(r"^MM +4 in 2 +4 in 2$", result.stdout, re.MULTILINE)
    assert re.search(r"^purple +0.5 +320x240 \(12\) +\d", result.stdout, re.MULTILINE)
    assert "warning: class 'MM' has only 4 groups" in result.stdout


def test_check_tells_a_program_the_same(manifest_file):
    told_ = json.loads(told("check", manifest_file, "--json").stdout)
    assert (told_["fields"], told_["groups"], told_["trainable"]) == (24, 12, True)
    assert told_["laboratories"]["violet"]["fields"] == {"ALL": 4, "MM": 4, "normal": 4}
    assert told_["duplicates"] == []
    assert {finding["kind"] for finding in told_["findings"]} == {"few groups"}


def test_check_renames_labels_as_training_does(manifest_file):
    result = told("check", manifest_file, "--relabel", "MM=normal", "--json")
    assert json.loads(result.stdout)["classes"] == ["ALL", "normal"]
    assert told("check", manifest_file, "--relabel", "MM").exit_code == 2


def test_what_refuses_training_is_the_exit_code(drawn, write_manifest, tmp_path):
    shutil.copy(drawn[0][0], tmp_path / "copy.png")
    path = write_manifest([*drawn, ("copy.png", "MM", "purple-MM-0", "purple", "0.5"), ("gone.png", *drawn[0][1:])])
    result = told("check", path, "--json")
    assert result.exit_code == 60
    assert "the data set cannot be trained on: 1 of 26 files" in result.stderr
    assert "and 1 more" in result.stderr
    answer = json.loads(result.stdout)
    assert not answer["trainable"]
    assert answer["duplicates"][0]["across_classes"]
    shown = told("check", path)
    assert "refused: 1 of 26 files of the manifest: not found:" in shown.stdout
    assert "Near-duplicates: 1 pairs, 1 of them across groups" in shown.stdout


def test_a_manifest_without_a_row_is_told_and_not_a_crash(write_manifest):
    result = told("check", write_manifest([]))
    assert result.exit_code == 60
    assert "has no field" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("snam", "missing"), 2, "does not exist"),
        (("folders", "."), 2, "--um-per-px"),
        (("folders", ".", "--um-per-px", "1", "--group", "("), 2, "is no regular expression"),
        (("folders", ".", "--um-per-px", "90"), 3, "a microscope's is between"),
        (("snam", ".", "--um-per-px", "nan"), 3, "a microscope's is between"),
        (("check",), 2, "MANIFEST"),
    ],
)
def test_usage_is_refused_in_a_line(tmp_path, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    result = told(*arguments)
    assert result.exit_code == code
    assert said in result.stderr


def test_a_manifest_that_cannot_be_written_is_told(snam, tmp_path):
    (tmp_path / "file").write_text("")
    result = told("snam", snam, "--out", tmp_path / "file" / "snam.csv")
    assert result.exit_code == 50
    assert "Choose another --out" in result.stderr


@pytest.mark.parametrize("command", ["snam", "folders", "borders", "check"])
def test_help_has_examples(command):
    shown = told(command, "--help").output
    assert re.search(rf"^  Examples?:\n    trainer data {command} ", shown, re.MULTILINE)


def test_a_name_that_no_file_can_have_is_a_problem_and_no_traceback(tmp_path):
    path = tmp_path / "fields.csv"
    path.write_text(f"path,label,group,lab,um_per_px\n{'x' * 300}.png,ALL,g,lab,0.1\n", encoding="utf-8")
    result = told("check", path)
    assert isinstance(result.exception, SystemExit)
    assert "xxx.png" in result.output
