"""`wbc-edge log` shows and exports what was logged, for a person and for a program."""

import csv
import io
import json
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone

import cv2
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def two_samples(simulate, wbc, fields):
    """Log a simulated sample and one from files, with an error."""
    simulate("--classify", "--count", 2, "--sample", "S-1")
    wbc("classify", fields, "--um-per-px", 0.1, "--sample", "S-2")


def test_frames_are_listed_the_most_recent_last(wbc):
    header, *rows = wbc("log", "list").out.splitlines()
    assert header.split()[:4] == ["record", "local", "time", "sample"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4"]
    assert [line["record"] for line in wbc("log", "list", "--sample", "S-2", "--json").lines] == [3, 4]
    assert [line["record"] for line in wbc("log", "list", "--limit", 1, "--json").lines] == [4]
    assert wbc("log", "list", "--verdict", "nothing", "--json").lines == []


@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["events"], ["export", "--format", "jsonl"]])
def test_that_nothing_was_found_is_said_and_that_a_sample_is_not_known(wbc, command):
    asked = ["--kind", "nosuch"] if command == ["events"] else ["--verdict", "nosuch"]
    what = "event" if command == ["events"] else "frame"
    for of_whom in ([], ["--sample", "S-1"]):
        ran = wbc("log", *command, *asked, *of_whom)
        assert (ran.code, ran.out, ran.err) == (0, "", f"No {what} was found\n")
    ran = wbc("log", *command, "--sample", "nosuch")
    assert (ran.code, ran.out, ran.err) == (0, "", "No sample nosuch is known, see `wbc-edge log samples`\n")
    assert wbc("log", *command, "--sample", "S-2").err == ""


