"""`wbc-edge config` shows, checks and changes the settings, and every command obeys them."""

import fcntl
import os

import pytest

from edge import config


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "settings" / "config.toml"
    monkeypatch.setenv("WBC_EDGE_CONFIG", str(path))
    return path


def test_a_setting_is_used_where_no_option_says_otherwise(wbc, file, field):
    assert wbc("classify", field).code == 3  # nobody knows the pixel size
    assert wbc("config", "set", "um_per_px=0.4").code == 0
    assert wbc("classify", field).code == 0
    assert wbc("classify", field, "--um-per-px", 0.3).code == 0
    scales = [line["um_per_px"] for line in wbc("log", "list", "--json").lines]
    assert scales == [0.4, 0.3]


def test_the_environment_goes_over_the_file(wbc, file, monkeypatch):
    wbc("config", "set", "threads=2", "save=frames")
    monkeypatch.setenv("WBC_EDGE_THREADS", "3")
    (shown,) = wbc("config", "show", "--json").lines
    assert shown["threads"] == {"value": 3, "from": "environment"}
    assert shown["save"] == {"value": "frames", "from": str(file)}
    assert shown["size"] == {"value": "2560x1920", "from": "default"}
    assert "2560x1920" in wbc("config", "show").out


def test_a_change_is_logged_and_the_file_as_it_was_is_kept(wbc, file):
    wbc("config", "set", "threads=2")
    before = file.read_text("utf-8")
    assert "# Threads" in before  # what every setting means, for whoever opens the file
    wbc("config", "set", "threads=", "camera=sim:MM")
    assert file.with_name("config.toml.before").read_text("utf-8") == before
    assert wbc("config", "check").out == f"{file}: camera set, all within bounds\n"
    events = [event for event in wbc("log", "events", "--json").lines if event["kind"] == "configuration"]
    assert [event["detail"] for event in events] == [f"{file}: threads=2", f"{file}: threads=, camera=sim:MM"]


def test_who_sets_something_while_another_does_waits_a_while_and_is_told(wbc, file, monkeypatch):
    monkeypatch.setattr("edge.cli.config._LOCK_TIMEOUT_S", 0.2)
    wbc("config", "set", "threads=2")
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        ran = wbc("config", "set", "threads=3")
    finally:
        os.close(folder)
    assert (ran.code, ran.err.count("\n")) == (50, 1)
    assert "being changed by another" in ran.err
    assert config.read(file)["threads"] == 2


@pytest.mark.parametrize("wrong", ["threads=many", "colour=red", "threads", "threads=2 colour=red"])
def test_nothing_is_changed_unless_all_of_it_is_right(wbc, file, wrong):
    ran = wbc("config", "set", *wrong.split())
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "WBC_EDGE" not in ran.err  # which nobody set
    assert not file.exists()


def test_a_camera_of_a_kind_that_there_is_not_is_refused(wbc, file):
    ran = wbc("config", "set", "camera=v4l3:/dev/video0")
    assert (ran.code, ran.err.count("\n")) == (11, 1)
    assert not file.exists()
    for right in ("v4l2:/dev/video9", ""):
        assert wbc("config", "set", f"camera={right}").code == 0


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("camera=sim:nonsense", 11),
        ("camera=file:/fields", 2),
        ("camera=none", 2),
        ("model=doesnotexist", 31),
        ("watch_folder=/drop", 2),
        ("size=99999x99999", 2),
    ],
)
def test_what_the_service_could_not_work_by_is_neither_set_nor_found_right(wbc, file, wrong, code):
    ran = wbc("config", "set", wrong)
    assert (ran.code, ran.err.count("\n")) == (code, 1)
    assert not file.exists()
    name, _, value = wrong.partition("=")
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'{name} = "{value}"\n')
    assert wbc("config", "check").code == code


def test_what_the_environment_adds_counts(wbc, file, monkeypatch):
    monkeypatch.setenv("WBC_EDGE_UM_PER_PX", "0.1")
    assert wbc("config", "set", "watch_folder=/drop").code == 0
    assert wbc("config", "check").code == 0


def test_a_wrong_file_stops_every_command_with_a_line_and_can_be_looked_at(wbc, file, field):
    file.parent.mkdir()
    file.write_text("um_per_px = 17\n")
    for command in (["classify", field], ["capture", "--camera", "sim"], ["config", "show"], ["config", "check"]):
        ran = wbc(*command)
        assert (ran.code, ran.err.count("\n")) == (2, 1), command
        assert "um_per_px" in ran.err
    for other in ("other.toml", "x" * 300):
        ran = wbc("config", "check", file.with_name(other))
        assert (ran.code, ran.err.count("\n")) == (2, 1)


def test_a_file_that_is_not_there_is_said_not_to_be(wbc, file):
    assert wbc("config", "check").out == f"{file}: not there, every setting has its default\n"


def test_an_example_is_a_configuration(wbc, file):
    file.parent.mkdir()
    file.write_text(wbc("config", "example").out)
    assert wbc("config", "check").out == f"{file}: nothing set, all within bounds\n"


def test_a_file_that_cannot_be_written_is_told(wbc, monkeypatch):
    monkeypatch.setenv("WBC_EDGE_CONFIG", "/proc/wbc-edge/config.toml")
    ran = wbc("config", "set", "threads=2")
    assert (ran.code, ran.err.count("\n")) == (50, 1)
    assert not config.read(config.location())


def test_who_may_not_make_the_systems_file_changes_their_own(wbc, field, tmp_path, monkeypatch):
    monkeypatch.delenv("WBC_EDGE_CONFIG", raising=False)
    (tmp_path / "etc").touch()  # in which even root can make nothing
    monkeypatch.setattr(config, "SYSTEM_FILE", tmp_path / "etc" / "wbc-edge" / "config.toml")
    ran = wbc("config", "set", "um_per_px=0.4")
    own = config.own_file(os.environ)
    assert (ran.code, ran.err) == (0, f"{own}: um_per_px=0.4\n")
    assert wbc("classify", field).code == 0


def test_a_change_that_could_not_be_made_is_logged_as_such(wbc, file):
    wbc("config", "set", "threads=2")
    file.with_name("config.toml.before").mkdir()
    assert wbc("config", "set", "threads=3").code == 50
    assert config.read(file) == {"threads": 2}
    events = [event["detail"] for event in wbc("log", "events", "--json").lines if event["kind"] == "configuration"]
    assert events[-1].startswith(f"not done: {file}: threads=3: ")


def test_of_several_changes_at_once_none_is_lost(start, file):
    wanted = {"threads": 2, "batch": 8, "interval": 5.0, "timeout": 20.0, "um_per_px": 0.4, "save": "frames"}
    running = [start("config", "set", f"{name}={value}") for name, value in wanted.items()]
    for each in running:
        each.communicate()
    assert config.read(file) == wanted
