"""`wbc-edge model` lists, shows and verifies models, bundled ones and the user's own."""

import os

import pytest

from edge.model import shelf


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """Give the user a folder of models with one good and one damaged."""
    folder = tmp_path / "models"
    folder.mkdir()
    bundled = shelf.find(None).read_bytes()
    (folder / "mine.wbc").write_bytes(bundled)
    (folder / "torn.wbc").write_bytes(bundled[:500])
    monkeypatch.setenv("WBC_EDGE_MODELS", str(folder))
    return folder


def test_the_list_goes_on_past_a_damaged_model(wbc, models):
    ran = wbc("model", "list", "--json")
    assert [line["file"] for line in ran.lines] == [str(shelf.find(None)), str(models / "mine.wbc")]
    assert ran.code == 32
    assert "torn.wbc" in ran.err
    assert "mine.wbc" in wbc("model", "list").out


def test_a_model_is_shown_with_its_card_and_its_licence(wbc):
    (described,) = wbc("model", "show", "mine", "--json").lines
    assert described["classes"] == ["ALL", "MM", "normal"]
    shown = wbc("model", "show", "mine").out
    assert described["training"]["licence"] in shown
    assert described["model"] in shown


def test_verify_runs_the_self_test(wbc):
    ran = wbc("model", "verify", "mine")
    assert ran.code == 0
    assert "whole" in ran.out
    assert "litert" in ran.out
    assert ran.err == ""


def test_verify_names_every_model_and_ends_with_the_first_failure(wbc):
    ran = wbc("model", "verify", "--json")
    assert ran.code == 32
    assert [line.get("exit_code") for line in ran.lines] == [None, None, 32]


def test_the_users_models_are_used_by_name(simulate):
    assert simulate("--classify", "--model", "mine", "--count", 1).code == 0
    assert simulate("--classify", "--model", "torn", "--count", 1).code == 32


def test_a_name_of_any_bytes_is_still_json(wbc):
    (line,) = wbc("model", "verify", "--json", os.fsdecode(b"./m\xff.wbc")).lines
    assert line["file"] == r"./m\udcff.wbc"
    assert line["exit_code"] == 31