@pytest.fixture
def east(monkeypatch):
    """Let local time be three hours before that of Greenwich."""
    monkeypatch.setenv("TZ", "EAST-3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_people_are_shown_local_time_and_programs_are_given_its_offset(wbc, east):
    logged_s = wbc("log", "show", 1, "--json").lines[0]["wall_time_s"]
    local = datetime.fromtimestamp(logged_s, timezone(timedelta(hours=3)))
    assert f"{local:%Y-%m-%d %H:%M:%S}" in wbc("log", "list").out.splitlines()[1]
    assert f"\n{'wall_time':<32}  {local.isoformat(' ', 'milliseconds')}\n" in wbc("log", "show", 1).out
    (row, *_) = csv.DictReader(io.StringIO(wbc("log", "export").out))
    for given in (row["wall_time"], wbc("log", "show", 1, "--json").lines[0]["wall_time"]):
        assert given.endswith("+00:00")
        assert datetime.fromisoformat(given) == local.replace(microsecond=local.microsecond // 1000 * 1000)


def test_samples_are_listed_with_their_verdicts(wbc):
    first, second = wbc("log", "samples", "--json").lines
    assert (first["name"], first["frames"], second["name"], second["frames"]) == ("S-1", 2, "S-2", 2)
    row = wbc("log", "samples").out.splitlines()[1]
    assert row.startswith("S-1 ")
    assert first["result"]["verdict"] in row


def test_events_tell_what_went_wrong(wbc):
    (failure,) = wbc("log", "events", "--kind", "failure", "--json").lines
    assert failure["frame"].endswith("Feld 2.png")
    assert "failure: ImageError" in wbc("log", "events", "--sample", "S-2").out
    assert "failure" not in wbc("log", "events", "--sample", "S-1").out
    assert wbc("log", "events", "--kind", "failure", "--sample", "S-1").out == ""


def test_a_frame_is_shown_in_full(wbc):
    shown = wbc("log", "show", 1).out
    (whole,) = wbc("log", "show", 1, "--json").lines
    assert whole["sample"] == "S-1"
    places = ("quality.focus", "quality.contrast", "quality.crushed", "model", "tiles.total", "boot_id", "ms.infer")
    for place in places:
        assert f"\n{place} " in shown
    assert len(whole["tiles"]["judged"]) == whole["tiles"]["used"]


def test_a_frame_is_shown_in_words_and_numbers_and_not_in_pythons_signs(wbc, tmp_path):
    black = tmp_path / "black.png"
    cv2.imwrite(str(black), np.zeros((480, 640, 3), np.uint8))
    assert wbc("classify", black, "--um-per-px", 0.1).code == 0
    *_, last = wbc("log", "list", "--json").lines
    good, bad = (wbc("log", "show", record).out for record in (1, last["record"]))
    assert "quality.reasons" not in good
    assert f"{'quality.reasons':<32}  {', '.join(last['quality']['reasons'])}\n" in bad
    assert f"{'sensor.white_balance':<32}  1.0, 1.0\n" in good
    assert "(" not in good


def test_a_record_that_is_not_there_has_its_own_code(wbc):
    ran = wbc("log", "show", 99)
    assert ran.code == 46
    assert "record 99" in ran.err


def test_both_forms_of_export_hold_every_frame(wbc):
    rows = list(csv.DictReader(io.StringIO(wbc("log", "export").out, newline="")))
    lines = wbc("log", "export", "--format", "jsonl").lines
    assert [int(row["record"]) for row in rows] == [line["record"] for line in lines] == [1, 2, 3, 4]
    assert [row["verdict"] for row in rows] == [line["verdict"] for line in lines]
    assert len(wbc("log", "export", "--format", "jsonl", "--sample", "S-1").lines) == 2


def test_an_export_to_a_file_is_whole_or_not_there(wbc, tmp_path):
    path = tmp_path / "Präparate.jsonl"
    assert wbc("log", "export", "--format", "jsonl", "--out", path).code == 0
    assert [json.loads(line)["record"] for line in path.read_text("utf-8").splitlines()] == [1, 2, 3, 4]
    ran = wbc("log", "export", "--out", tmp_path / "nowhere" / "frames.csv")
    assert ran.code == 50
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".part"] == []


def test_an_export_goes_through_no_link_left_where_it_begins(wbc, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / f".frames.csv.{os.getpid()}.part").symlink_to(precious)
    assert wbc("log", "export", "--out", tmp_path / "frames.csv").code == 0
    assert precious.read_text() == "kept"
    assert (tmp_path / "frames.csv").read_text("utf-8").startswith("record,")


def test_without_a_journal_that_is_said(wbc, tmp_path):
    for command in (["list"], ["samples"], ["events"], ["export"], ["show", 1]):
        ran = wbc("log", *command, "--journal", tmp_path / "none.sqlite3")
        assert (ran.code, ran.out) == (40, "")
        assert "none yet" in ran.err
    for command in (["review", 1, "--as", "MM"], ["prune", "--picture-mb", 1], ["backup", tmp_path / "copy.sqlite3"]):
        ran = wbc("log", *command, "--journal", tmp_path / "none.sqlite3")
        assert (ran.code, ran.out) == (40, "")
    assert not (tmp_path / "none.sqlite3").exists()


def test_an_export_goes_through_a_link_and_leaves_it_one(wbc, tmp_path):
    (tmp_path / "link.csv").symlink_to("frames.csv")
    for _ in range(2):
        assert wbc("log", "export", "--out", tmp_path / "link.csv").code == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert len((tmp_path / "frames.csv").read_text("utf-8").splitlines()) == 5


def test_an_export_goes_into_a_pipe(wbc, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_text, "utf-8")
        assert wbc("log", "export", "--format", "jsonl", "--out", pipe).code == 0
        assert len(read.result().splitlines()) == 4
    assert pipe.is_fifo()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")  # noqa: PTH110
def test_an_export_to_a_full_disk_asks_for_space(wbc):
    ran = wbc("log", "export", "--out", "/dev/full")
    assert (ran.code, ran.err) == (50, "wbc-edge: /dev/full: No space left on device. Free some space there\n")


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_an_export_to_a_folder_is_refused_in_a_line(wbc, out):
    ran = wbc("log", "export", "--out", out)
    assert (ran.code, ran.err.count("\n")) == (50, 1)
    assert f"{out}: Is a directory" in ran.err


def test_a_trail_that_was_tampered_with_is_told(wbc, journal):
    ran = wbc("log", "verify", "--json")
    assert (ran.code, ran.lines[0]["problems"]) == (0, [])
    assert ran.lines[0]["frames"] == 4
    for noted in (ran.lines[0]["head"][:12], ran.lines[0]["head"].upper()):
        assert wbc("log", "verify", "--expect", noted).code == 0
    with closing(sqlite3.connect(journal)) as plain, plain:
        plain.execute("UPDATE events SET detail = 'all was well' WHERE kind = 'failure'")
    ran = wbc("log", "verify")
    assert ran.code == 45
    assert "is not as it was logged" in ran.out
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("noted", ["", " ", "3f9a0c4", "no digest at all", "3f9a0c41" * 9])
def test_what_is_no_digest_proves_nothing_and_is_refused(wbc, noted):
    ran = wbc("log", "verify", "--expect", noted)
    assert (ran.code, ran.out) == (2, "")
    assert "is no digest" in ran.err


@pytest.mark.parametrize("beside", ["", "-wal"])
def test_an_export_does_not_go_over_the_journal(wbc, journal, beside):
    with closing(sqlite3.connect(journal)) as held:
        # While somebody has it open, there is a log beside it.
        held.execute("SELECT count(*) FROM frames").fetchall()
        before = journal.read_bytes()
        ran = wbc("log", "export", "--out", f"{journal}{beside}")
        assert (ran.code, journal.read_bytes()) == (50, before)
        assert "is the journal itself" in ran.err


def test_an_export_does_not_go_over_the_journal_by_a_link_either(wbc, journal, tmp_path):
    link = tmp_path / "frames.csv"
    link.symlink_to(journal)
    assert wbc("log", "export", "--out", link).code == 50
    assert len(wbc("log", "list", "--json").lines) == 4


@pytest.mark.parametrize(
    "asked",
    [
        ["log", "show", 10**20],
        ["log", "review", 10**20, "--as", "MM"],
        ["log", "list", "--limit", 10**20],
        ["log", "events", "--limit", 10**20],
        ["capture", "--camera", "sim", "--count", 10**20],
    ],
)
def test_a_number_that_nothing_counts_up_to_is_a_slip_of_the_pen(wbc, asked):
    ran = wbc(*asked)
    assert (ran.code, "range" in ran.err) == (2, True)


def test_a_backup_that_cannot_have_its_name_says_so(wbc, tmp_path):
    ran = wbc("log", "backup", tmp_path / ("x" * 300))
    assert (ran.code, ran.err.count("\n")) == (50, 1)
    assert "too long" in ran.err


def test_a_backup_is_a_journal_and_is_itself_logged(wbc, tmp_path):
    copy = tmp_path / "copy.sqlite3"
    assert wbc("log", "backup", copy, "--json").lines == [{"backup": str(copy), "bytes": copy.stat().st_size}]
    assert len(wbc("log", "list", "--journal", copy, "--json").lines) == 4
    assert str(copy) in wbc("log", "events", "--json").lines[-1]["detail"]
    assert wbc("log", "backup", copy).code == 50


def test_a_review_is_shown_and_exported_beside_the_verdict(wbc):
    assert wbc("log", "review", 3, "--as", "MM", "--note", "clear").code == 0
    assert wbc("log", "show", 3, "--json").lines[0]["review"]["label"] == "MM"
    rows = list(csv.DictReader(io.StringIO(wbc("log", "export").out)))
    assert [row["review"] for row in rows] == ["", "", "MM", ""]
    missing = wbc("log", "review", 99, "--as", "MM")
    assert (missing.code, missing.err) == (46, wbc("log", "show", 99).err)


@pytest.mark.parametrize("label", ["", "  "])
def test_a_review_that_says_nothing_is_refused(wbc, label):
    assert wbc("log", "review", 3, "--as", label).code == 2
    assert wbc("log", "show", 3, "--json").lines[0]["review"] is None


def test_an_empty_file_is_no_journal_in_order(wbc, tmp_path):
    empty = tmp_path / "empty.sqlite3"
    empty.touch()
    for command in (["verify"], ["list"], ["export"], ["prune", "--picture-mb", 1]):
        ran = wbc("log", *command, "--journal", empty)
        assert (ran.code, ran.out, "it is empty" in ran.err) == (40, "", True)
    assert empty.stat().st_size == 0


def test_pruning_throws_away_what_is_asked_for_only(wbc):
    assert wbc("log", "prune", "--json").lines == [{"pictures": 0, "frames": 0, "picture_bytes": 0, "problem": ""}]
    assert wbc("log", "prune", "--frame-days", 1).out == "0 pictures (0.0 MB) and 0 frames\n"
    assert len(wbc("log", "list", "--json").lines) == 4
    for amount in (-1, "nan", "inf", 1e9):
        assert wbc("log", "prune", "--frame-days", amount).code == 2
        assert wbc("log", "prune", "--picture-mb", amount).code == 2
