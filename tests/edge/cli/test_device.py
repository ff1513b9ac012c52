"""`wbc-edge bench` and `wbc-edge doctor` speak to a person and to a program."""

import re

import pytest
from click.shell_completion import ShellComplete

from edge.cli.commands import command_line


@pytest.mark.parametrize("as_json", [True, False])
def test_bench_gives_whole_and_floors(wbc, journal, as_json):
    ran = wbc("bench", "--size", "640x480", "--repeats", 1, *(["--json"] if as_json else []))
    assert ran.code == 0
    if as_json:
        (figures,) = ran.lines
        assert figures.keys() >= {
            "frame",
            "total_ms",
            "floor_ms",
            "ratio",
            "stages_ms",
            "floors_ms",
            "tiles",
            "threads",
        }
        assert figures["frame"] == [640, 480]
        assert figures["ratio"] == pytest.approx(figures["total_ms"] / figures["floor_ms"])
    else:
        assert re.search(r"ratio \d+\.\d\d", ran.out)
    assert not journal.parent.exists()


def test_doctor_lists_findings(wbc):
    findings = wbc("doctor", "--json").lines
    assert {finding["state"] for finding in findings} <= {"ok", "warning", "problem"}
    told = " ".join(finding["what"] for finding in findings)
    for word in ("Python", "numpy", "litert", "self-test", "camera", "free", "journal", "clock"):
        assert word in told
    assert len(wbc("doctor").out.splitlines()) >= len(findings)


def test_doctor_fails_on_a_problem(wbc, journal):
    journal.parent.mkdir()
    journal.write_bytes(b"no journal" * 1000)
    ran = wbc("doctor", "--json")
    assert ran.code == 1
    assert [finding for finding in ran.lines if finding["state"] == "problem" and str(journal) in finding["what"]]


@pytest.mark.parametrize("command", ["capture", "classify", "log list", "log show", "model verify", "bench", "doctor"])
def test_every_command_has_examples(wbc, command):
    shown = wbc(*command.split(), "--help").out
    assert f"wbc-edge {command}" in shown


@pytest.mark.parametrize("command", [["model", "show"], ["model", "verify"], ["classify", "--model"]])
def test_the_shell_completes_models_and_files(command):
    complete = ShellComplete(command_line, {}, "wbc-edge", "_WBC_EDGE_COMPLETE")
    assert [(item.type, item.value) for item in complete.get_completions(command, "mar")] == [
        ("file", "mar"),
        ("plain", "marrow"),
    ]
    assert [item.type for item in complete.get_completions(command, "./mar")] == ["file"]


def test_the_help_names_every_command(wbc):
    shown = wbc("--help").out
    for command in ("capture", "classify", "log", "model", "bench", "doctor", "_WBC_EDGE_COMPLETE"):
        assert command in shown
    assert wbc("nonsense").code == 2
    assert re.fullmatch(r"wbc-edge, version \S+\n", wbc("--version").out)
