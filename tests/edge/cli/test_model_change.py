"""`wbc-edge model install`, `activate`, `rollback`, `remove`, alone and beside a service that takes frames."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge import config
from edge.bench import simulated_frame
from edge.daemon.control import ask
from edge.errors import ServiceUnavailable
from edge.journal import Journal, audit
from edge.model import bundle as bundles
from edge.model import shelf

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_surroundings: None) -> None:
    for name, place in (("MODELS", "models"), ("SOCKET", "socket"), ("STATE", "state")):
        monkeypatch.setenv(f"WBC_EDGE_{name}", str(tmp_path / place))
    monkeypatch.setenv("WBC_EDGE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("WBC_EDGE_ACCELERATOR", "cpu")


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], Path]:
    """Make a bundle of its own."""

    def make(card: str) -> Path:
        path = tmp_path / f"{card}.wbc"
        bundles.write(replace(bundles.read(shelf.find(None)), card=card), path)
        return path

    return make


@pytest.fixture
def installed(made: Callable[[str], Path], wbc: Any) -> Callable[[str], str]:
    """Install a bundle and give its name."""

    def install(card: str, *options: str) -> str:
        ran = wbc("model", "install", made(card), *options)
        assert ran.code == 0, ran.err
        name: str = ran.out.split(":")[0]
        return name

    return install


def events(journal: Path, kind: str = "model") -> list[str]:
    with Journal.open_read_only(journal) as log:
        return [event.detail for event in log.events() if event.kind == kind]


def in_force(wbc: Any) -> str:
    (name,) = [line["model"] for line in wbc("model", "list", "--json").lines if line["in_force"]]
    return name


def test_a_model_is_installed_put_in_force_rolled_back_and_removed_and_all_of_it_is_logged(
    wbc: Any, installed: Callable[[str], str], simulate: Any, journal: Path, tmp_path: Path
) -> None:
    name = installed("first")
    assert in_force(wbc).startswith("marrow@")
    assert in_force(wbc) != name
    assert wbc("model", "activate", name).out == f"{name} is in force\n"
    assert in_force(wbc) == name
    (frame, _) = simulate("--classify", "--count", 1, "--json").lines
    assert frame["model"] == name
    assert "in force" in wbc("model", "list").out
    refused = wbc("model", "remove", name)
    assert (refused.code, "is in force" in refused.err) == (4, True)
    assert wbc("model", "rollback").out == "marrow is in force\n"
    assert wbc("model", "remove", name).code == 0
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["activated.json"]
    with Journal.open_read_only(journal) as log:
        told = [event for event in log.events() if event.kind == "model"]
        assert log.audit().problems == ()
    assert [event.detail.split(" ")[0] for event in told] == ["install", "activate", "remove", "not", "roll", "remove"]
    assert {event.who for event in told} == {audit.who()}
    assert all(name in event.detail for event in told)


def test_it_can_be_put_in_force_as_it_is_installed(wbc: Any, installed: Callable[..., str]) -> None:
    name = installed("first", "--activate")
    assert in_force(wbc) == name


def test_what_is_torn_unsigned_or_nowhere_is_not_installed(
    wbc: Any, made: Callable[[str], Path], journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = tmp_path / "torn.wbc"
    torn.write_bytes(shelf.find(None).read_bytes()[:5000])
    ran = wbc("model", "install", torn)
    assert (ran.code, f"bundle {torn}: " in ran.err) == (32, True)
    assert wbc("model", "install", tmp_path / "nowhere.wbc").code == 31
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
    monkeypatch.setenv("WBC_EDGE_TRUSTED_KEYS", key)
    refused = wbc("model", "install", made("first"))
    assert (refused.code, "unsigned" in refused.err) == (36, True)
    assert list((tmp_path / "models").iterdir()) == []
    assert events(journal) == []


def test_what_is_not_installed_or_does_not_pass_is_not_put_in_force(
    wbc: Any, made: Callable[[str], Path], installed: Callable[[str], str], tmp_path: Path
) -> None:
    assert wbc("model", "activate", made("first")).code == 31
    assert wbc("model", "rollback").code == 31
    name = installed("second")
    (tmp_path / "models" / f"{name}.wbc").write_bytes(b"torn")
    assert wbc("model", "activate", name).code == 32
    assert in_force(wbc).startswith("marrow@")


def test_a_model_too_fine_for_the_microscope_is_not_put_in_force(
    wbc: Any, installed: Callable[[str], str], tmp_path: Path
) -> None:
    name = installed("first")
    (tmp_path / "config.toml").write_text("um_per_px = 1.5\n")
    refused = wbc("model", "activate", name)
    assert (refused.code, "too coarse" in refused.err) == (3, True)
    assert in_force(wbc).startswith("marrow@")
    (tmp_path / "config.toml").write_text("")
    wbc("model", "activate", name)
    (tmp_path / "config.toml").write_text("um_per_px = 1.5\n")
    refused = wbc("model", "rollback")
    assert (refused.code, "too coarse" in refused.err) == (3, True)
    assert in_force(wbc) == name


def test_what_the_configuration_names_is_told_and_not_removed(
    wbc: Any, installed: Callable[[str], str], tmp_path: Path
) -> None:
    one, two = installed("one"), installed("two")
    (tmp_path / "config.toml").write_text(f'model = "{one}"\n')
    assert f"model={one}, which goes over it" in wbc("model", "activate", two).err
    assert f"model={one}, which goes over it" in wbc("model", "rollback").err
    assert wbc("model", "remove", one).code == 4


def test_a_change_that_cannot_be_logged_is_not_made(
    wbc: Any, made: Callable[[str], Path], journal: Path, tmp_path: Path
) -> None:
    journal.parent.mkdir()
    journal.write_bytes(b"no journal at all" * 100)
    assert wbc("model", "install", made("first")).code in range(40, 50)
    assert wbc("model", "activate", "marrow").code in range(40, 50)
    assert not (tmp_path / "models").exists()


class Beside:
    """A service that takes five frames a second."""

    def __init__(self, start: Any, journal: Path, socket: Path) -> None:
        self._start, self.journal, self.socket = start, journal, socket
        self.process = start("run")

    def until(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask how it is until that is as wanted."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < deadline, self.process.poll()
            try:
                report = ask(self.socket, {"ask": "status"})
                if is_so(report):
                    return report
            except ServiceUnavailable:
                pass
            time.sleep(0.05)

    def frames(self, more: int = 3) -> dict[str, Any]:
        """Wait for some more frames."""
        before = self.until(lambda report: report["state"] == "ready")["frames"]
        return self.until(lambda report: report["frames"] >= before + more)

    def hangs(self) -> dict[str, Any]:
        """Wait until frames no longer come, though it is ready."""
        report = self.until(lambda report: report["state"] == "ready")
        while True:
            time.sleep(1.0)
            before, report = report["frames"], ask(self.socket, {"ask": "status"})
            if report["frames"] == before:
                return report

    def dies(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        log: str = self.process.communicate(timeout=PATIENCE_S)[1]
        return log

    def again(self) -> None:
        self.process = self._start("run")

    def models(self) -> list[str]:
        """Give the model of every frame, all of which are logged but those that made way for newer ones."""
        with Journal.open_read_only(self.journal) as log:
            frames = [each.result for each in log.frames()]
        missing = frames[-1].sequence - frames[0].sequence + 1 - len(frames)
        assert missing == sum(int(told.split(" ")[0]) for told in events(self.journal, "dropped"))
        return [str(each.model) for each in frames]


@pytest.fixture
def service(
    start: Any, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Beside]]:
    """Start a service."""
    for name, value in (("CAMERA", "sim:MM"), ("SIZE", "640x480"), ("INTERVAL", "0.2")):
        monkeypatch.setenv(f"WBC_EDGE_{name}", value)
    begun: list[Beside] = []

    def begin() -> Beside:
        begun.append(Beside(start, journal, tmp_path / "socket"))
        return begun[-1]

    yield begin
    for each in begun:
        each.process.kill()
        each.process.communicate()


def test_a_running_service_changes_models_between_two_frames_and_loses_none(
    wbc: Any, service: Callable[[], Beside], installed: Callable[[str], str]
) -> None:
    one, name = service(), installed("first")
    assert one.frames()["model"].startswith("marrow@")
    told = wbc("model", "activate", name).err
    assert f"The service uses {name} now, on cpu: as set" in told
    report = one.frames()
    assert (report["model"], report["model_reason"], report["accelerator"]) == (name, "", "cpu: as set")
    assert wbc("model", "rollback").code == 0
    one.frames()
    one.end()
    models = one.models()
    changes = [models[0], *(after for before, after in pairwise(models) if before != after)]
    assert [change.split("@")[0] for change in changes] == ["marrow"] * 3
    assert changes[1] == name
    assert changes[0] == changes[2] != name
    assert one.process.returncode == 0


def test_a_model_that_fails_on_frames_is_rolled_back_and_no_frame_is_lost(
    wbc: Any, service: Callable[[], Beside], installed: Callable[[str], str], fragile: Path, journal: Path
) -> None:
    name = installed("first", "--activate")
    one = service()
    assert one.frames()["model"] == name
    assert wbc("model", "install", fragile, "--activate").code == 0
    report = one.until(lambda report: report["model_reason"] != "")
    assert report["model"] == name
    assert "no numbers" in report["model_reason"]
    assert (report["state"], report["failed"]) == ("ready", 0)
    one.frames()
    log = one.end()
    assert set(one.models()) == {name}
    assert any("rolled back to" in event for event in events(journal))
    assert f"rolled back to {name}" in log
    # It stays so until a person chooses.
    one.again()
    assert "no numbers" in one.frames()["model_reason"]
    assert wbc("model", "activate", name).code == 0
    assert one.until(lambda report: report["model_reason"] == "")["model"] == name


def test_a_model_that_hangs_the_service_twice_in_a_row_is_rolled_back(
    wbc: Any, service: Callable[[], Beside], installed: Callable[..., str], hanging: Path, journal: Path
) -> None:
    before = installed("before", "--activate")
    one = service()
    one.frames()
    assert wbc("model", "install", hanging, "--activate").code == 0
    assert one.hangs()["model"] == in_force(wbc) != before
    one.dies()
    # Once could be anybody's doing.
    one.again()
    assert one.hangs()["model"] == in_force(wbc) != before
    one.dies()
    one.again()
    report = one.frames()
    assert (report["model"], in_force(wbc)) == (before, before)
    assert "2 times in a row" in report["model_reason"]
    assert f"rolled back to {before}" in events(journal)
    # However often it ends from now on, that is no word against the one that judges.
    for _ in range(2):
        one.dies()
        one.again()
        one.frames()
    assert in_force(wbc) == before
    with Journal.open_read_only(journal) as log:
        assert log.audit().problems == ()


def test_a_file_that_turns_bad_is_noticed_at_the_next_start_and_the_one_before_is_used(
    service: Callable[[], Beside], installed: Callable[..., str], journal: Path, tmp_path: Path
) -> None:
    before, name = installed("before", "--activate"), installed("first", "--activate")
    one = service()
    one.frames()
    (tmp_path / "models" / f"{name}.wbc").write_bytes(b"bad sectors")
    assert one.frames()["model"] == name
    one.end()
    one.again()
    report = one.frames()
    assert report["model"] == before
    assert "not a whole bundle" in report["model_reason"]
    assert f"rolled back to {before}" in events(journal)


def test_when_the_gpu_dies_the_service_goes_on_on_the_processor_and_loses_no_frame(
    service: Callable[[], Beside], gpu: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, journal: Path
) -> None:
    monkeypatch.setenv("WBC_EDGE_ACCELERATOR", "gpu")
    gpu("dies later")
    one = service()
    report = one.until(lambda report: "failed in use" in report["accelerator"])
    assert "died of SIGSEGV" in report["accelerator"]
    assert report["failed"] == 0
    one.frames()
    one.end()
    assert len(one.models()) >= 3
    first, second = events(journal, "accelerator")
    assert "on gpu: Double" in first
    assert "on cpu: the GPU failed in use" in second


def test_what_is_fastest_is_measured_and_set_if_that_is_asked_for(
    wbc: Any, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    monkeypatch.setattr("edge.tune._REPEATS", 3)
    frame = simulated_frame((640, 480))
    monkeypatch.setattr("edge.bench.simulated_frame", lambda: frame)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "accelerator.json").write_text("{}")
    measured = wbc("model", "tune", "--json")
    assert [line["batch"] for line in measured.lines] == [1, 2, 4, 8, 16]
    assert not (tmp_path / "config.toml").exists()
    assert not (tmp_path / "state" / "accelerator.json").exists()
    saved = wbc("model", "tune", "--save")
    assert saved.code == 0
    settings = config.read(tmp_path / "config.toml")
    assert settings.keys() == {"threads", "batch"}
    assert (f"threads={settings['threads']}, batch={settings['batch']}") in saved.err
    (event,) = events(journal, "configuration")
    assert f"batch={settings['batch']}" in event
    # Nor may everybody who measures remove what the service found of its GPU; root may all but a folder.
    (tmp_path / "state" / "accelerator.json").mkdir()
    assert len(wbc("model", "tune", "--json").lines) == 5
