"""The service as systemd runs it, in a container: installed, watched, confined, reloaded, upgraded and removed.

The tests stand in the order of a device's life and share one machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import handmade
import pytest
from beds.container import Container
from beds.wheels import release

from edge.journal import Journal

WATCHDOG_S = 60.0
SETTINGS = 'camera = "sim:MM"\nsize = "640x480"\ninterval = 0.5\n'


@pytest.fixture(scope="module")
def box(tree: Path, beds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("releases")
    changes = {"first": None, "second": None, "misjudges": _spoil_model, "ends": _end_service}
    releases = [
        release(beds, folder / name, f"0.1.{number}", change)
        for number, (name, change) in enumerate(changes.items(), 1)
    ]
    box = Container(tree, beds / "container")
    for each in releases:
        box.put(each, f"/srv/{each.name}")
    try:
        yield box
    finally:
        print(box.try_("journalctl -u wbc-edge --no-pager | tail -200")[1])
        box.close()


def _spoil_model(source: Path) -> None:
    (bundle,) = (source / "edge/model/bundled").glob("*.wbc")
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 1
    bundle.write_bytes(content)


def _end_service(source: Path) -> None:
    notify = source / "edge/daemon/notify.py"
    text = notify.read_text()
    assert 'self._send("READY=1")' in text
    notify.write_text(text.replace('self._send("READY=1")', "os._exit(9)"))


def rows(box: Container) -> int:
    with Journal.open_read_only(box.root / "var/lib/wbc-edge/journal.sqlite3") as journal:
        return sum(sample.frames for sample in journal.samples())


def works(box: Container, after_rows: int = -1) -> bool:
    """Whether the service is ready and has logged a verdict beyond so many rows."""
    return box.status().get("state") == "ready" and rows(box) > after_rows


def test_one_command_sets_a_device_up_without_a_network(box: Container) -> None:
    assert box.try_("getent hosts example.org")[0] != 0
    said = box.run("/srv/first/install.sh")
    assert "Installed wbc-edge, version 0.1.1" in said
    assert box.property("ActiveState") == "active"
    assert box.run("systemctl is-enabled wbc-edge").strip() == "enabled"
    assert box.run("stat -c '%U %a' /var/lib/wbc-edge").split() == ["wbc-edge", "750"]
    assert "um_per_px" in box.run("cat /etc/wbc-edge/config.toml")
    assert box.run("id -Gn wbc-edge").split()[:2] == ["wbc-edge", "video"]
    assert box.run("ps -o user= -p $(systemctl show -P MainPID wbc-edge)").strip() == "wbc-edge"
    completed = "source /usr/local/share/bash-completion/completions/wbc-edge; complete -p wbc-edge"
    assert "_wbc_edge_completion" in box.run(completed)


def test_it_can_be_run_again_and_keeps_what_there_is(box: Container) -> None:
    box.write("/etc/wbc-edge/config.toml", SETTINGS)
    box.run("systemctl reload wbc-edge")
    box.until(lambda: works(box, 0), 60)
    before = rows(box)
    box.run("/srv/first/install.sh")
    assert box.run("cat /etc/wbc-edge/config.toml") == SETTINGS
    box.until(lambda: works(box, before), 60)


def test_an_image_that_a_member_of_its_group_drops_is_judged_and_put_aside(box: Container) -> None:
    drop = "/var/lib/wbc-edge/drop"
    box.run("id member || useradd --groups wbc-edge member")
    box.write("/etc/wbc-edge/config.toml", f'{SETTINGS}um_per_px = 0.1\nwatch_folder = "{drop}"\n')
    box.run("systemctl reload wbc-edge")
    field = "draw(Smear(kind='MM', size_px=(640, 480)), 1).pixels"
    code = f"import cv2; from edge.simulator import Smear, draw; cv2.imwrite('{drop}/field.png', {field})"
    box.run(f'runuser -u member -- /opt/wbc-edge/current/bin/python -c "{code}"')
    box.until(lambda: box.try_(f"test -e {drop}/done/field.png")[0] == 0, 60)
    assert f"{drop}/field.png" in box.run("wbc-edge log list --json --limit 50")
    box.run(f"runuser -u member -- rm -f {drop}/done/field.png")
    box.write("/etc/wbc-edge/config.toml", SETTINGS)
    box.run("systemctl reload wbc-edge")


def test_systemd_holds_it_for_started_only_once_camera_and_model_have_answered(box: Container) -> None:
    box.run("systemctl restart wbc-edge")
    assert box.status()["state"] == "ready"
    told = box.run("journalctl -u wbc-edge -o cat --no-pager").splitlines()
    ready = max(number for number, line in enumerate(told) if line.startswith("ready: sim:MM, model marrow@"))
    started = max(number for number, line in enumerate(told) if line.startswith("Started wbc-edge.service"))
    assert ready < started
    box.until(lambda: " frames, " in box.property("StatusText"), 30)


def test_a_hung_service_is_ended_and_works_again(box: Container, figures) -> None:
    box.until(lambda: works(box), 60)
    box.run("kill -STOP $(systemctl show -P MainPID wbc-edge)")
    hung_s, before = time.monotonic(), rows(box)
    box.until(lambda: rows(box) > before, WATCHDOG_S + 30, every_s=0.1)
    took_s = time.monotonic() - hung_s
    figures("hung pipeline to next verdict", seconds=round(took_s, 1), watchdog_s=WATCHDOG_S)
    assert "Watchdog timeout" in box.run("journalctl -u wbc-edge --no-pager")
    assert took_s < WATCHDOG_S + 5


def test_a_killed_service_is_started_again_and_has_lost_nothing(box: Container, figures) -> None:
    taken_s = []
    for _ in range(5):
        box.until(lambda: works(box), 60)
        acknowledged = json.loads(box.run("wbc-edge trigger --json"))["record"]
        box.run("kill -KILL $(systemctl show -P MainPID wbc-edge)")
        killed_s = time.monotonic()
        before = rows(box)
        assert before >= acknowledged
        box.until(lambda before=before: rows(box) > before, 60, every_s=0.1)
        taken_s.append(round(time.monotonic() - killed_s, 1))
    figures("killed service to next verdict", seconds=taken_s)
    box.run("wbc-edge log verify")


def test_a_model_that_hangs_it_twice_is_left_for_the_one_before(
    box: Container, of_bright_tiles: Callable[..., Path], figures
) -> None:
    box.until(lambda: works(box), 60)
    box.put(of_bright_tiles("float32", handmade.that_hangs), "/srv/hangs.wbc")
    box.run("wbc-edge model install /srv/hangs.wbc --activate")
    hung_s = time.monotonic()
    assert box.status()["model"].startswith("fragile@")
    box.until(lambda: box.status().get("model_reason"), 2 * WATCHDOG_S + 60)
    report, before = box.status(), rows(box)
    box.until(lambda: rows(box) > before, 60)
    figures("model that hangs to next verdict", seconds=round(time.monotonic() - hung_s, 1), watchdog_s=WATCHDOG_S)
    assert report["model"].startswith("marrow@")
    assert "2 times in a row the service ended, or hung" in report["model_reason"]
    assert "rolled back to marrow@" in box.run("wbc-edge log events --kind model --json")
    assert "rolled back to marrow@" in box.run("journalctl -u wbc-edge --no-pager")
    box.run("wbc-edge log verify")


def test_what_cannot_start_is_tried_a_while_and_then_left(box: Container) -> None:
    box.run("mv /opt/wbc-edge/current/bin/wbc-edge /opt/wbc-edge/current/bin/away; systemctl restart wbc-edge || true")
    box.until(lambda: box.property("Result") == "start-limit-hit" or box.property("SubState") == "failed", 90)
    restarts = int(box.property("NRestarts"))
    assert 0 < restarts <= 10
    time.sleep(5)
    assert int(box.property("NRestarts")) == restarts
    box.run("mv /opt/wbc-edge/current/bin/away /opt/wbc-edge/current/bin/wbc-edge")
    box.run("systemctl reset-failed wbc-edge; systemctl start wbc-edge")
    box.until(lambda: works(box), 60)


PROBE = r"""
import ctypes, json, os, pathlib, socket
def attempt(act):
    try:
        act()
        return "done"
    except OSError as error:
        return error.strerror
