"""`wbc-edge model` lists, shows and verifies models, bundled ones and the user's own."""

import os
from dataclasses import replace

import handmade
import msgspec
import pytest

from edge.cli import options
from edge.model import bundle, shelf
from edge.model.store import Store


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


def test_what_a_bundle_says_cannot_drive_the_terminal(wbc, monkeypatch):
    found = bundle.read(shelf.find(None))
    told = msgspec.structs.replace(found.description, version="1\x1b[31m", classes=("ALL\x1b[2J", "MM", "normal"))
    evil = replace(found, card="# Card\n\x1b]0;owned\x07 of\ta model", description=told)
    monkeypatch.setattr(bundle, "read", lambda _: evil)
    shown = wbc("model", "show", "mine").out
    assert "# Card\n\ufffd]0;owned\ufffd of" in shown
    assert not any(letter in shown for letter in "\x1b\x07")
    assert "\x1b" not in wbc("model", "list").out


def test_a_user_without_a_home_has_models_beside_the_journal(wbc, monkeypatch, tmp_path):
    for variable in ("WBC_EDGE_MODELS", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["nobody of that number"])
    monkeypatch.setenv("WBC_EDGE_STATE", str(tmp_path / "state"))
    assert options.model_folder() == tmp_path / "state" / "models"
    assert wbc("model", "list").code == 0
    assert wbc("capture", "--classify", "--camera", "sim", "--size", "640x480", "--count", "1").code == 0


def test_the_list_shows_what_there_is_when_the_one_in_force_is_gone(wbc, models):
    Store(models).activate("mine")
    (models / "mine.wbc").unlink()
    ran = wbc("model", "list", "--json")
    assert ran.code == 31
    assert "mine" in ran.err
    assert [(line["file"], line["in_force"]) for line in ran.lines] == [(str(shelf.find(None)), False)]


def test_verify_runs_the_self_test(wbc):
    ran = wbc("model", "verify", "mine")
    assert ran.code == 0
    assert "whole" in ran.out
    assert "litert" in ran.out
    assert ran.err == ""


def test_a_model_that_would_end_the_process_is_a_line_and_an_exit_code_whoever_opens_it(
    wbc, simulate, of_bright_tiles, models, tmp_path
):
    crashing = of_bright_tiles("float32", handmade.that_crashes)
    before = set(models.iterdir())
    for arguments in (
        ("model", "verify", crashing),
        ("model", "install", crashing),
        ("bench", "--model", crashing),
    ):
        ran = wbc(*arguments)
        assert ran.code == 34, arguments
        assert f"bundle {crashing}: " in ran.err
        assert "died of SIGSEGV" in ran.err
        assert len(ran.err.splitlines()) == 1
    assert simulate("--classify", "--model", crashing, "--count", 1).code == 34
    assert "died of SIGSEGV" in wbc("doctor", "--model", crashing).out
    assert set(models.iterdir()) == before


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
