"""Models are installed proven and put in force in one step: at every moment one of them is whole and in force."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import BundleCorrupt, BundleNotFound, ModelInUse, OutputError, SelfTestFailed
from edge.model import bundle as bundles
from edge.model import open_model, shelf
from edge.model.bundle import Bundle
from edge.model.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "device" / "models")


@pytest.fixture
def made(bundled: Bundle, tmp_path: Path) -> Callable[[str], Path]:
    """Make bundles that differ in their card, all of one name."""

    def make(card: str) -> Path:
        path = tmp_path / f"{card}.wbc"
        bundles.write(replace(bundled, card=card), path)
        return path

    return make


@pytest.fixture
def installed(store: Store, made: Callable[[str], Path]) -> Callable[[str], str]:
    """Install bundles, and give their names."""
    return lambda card: store.install(made(card), open_model).stem


def test_without_any_the_one_that_ships_is_in_force(store: Store) -> None:
    assert store.candidates() == ["marrow"]
    assert not store.folder.exists()


def test_an_installed_model_is_named_by_its_content_and_not_yet_in_force(
    store: Store, made: Callable[[str], Path]
) -> None:
    file = made("first")
    path = store.install(file, open_model)
    assert path.read_bytes() == file.read_bytes()
    assert path.stem == bundles.read(file).identity
    assert store.in_force == "marrow"
    assert sorted(store.folder.iterdir()) == [path]


def test_models_of_one_name_lie_beside_each_other_and_are_told_apart(
    store: Store, installed: Callable[[str], str]
) -> None:
    one = installed("one")
    assert shelf.find(one, store.folder).stem == one
    other = installed("two")
    assert one != other
    assert shelf.find("marrow", store.folder) == shelf.BUNDLED / "marrow.wbc"
    assert {path.stem for path in shelf.available(store.folder)} == {"marrow", one, other}


def test_a_name_alone_will_do_until_there_are_several(tmp_path: Path) -> None:
    (tmp_path / "mine@0123456789ab.wbc").touch()
    assert shelf.find("mine", tmp_path).stem == "mine@0123456789ab"
    (tmp_path / "mine@ba9876543210.wbc").touch()
    with pytest.raises(BundleNotFound, match=r"several.*mine@0123456789ab or mine@ba9876543210"):
        shelf.find("mine", tmp_path)


def test_installing_again_mends_a_file_that_turned_bad(store: Store, made: Callable[[str], Path]) -> None:
    path = store.install(made("first"), open_model)
    path.write_bytes(path.read_bytes()[:1000])
    assert store.install(made("first"), open_model) == path
    assert open_model(path).bundle.card == "first"


def test_what_is_torn_or_decides_otherwise_is_not_installed(store: Store, bundled: Bundle, tmp_path: Path) -> None:
    torn = tmp_path / "torn.wbc"
    torn.write_bytes(shelf.find(None).read_bytes()[:1000])
    wrong = tmp_path / "wrong.wbc"
    bundles.write(replace(bundled, selftest_logits={"int8": bundled.selftest_logits["int8"] + 1}), wrong)
    for file, failure in ((torn, BundleCorrupt), (wrong, SelfTestFailed), (tmp_path / "none.wbc", BundleNotFound)):
        with pytest.raises(failure):
            store.install(file, open_model)
    assert list(store.folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, made: Callable[[str], Path]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="WBC_EDGE_MODELS"):
        Store(tmp_path / "file" / "models").install(made("first"), open_model)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_that_root_makes_is_of_whom_the_folder_around_it_is(store: Store) -> None:
    store.folder.parent.mkdir()
    os.chown(store.folder.parent, 65534, 65534)
    store.activate("marrow")
    assert (store.folder.stat().st_uid, store.folder.stat().st_gid) == (65534, 65534)


def test_who_changes_the_models_while_another_does_waits_a_while_and_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.model.store._LOCK_TIMEOUT_S", 0.2)
    store.activate("one")
    descriptor = os.open(store.folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="being changed by another"):
            store.activate("two")
    finally:
        os.close(descriptor)
    assert store.in_force == "one"
    store.activate("two")
    assert store.in_force == "two"


def test_the_model_before_can_be_gone_back_to_and_at_last_the_one_that_ships(
    store: Store, installed: Callable[[str], str]
) -> None:
    one, two = installed("one"), installed("two")
    store.activate(one)
    store.activate(two)
    assert store.candidates() == [two, one, "marrow"]
    assert store.roll_back() == store.in_force == one
    assert store.roll_back("it was slow") == store.in_force == "marrow"
    assert store.activated().why == "it was slow"
    with pytest.raises(BundleNotFound, match="no other model was in force before"):
        store.roll_back()


def test_the_one_that_ships_can_be_put_in_force_and_gone_back_from(
    store: Store, installed: Callable[[str], str]
) -> None:
    one = installed("one")
    store.activate(one)
    store.activate("marrow")
    assert store.candidates() == ["marrow", one]
    assert store.roll_back() == one


def test_a_model_put_in_force_again_is_remembered_once(store: Store) -> None:
    for name in ("a", "b", "a", *"cdefghijk", "a"):
        store.activate(name)
    assert store.candidates() == ["a", *"kjihgfe", "marrow"]


def test_models_that_failed_are_forgotten_and_the_reason_is_kept_until_a_person_chooses(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.activate(name)
    store.fall_back("a", "c and b failed")
    assert (store.candidates(), store.activated().why) == (["a", "marrow"], "c and b failed")
    store.activate("b")
    assert store.activated().why == ""


def test_nothing_falls_back_from_a_model_that_somebody_has_put_in_force_meanwhile(store: Store) -> None:
    store.activate("a")
    store.activate("b")
    store.fall_back("b", "too late")
    store.fall_back("z", "no such")
    assert (store.in_force, store.activated().why) == ("b", "")


def test_the_model_in_force_and_the_one_that_ships_are_not_removed(
    store: Store, installed: Callable[[str], str], tmp_path: Path
) -> None:
    one, two = installed("one"), installed("two")
    store.activate(one)
    store.activate(two)
    for name in (two, "marrow"):
        with pytest.raises(ModelInUse):
            store.remove(name)
    with pytest.raises(BundleNotFound):
        store.remove(str(tmp_path / "one.wbc"))
    assert store.remove(one).name == f"{one}.wbc"
    assert store.candidates() == [two, "marrow"]
    assert [path.stem for path in shelf.available(store.folder)] == ["marrow", two]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"names": ["../x"]}', b'{"names": 1}', b"\xff\xfe", b'{"names": ["m\xe9ne"]}']
)
def test_a_choice_that_cannot_be_read_is_told_and_the_one_that_ships_is_used(store: Store, content: bytes) -> None:
    store.activate("mine")
    (store.folder / "activated.json").write_bytes(content)
    with pytest.raises(BundleCorrupt, match="model activate"):
        store.activated()
    assert store.candidates() == ["marrow"]
    store.activate("other")
    assert store.candidates() == ["other", "marrow"]


CUT = '''
"""Change the models again and again, each time killed one line further on; print how many lines there were."""
import os, signal, sys
from pathlib import Path
from edge import durable
from edge.model import open_model, store

folder, one, two, old, new = sys.argv[1:]
WATCHED = {durable.__file__, store.__file__}
device = store.Store(Path(folder))


def change():
    device.install(Path(two), open_model)
    device.activate(new)


def cut_at(last):
    left = [last]

    def trace(frame, event, argument):
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    change()
    os._exit(0)


line = 0
while True:
    line += 1
    child = os.fork() or cut_at(line)
    _, status = os.waitpid(child, 0)
    names = [path.name for path in device.folder.glob("*.wbc")]
    assert device.in_force in (old, new), device.in_force
    # Whatever is in force is there, whole, and passes its self-test.
    assert open_model(device.folder / f"{device.in_force}.wbc").bundle.identity == device.in_force
    assert device.activated().names[-1] == device.in_force
    assert set(names) <= {f"{old}.wbc", f"{new}.wbc"}, names
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0 and device.in_force == new
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    device.activate(old)
    if device.candidates()[1:] != ["marrow"]:
        device.remove(new)
print(line)
'''


def test_killed_at_any_line_of_an_install_the_old_model_or_the_new_one_is_whole_and_in_force(
    store: Store, made: Callable[[str], Path], tmp_path: Path
) -> None:
    one, two = made("one"), made("two")
    old = store.install(one, open_model).stem
    store.activate(old)
    new = bundles.read(two).identity
    script = tmp_path / "cut.py"
    script.write_text(CUT, "utf-8")
    arguments = [sys.executable, str(script), str(store.folder), str(one), str(two), old, new]
    ran = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 30
    assert json.loads((store.folder / "activated.json").read_bytes())["names"][-1] == new
