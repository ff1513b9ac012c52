"""A process of its own: what it writes where, how it starts, and how it ends when it is made to."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from edge import RESEARCH_USE_ONLY
from edge.journal import Journal

FOREVER = ["capture", "--classify", "--camera", "sim:MM", "--size", "320x240"]


def logged(journal):
    with Journal.open_read_only(journal) as log:
        assert log.check() == []
        return list(log.frames()), log.samples()


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_session_with_its_verdict_even_if_it_comes_more_than_once(asked, times, start, journal):
    with start(*FOREVER, "--json") as running:
        begun = [json.loads(running.stdout.readline()) for _ in range(2)]
        for _ in range(times):
            running.send_signal(asked)
            time.sleep(0.005)
        *further, sample = [json.loads(line) for line in running.stdout]
        err = running.stderr.read()
    # One that comes when all is done ends the interpreter as it clears up, which is the same to a shell.
    assert running.returncode in {128 + asked, -asked if times > 1 else 128 + asked}
    assert err == ""
    shown = [frame["record"] for frame in begun + further]
    frames, samples = logged(journal)
    assert [record.record for record in frames] == shown
    assert sample["frames"] == samples[0].result.frames == len(shown)


HOLDING = """
import time
from edge.cli.signals import Interruptions

interruptions = Interruptions()
with interruptions.installed(), interruptions.held():
    print("holding", flush=True)
    time.sleep(60)
"""


def test_whoever_insists_after_half_a_second_ends_a_process_that_will_not():
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "holding\n"
        for _ in range(2):
            running.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        assert running.poll() is None
        time.sleep(0.5)
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == -signal.SIGTERM


def test_a_signal_while_waiting_is_answered_at_once(start, journal):
    with start(*FOREVER, "--json", "--interval", 3600) as running:
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        (sample,) = [json.loads(line) for line in running.stdout]
    assert running.returncode == 130
    assert sample["frames"] == 1


HANGING = """
import sys, cv2, numpy
from edge import camera
from edge.cli import main

class Hanging:
    name, finite = "hanging", False

    def read(self):
        print("waiting", flush=True)
        while True:
            cv2.blur(numpy.zeros((500, 500), numpy.uint8), (9, 9))

    def close(self):
        pass

camera.register("hanging", lambda argument, settings: Hanging(), "hanging")
main()
"""


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_camera_does_not_come_back_from_opencv_ends_the_process_as_any_other(asked, journal):
    command = [sys.executable, "-c", HANGING, "capture", "--camera", "hanging", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "waiting\n"
        running.send_signal(asked)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 128 + asked
    assert err == ""
    assert json.loads(out)["frames"] == 0


def test_a_process_without_standard_error_keeps_what_is_for_people_out_of_the_json(journal):
    command = [sys.executable, "-c", "from edge.cli import main; main()"]
    asked = [*command, "capture", "--camera", "sim:MM", "--size", "320x240", "--count", "1", "--json"]
    ran = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *asked], stdout=subprocess.PIPE, check=True)
    assert [json.loads(line).get("frames") for line in ran.stdout.splitlines()] == [None, 1]


def test_a_closed_pipe_ends_a_session_quietly_with_its_verdict_logged(start, journal):
    with start(*FOREVER, "--json") as running:
        first = json.loads(running.stdout.readline())
        running.stdout.close()
        err = running.stderr.read()
    assert running.returncode == 141
    assert err == ""
    frames, samples = logged(journal)
    assert frames[0].record == first["record"]
    assert samples[0].result.frames == len(frames)
    with Journal.open_read_only(journal) as log:
        (stopped,) = [event.detail for event in log.events() if event.kind == "stopped"]
    assert stopped == "whoever it was shown to went away"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")  # noqa: PTH110
def test_a_full_disk_under_the_output_is_told(process, journal):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ran = process(*FOREVER, "--count", 1, "--json", stdout=full)
    assert ran.code == 50
    assert ran.err.startswith("wbc-edge: standard output: ")
    assert len(ran.err.splitlines()) == 1
    assert len(logged(journal)[0]) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")  # noqa: PTH110
@pytest.mark.parametrize("asked", [["--help"], ["log", "list", "--help"], ["--version"]])
def test_help_that_a_full_disk_does_not_take_is_told(asked, process):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ran = process(*asked, stdout=full)
    assert ran.code == 50
    assert ran.err == "wbc-edge: standard output: No space left on device. Free some space there\n"


def test_tables_and_errors_do_not_mix(process, fields):
    ran = process("classify", fields, "--um-per-px", 0.1, env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"})
    assert ran.code == 20
    assert ran.out.count("Feld") == 2
    assert ran.out.splitlines()[-1] == RESEARCH_USE_ONLY
    logging, error = ran.err.splitlines()
    assert logging.startswith("Logging to ")
    assert error == f"wbc-edge: {fields / 'Feld 2.png'}: the file is truncated"


def test_a_terminal_shows_progress_and_colour_and_nothing_else_does(start, fields, journal, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    shown = on_a_terminal(start, "classify", fields, "--um-per-px", 0.1)
    assert "2/3" in shown
    assert "\x1b[" in shown
    assert "the file is truncated" in shown
    assert RESEARCH_USE_ONLY in shown
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in on_a_terminal(start, "classify", fields, "--um-per-px", 0.1)


def on_a_terminal(start, *arguments):
    ours, theirs = pty.openpty()
    with start(*arguments, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # Linux tells the end of a terminal as an error
            pass
        os.close(ours)
        running.wait(30)
    return shown.decode()


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], {"numpy", "cv2", "msgspec", "rich", "sqlite3"}),
        (["capture", "--help"], {"numpy", "cv2", "msgspec", "rich", "sqlite3"}),
        ([*FOREVER, "--count", "1", "--json"], {"rich", "edge.bench", "edge.doctor", "edge.cli.log"}),
        (["log", "list"], {"rich", "ai_edge_litert", "edge.simulator", "edge.pipeline"}),
    ],
)
def test_a_command_imports_only_what_it_needs(arguments, unwanted, journal, simulate):
    simulate("--count", 1)
    script = f"""
import sys
from edge.cli import main
sys.argv[1:] = {arguments!r}
try:
    main()
finally:
    print(sorted({unwanted!r} & set(sys.modules)), file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_journal_that_is_moved_or_removed_ends_a_session_in_a_line_and_loses_nothing_shown(
    is_removed, start, process, journal
):
    aside = journal.with_name("aside.sqlite3")
    with start(*FOREVER, "--json", "--interval", 0.2) as running:
        shown = [json.loads(running.stdout.readline())["record"] for _ in range(2)]
        journal.rename(aside)
        if is_removed:
            aside.unlink()
        shown += [json.loads(line)["record"] for line in running.stdout]
        err = running.stderr.read()
    assert running.returncode == 48
    assert err.count("\n") == 1
    assert f"journal {journal}: it was moved, removed or replaced while in use" in err
    if not is_removed:
        assert [record.record for record in logged(aside)[0]] == shown
    another = process(*FOREVER, "--json", "--count", 1)
    assert (another.code, another.lines[0]["record"]) == (0, 1)
