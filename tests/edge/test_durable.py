"""A file is there whole, or as it was before; who may read it stays so."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from edge import durable


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"one", b"", b"two" * 1000):
        durable.write(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders for others")
def test_what_root_makes_belongs_to_whom_the_folder_around_belongs(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 5678)
    durable.make_folder(tmp_path / "one" / "two")
    made = [(folder.stat().st_uid, folder.stat().st_gid) for folder in (tmp_path / "one", tmp_path / "one" / "two")]
    assert made == [(1234, 5678)] * 2
    os.chown(tmp_path / "one", 0, 0)
    durable.make_folder(tmp_path / "one")
    assert (tmp_path / "one").stat().st_uid == 0, "one that is there stays whose it is"


def test_what_lies_where_a_file_is_begun_is_never_written_through(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_bytes(b"precious")
    part = tmp_path / f".file.{os.getpid()}.part"
    part.symlink_to(victim)
    durable.write(path, b"content")
    assert (victim.read_bytes(), path.read_bytes()) == (b"precious", b"content")
    part.write_bytes(b"left by a kill")
    durable.write(path, b"more")
    assert path.read_bytes() == b"more"
    assert not part.exists()


def test_two_threads_that_write_the_same_file_leave_one_of_both_whole(tmp_path: Path) -> None:
    contents = [bytes([number]) * 100_000 for number in range(4)]
    with ThreadPoolExecutor(len(contents)) as pool:
        list(pool.map(partial(durable.write, tmp_path / "file"), contents * 25))
    assert (tmp_path / "file").read_bytes() in contents
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_root_makes_files_for_whom_the_folder_belongs_to_and_follows_none_of_his_links(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 1234, 5678)
    durable.make_file(folder / "made")
    durable.make_file(folder / "made")
    assert ((folder / "made").stat().st_uid, (folder / "made").stat().st_gid) == (1234, 5678)
    link = folder / "link"
    link.symlink_to(tmp_path / "evil")
    os.chown(link, 1234, 5678, follow_symlinks=False)
    with pytest.raises(PermissionError, match="link"):
        durable.make_file(link)
    assert not (tmp_path / "evil").exists()


def test_permissions_are_those_asked_for_or_those_of_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(0o077)
    try:
        durable.write(path, b"one", 0o644)
        assert mode(path) == 0o644
        durable.write(path, b"two")
        assert mode(path) == 0o644
        durable.write(tmp_path / "new", b"")
        assert mode(tmp_path / "new") == 0o600
    finally:
        os.umask(before)


def test_where_it_cannot_be_written_the_file_is_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.write(tmp_path / "missing" / "file", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        durable.write(tmp_path / "folder", b"content")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
