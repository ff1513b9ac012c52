"""What was acknowledged survives: a killed process, other processes writing and reading at the same time."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from edge.journal import Journal, connection
from edge.result import FrameResult

RECORD_FOR_EVER = """
import pickle, sys
from dataclasses import replace
from edge.journal import Journal

path, sample, result = sys.argv[1], sys.argv[2], pickle.load(sys.stdin.buffer)
with Journal.open(path, timeout_s=20.0) as journal:
    number, sequence = journal.sample(sample), 0
    while True:
        print(journal.record(number, replace(result, sequence=sequence)), sequence, flush=True)
        sequence += 1
"""


def start_recording(path: Path, sample: str, result: FrameResult) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", RECORD_FOR_EVER, path, sample], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    process.stdin.write(pickle.dumps(result))
    process.stdin.close()
    return process


def kill(process: subprocess.Popen[bytes]) -> list[tuple[int, int]]:
    """Kill without warning; return the records acknowledged until then that were not read yet, with their sequence."""
    process.kill()
    assert process.stdout
    with process.stdout as lines:
        rest = lines.read().split(b"\n")[:-1]  # the last may be cut
    process.wait()
    return [(int(record), int(sequence)) for record, sequence in map(bytes.split, rest)]


def test_every_acknowledged_frame_survives_kill_9(path: Path, result: FrameResult) -> None:
    moments = random.Random(17)
    for attempt in range(4):
        process = start_recording(path, f"run {attempt}", result)
        assert process.stdout
        acknowledged = [tuple(map(int, line.split())) for line in islice(process.stdout, moments.randrange(1, 60))]
        time.sleep(moments.random() / 100)
        acknowledged += kill(process)
        with Journal.open(path) as journal:
            assert journal.check() == []
            kept = {record.record: record.result for record in journal.frames(sample=f"run {attempt}")}
        assert {record: replace(result, sequence=sequence) for record, sequence in acknowledged}.items() <= kept.items()
        assert len(kept) - len(acknowledged) <= 1, "only the one that was not acknowledged yet"


def test_two_processes_record_at_once_and_neither_loses_a_frame(path: Path, result: FrameResult) -> None:
    processes = {name: start_recording(path, name, result) for name in ("left", "right")}
    acknowledged = {}
    for process in processes.values():
        assert process.stdout
        for _ in range(30):
            process.stdout.readline()
    for name, process in processes.items():
        acknowledged[name] = kill(process)
    with Journal.open(path) as journal:
        assert journal.check() == []
        for name in processes:
            sequences = [record.result.sequence for record in journal.frames(sample=name)]
            assert sequences == list(range(len(sequences)))
            assert len(sequences) >= 30 + len(acknowledged[name])


def test_reading_goes_on_while_another_process_writes_and_ends(path: Path, result: FrameResult) -> None:
    with Journal.open(path) as journal:
        sample = journal.sample("before")
        for sequence in range(300):
            journal.record(sample, replace(result, sequence=sequence))
        process = start_recording(path, "meanwhile", result)
        assert process.stdout
        process.stdout.readline()
        sequences = []
        for record in journal.frames(sample="before"):
            sequences.append(record.result.sequence)
            if len(sequences) % 100 == 0:
                process.stdout.readline()
        kill(process)
    assert sequences == list(range(300))


def test_reading_and_writing_in_one_loop_ends(journal: Journal, result: FrameResult) -> None:
    sample = journal.sample("S1")
    for _ in range(3):
        journal.record(sample, result)
    for record in islice(journal.frames(), 10):
        journal.record(sample, record.result)
    assert len(list(journal.frames())) == 6


def test_a_frame_is_logged_whole_or_not_at_all(journal: Journal, result: FrameResult) -> None:
    sample = journal.sample("S1")
    try:
        journal.record(sample, replace(result, tiles=(*result.tiles, None)))  # type: ignore[arg-type]
    except AttributeError:
        pass
    else:
        raise AssertionError("a tile that is none was logged")
    assert list(journal.frames()) == []
    assert journal.record(sample, result) == 1


def test_a_commit_reaches_the_disk_before_it_returns(path: Path) -> None:
    with closing(connection.to_write(path, timeout_s=1.0)) as opened:
        assert opened.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert opened.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_opening_it_again_in_the_same_process_leaves_its_locks(
    journal: Journal, path: Path, result: FrameResult
) -> None:
    """Without the lock of the first, another process that closes it takes itself for the last and ends the log."""
    code = "import sys; from edge.journal import Journal; Journal.open(sys.argv[1]).close()"
    sample = journal.sample("S1")
    Journal.open_read_only(path).close()
    Journal.open(path).close()
    subprocess.run([sys.executable, "-c", code, path], check=True)
    record = journal.record(sample, result)
    with Journal.open_read_only(path) as reader:
        assert reader.frame(record).result == result
    assert path.with_name("journal.sqlite3-wal").stat().st_size > 0


def test_processes_that_make_it_at_the_same_moment_all_succeed(path: Path) -> None:
    code = "import sys; from edge.journal import Journal; Journal.open(sys.argv[1], timeout_s=20.0).event('started')"
    processes = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    with Journal.open(path) as journal:
        assert journal.check() == []
        assert len(journal.events()) == 4


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_journal_that_root_makes_is_of_whom_its_folder_is(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 65534, 65534)
    with Journal.open(tmp_path / "state/journal.sqlite3") as journal:
        journal.sample("slide 1")
        files = list((tmp_path / "state").iterdir())
        assert {file.name for file in files} >= {"journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm"}
        assert {(file.stat().st_uid, file.stat().st_gid) for file in files} == {(65534, 65534)}
