"""The service judges by the model in force, and by one before it when that fails; what happened is told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge import pipeline
from edge.bench import simulated_frame
from edge.daemon.models import Models
from edge.daemon.uses import Uses
from edge.errors import BundleCorrupt, BundleNotFound, InferenceFailed, RuntimeUnavailable
from edge.model import Execution, open_model, shelf
from edge.model import bundle as bundles
from edge.model.store import Store
from edge.settings import Config


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def uses(tmp_path: Path) -> Uses:
    return Uses(tmp_path / "in-use")


@pytest.fixture
def models(store: Store, uses: Uses) -> Models:
    return Models(store, lambda path, given: open_model(path, execution=Execution(given.runtime or None)), uses)


@pytest.fixture
def install(store: Store, tmp_path: Path) -> Callable[[str], str]:
    """Install and activate a model of its own, and give its name."""

    def make(card: str) -> str:
        file = tmp_path / f"{card}.wbc"
        bundles.write(replace(bundles.read(shelf.find(None)), card=card), file)
        name = store.install(file, open_model).stem
        store.activate(name)
        return name

    return make


def test_the_one_in_force_is_opened_and_nothing_is_to_be_told(models: Models, install: Callable[[str], str]) -> None:
    assert models.open(Config()).name == "marrow"
    name = install("one")
    opened = models.open(Config())
    assert (opened.name, opened.why, list(models.events())) == (name, "", [])


def test_files_that_turned_bad_are_left_for_the_one_before_and_that_is_kept(
    models: Models, store: Store, install: Callable[[str], str]
) -> None:
    one, two, three = install("one"), install("two"), install("three")
    (store.folder / f"{three}.wbc").write_bytes(b"torn")
    (store.folder / f"{two}.wbc").unlink()
    opened = models.open(Config())
    assert opened.name == one
    assert "not a whole bundle" in opened.why
    assert [event.split(":")[0] for event in models.events()] == [
        f"{three} cannot be used",
        f"{two} cannot be used",
        f"rolled back to {one}",
    ]
    # The next time there is nothing new to tell, and still the reason.
    again = models.open(Config())
    assert (again.name, again.why, list(models.events())) == (one, opened.why, [])
    (store.folder / f"{one}.wbc").unlink()
    assert models.open(Config()).name == "marrow"


def test_a_choice_that_cannot_be_read_is_told(models: Models, store: Store, install: Callable[[str], str]) -> None:
    install("one")
    (store.folder / "activated.json").write_bytes(b"\0\0\0")
    opened = models.open(Config())
    assert opened.name == "marrow"
    assert "activated.json" in opened.why
    assert list(models.events()) == [opened.why]
    # A service that is degraded opens it again and again.
    assert models.open(Config()).why == opened.why
    assert list(models.events()) == []


def test_a_model_that_the_configuration_names_is_used_or_none_is(
    models: Models, store: Store, install: Callable[[str], str]
) -> None:
    one, two = install("one"), install("two")
    opened = models.open(Config(model=one))
    assert opened.model.bundle.identity == one
    with pytest.raises(BundleNotFound):
        models.open(Config(model="none"))
    (store.folder / f"{one}.wbc").write_bytes(b"torn")
    with pytest.raises(BundleCorrupt):
        models.open(Config(model=one))
    with pytest.raises(InferenceFailed):
        models.after(opened.model, InferenceFailed("the network", "failed"), Config(model=one))
    assert store.in_force == two


def test_what_is_wrong_with_all_models_alike_changes_nothing(
    uses: Uses, store: Store, install: Callable[[str], str]
) -> None:
    one = install("one")
    with pytest.raises(RuntimeUnavailable):
        Models(store, lambda path, _: open_model(path, execution=Execution("abacus")), uses).open(Config())
    assert (store.in_force, store.activated().why) == (one, "")


def test_one_that_fails_on_a_frame_is_left_for_the_one_before(
    models: Models, store: Store, fragile: Path, install: Callable[[str], str]
) -> None:
    one = install("one")
    store.activate(store.install(fragile, open_model).stem)
    opened = models.open(Config())
    assert opened.name.startswith("fragile@")
    frame = simulated_frame((640, 480))
    with pytest.raises(InferenceFailed, match="no numbers") as failed:
        pipeline.classify(frame, opened.model)
    after = models.after(opened.model, failed.value, Config())
    assert (after.bundle.identity, store.in_force) == (one, one)
    assert "no numbers" in models.why == store.activated().why
    assert [event.split(" ")[1] for event in models.events()] == ["failed:", "back"]
    assert pipeline.classify(frame, after).verdict is not None


def test_one_that_was_put_in_force_meanwhile_takes_the_place_of_one_that_fails(
    models: Models, store: Store, install: Callable[[str], str]
) -> None:
    failing = models.open(Config()).model
    name = install("one")
    newer = models.open(Config()).model
    assert models.after(failing, InferenceFailed("the network", "failed"), Config()) is newer
    assert (store.in_force, list(models.events())) == (name, [])


def test_when_the_one_that_ships_fails_there_is_no_other(models: Models) -> None:
    with pytest.raises(InferenceFailed, match="failed"):
        models.after(models.open(Config()).model, InferenceFailed("the network", "failed"), Config())


def test_where_nothing_can_be_kept_the_service_goes_on_and_says_so(
    models: Models, store: Store, install: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = install("one"), install("two")
    (store.folder / f"{two}.wbc").write_bytes(b"torn")

    def full(path: Path, content: bytes, mode: int | None = None) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.durable.write", full)
    opened = models.open(Config())
    assert opened.name == one
    *_, last = models.events()
    assert "could not be kept" in last
    assert "No space left" in last


@pytest.fixture
def die(tmp_path: Path) -> Callable[[str, str], None]:
    """End a process in the midst of loading a model, or of judging a frame by it."""
    code = """if True:
        import os, sys
        from pathlib import Path
        from edge.daemon.uses import Uses
        folder, use, name = sys.argv[1:]
        with getattr(Uses(Path(folder)), use)(name):
            os._exit(9)
    """

    def end(use: str, name: str) -> None:
        ended = subprocess.run([sys.executable, "-c", code, tmp_path / "in-use", use, name], check=False)
        assert ended.returncode == 9

    return end


def test_one_from_which_two_processes_did_not_come_back_is_left_for_the_one_before(
    models: Models, die: Callable[[str, str], None], store: Store, install: Callable[[str], str]
) -> None:
    one, two, three = install("one"), install("two"), install("three")
    for _ in range(2):
        assert models.open(Config()).name == three
        die("judging", three)
        die("judging", two)
    opened = models.open(Config())
    assert (opened.name, store.in_force) == (one, one)
    assert "2 times in a row the service ended" in opened.why
    assert [event.split(" ")[0] for event in models.events()] == [three, two, "rolled"]
    # Who puts it in force again wants it tried again.
    store.activate(three)
    assert models.open(Config()).name == three


def test_one_that_judged_a_frame_in_between_is_kept(
    models: Models, die: Callable[[str, str], None], install: Callable[[str], str]
) -> None:
    name = install("one")
    for _ in range(4):
        die("judging", name)
        opened = models.open(Config())
        assert opened.name == name
        with models.judging(opened.model):
            pass


def test_one_with_which_two_processes_ended_before_it_was_loaded_is_left(
    models: Models, die: Callable[[str, str], None], install: Callable[[str], str]
) -> None:
    name = install("one")
    die("loading", name)
    assert models.open(Config()).name == name
    die("judging", name)
    assert models.open(Config()).name == "marrow"


def test_the_last_one_is_used_whatever_became_of_it_and_so_is_one_that_is_wanted(
    models: Models, die: Callable[[str, str], None], install: Callable[[str], str]
) -> None:
    for _ in range(3):
        assert models.open(Config()).name == "marrow"
        die("judging", "marrow")
        die("loading", "marrow")
    assert models.open(Config()).name == "marrow"
    one = install("one")
    for _ in range(3):
        die("judging", one)
    assert models.open(Config(model=one)).model.bundle.identity == one


@pytest.mark.parametrize("name", [None, "mine", "marrow"])
def test_what_judges_is_counted_by_the_name_by_which_it_is_put_in_force(
    models: Models, uses: Uses, store: Store, install: Callable[[str], str], name: str | None
) -> None:
    name = name or install("one")
    store.folder.mkdir(exist_ok=True)
    if name == "mine":
        # Laid into the folder by hand.
        shutil.copy(shelf.find(None), store.folder / "mine.wbc")
        store.activate(name)
    opened = models.open(Config())
    with models.judging(opened.model):
        assert (store.in_force, uses.unreturned(name)) == (name, 1)
    assert uses.unreturned(name) == 0


def test_where_nothing_can_be_counted_it_is_used_all_the_same(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in-use").write_bytes(b"no folder")
    models = Models(store, lambda path, _: open_model(path), Uses(tmp_path / "in-use"))
    opened = models.open(Config())
    with models.judging(opened.model):
        assert opened.name == "marrow"