libc = ctypes.CDLL(None, use_errno=True)
def call(code):
    if code != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
touch = lambda path: (lambda: pathlib.Path(path).write_text("x"))
print(json.dumps({
    "state": attempt(touch("/var/lib/wbc-edge/probe")),
    "runtime": attempt(touch("/run/wbc-edge/probe")),
    "button": attempt(lambda: os.mkfifo(".lgd-nfy-probe")),
    "configuration": attempt(touch("/etc/wbc-edge/probe")),
    "program": attempt(touch("/opt/wbc-edge/probe")),
    "system": attempt(touch("/usr/probe")),
    "home": attempt(lambda: os.listdir(os.path.expanduser("~root"))),
    "inet": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
    "packet": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "clock": attempt(lambda: __import__("time").clock_settime(0, 1e9)),
    "mount": attempt(lambda: call(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))),
    "namespace": attempt(lambda: call(libc.unshare(0x10000000))),
    "realtime": attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
    "suid": attempt(lambda: os.chmod("/var/lib/wbc-edge/probe", 0o4755)),
    "others": attempt(lambda: os.listdir("/proc/1/fd")),
    "disk": attempt(lambda: open("/dev/mem", "rb")),
    "root": attempt(lambda: os.setuid(0)),
}))
"""


def test_it_reaches_its_own_files_and_nothing_else(box: Container) -> None:
    box.write("/usr/local/lib/probe.py", PROBE)
    unit = "/etc/systemd/system/wbc-probe.service"
    box.run(
        "sed -e 's|^Type=.*|Type=oneshot|; s|^ExecStart=.*|ExecStart=/usr/bin/python3 /usr/local/lib/probe.py|'"
        " -e '/^Restart/d; /^WatchdogSec/d; /^SyslogIdentifier/d; /^RuntimeDirectory/d'"
        f" -e '/^User=/i RuntimeDirectory=wbc-edge\\nRuntimeDirectoryPreserve=yes'"
        f" /etc/systemd/system/wbc-edge.service > {unit}"
    )
    box.run("systemctl daemon-reload; systemctl start wbc-probe")
    found = json.loads(box.run("journalctl -u wbc-probe -t python3 -o cat --no-pager | tail -1"))
    allowed = {name for name, outcome in found.items() if outcome == "done"}
    assert allowed == {"state", "runtime", "button"}, found
    box.run(f"rm /var/lib/wbc-edge/probe /run/wbc-edge/{{probe,.lgd-nfy-probe}} {unit}; systemctl daemon-reload")


def test_a_wrong_configuration_is_refused_and_a_right_one_taken(box: Container) -> None:
    box.until(lambda: works(box), 60)
    code, _, err = box.try_("wbc-edge config set interval=many")
    assert (code != 0, "interval" in err) == (True, True)
    box.run("echo 'interval = \"many\"' > /etc/wbc-edge/config.toml; systemctl reload wbc-edge")
    box.until(lambda: "interval" in box.status().get("last_error", ""), 30)
    assert works(box)
    box.write("/etc/wbc-edge/config.toml", SETTINGS)
    box.run("wbc-edge config set camera=sim:ALL && systemctl reload wbc-edge")
    box.until(lambda: box.status().get("camera") == "sim:ALL", 30)
    before = rows(box)
    box.until(lambda: works(box, before), 30)
    assert "camera" in box.run("wbc-edge log events")


def test_what_is_wrong_has_its_priority_in_the_system_s_log(box: Container) -> None:
    wrong = box.run("journalctl -u wbc-edge -p err -t wbc-edge -o cat --no-pager").splitlines()
    assert any("configuration not reloaded" in line for line in wrong)
    assert not any(line.startswith(("<", "ready")) for line in wrong)


def test_stopped_in_the_middle_of_a_frame_it_loses_nothing(box: Container) -> None:
    for _ in range(3):
        box.run("systemctl start wbc-edge")
        box.until(lambda: works(box), 60)
        asked = "wbc-edge trigger --json >/run/asked 2>/run/refused & sleep 0.3"
        answer = box.run(f"{asked}; systemctl stop wbc-edge; wait; cat /run/asked")
        assert box.property("Result") == "success"
        if answer:
            assert json.loads(answer)["record"] <= rows(box)
        box.run("wbc-edge log verify")
    box.run("systemctl start wbc-edge")


def test_an_upgrade_keeps_data_and_configuration_and_can_be_taken_back(box: Container) -> None:
    box.until(lambda: works(box), 60)
    before, settings = rows(box), box.run("cat /etc/wbc-edge/config.toml")
    box.run("/srv/second/install.sh")
    assert box.status()["version"] == "0.1.2"
    box.until(lambda: works(box, before), 60)
    assert box.run("cat /etc/wbc-edge/config.toml") == settings
    box.run("/srv/second/install.sh rollback")
    assert box.status()["version"] == "0.1.1"
    box.run("/srv/second/install.sh rollback")
    assert box.status()["version"] == "0.1.2"


@pytest.mark.parametrize("folder", ["misjudges", "ends"])
def test_a_release_that_does_not_work_here_leaves_the_one_before_at_work(box: Container, folder: str) -> None:
    before = rows(box)
    code, _, err = box.try_(f"/srv/{folder}/install.sh")
    assert code == 1
    assert "Error: the new version" in err
    box.until(lambda: works(box, before), 60)
    assert box.status()["version"] == "0.1.2"
    assert box.run("ls /opt/wbc-edge/releases | wc -l").strip() == "2"


def test_removed_it_leaves_the_data(box: Container) -> None:
    before = rows(box)
    said = box.run("/srv/second/install.sh uninstall")
    assert "/var/lib/wbc-edge" in said
    assert box.try_("systemctl cat wbc-edge")[0] != 0
    assert box.run("ls /opt /usr/local/bin").split() == ["/opt:", "/usr/local/bin:"]
    assert rows(box) >= before
    assert box.run("cat /etc/wbc-edge/config.toml")
    box.run("/srv/second/install.sh")
    box.until(lambda: works(box, before), 60)
