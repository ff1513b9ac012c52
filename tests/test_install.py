"""The installer is shell that a checker finds nothing wrong with; what it does is tried in tests/device."""

import errno
import grp
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec
import pytest

from edge.daemon.folder import _REMEDIES
from edge.settings import Config

ROOT = Path(__file__).parents[1]
INSTALL = ROOT / "install.sh"


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
def test_shellcheck_finds_nothing():
    scripts = [INSTALL, *(ROOT / "tests" / "device" / "beds").glob("*.sh")]
    said = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["reinstall"], 2)])
def test_it_says_how_it_is_used(arguments, code):
    said = subprocess.run([INSTALL, *arguments], capture_output=True, text=True, check=False)
    assert said.returncode == code
    assert "Usage: sudo ./install.sh [install|rollback|uninstall]" in said.stdout + said.stderr


def below(root: Path, *names: str) -> str:
    """Give the installer's functions, with some of its places below a root, to be called in a line that is added."""
    script = INSTALL.read_text().removesuffix('main "$@"\n')
    for name in names:
        variable, _, path = name.partition("=")
        assert f"readonly {name}" in script
        script = script.replace(f"readonly {name}", f"readonly {variable}={root}{path}")
    return script


def make_folders(root: Path, account: str) -> Path:
    """Have the installer's own function make an account's folders below a root, and return that of the data."""
    script = below(root, "place=/opt/wbc-edge", "state=/var/lib/wbc-edge", "settings=/etc/wbc-edge")
    script = script.replace("readonly account=wbc-edge", f"readonly account={account}")
    if os.getuid():
        script += 'runuser() { shift 3 && "$@"; }\n'  # which root alone may call
    subprocess.run(["bash", "-c", script + "make_folders"], check=True)
    return root / "var/lib/wbc-edge"


@pytest.mark.parametrize("is_jetson", [True, False])
def test_the_memory_of_a_jetson_s_gpu_is_allowed_where_there_is_one(tmp_path, is_jetson):
    (tmp_path / "dev").mkdir()
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    if is_jetson:
        (tmp_path / "dev/nvmap").touch()
    script = below(tmp_path, "unit_file=/etc/systemd/system/$unit", "gpu_memory=/dev/nvmap")
    script += "is_booted() { false; }\n"
    subprocess.run(["bash", "-c", f"{script}write_unit {ROOT / 'systemd'}"], check=True)
    drop_in = tmp_path / "etc/systemd/system/wbc-edge.service.d/jetson.conf"
    assert drop_in.exists() == is_jetson
    if is_jetson:
        assert drop_in.read_text() == f"[Service]\nDeviceAllow={tmp_path}/dev/nvmap rw\n"


def test_members_of_the_group_can_drop_images_where_the_service_may_put_them_aside(tmp_path):
    # On folders of this user's: of the account's there are none here.
    me = pwd.getpwuid(os.getuid()).pw_name
    if grp.getgrgid(os.getgid()).gr_name != me:
        pytest.skip("this user's group has another name")
    state = make_folders(tmp_path, me)
    assert state.stat().st_mode & 0o7777 == 0o750
    for folder in (state / "drop", state / "drop/done", state / "drop/failed"):
        assert folder.stat().st_mode & 0o7777 == 0o2770


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, who could give something away")
@pytest.mark.parametrize("link", ["drop", "drop/done"])
def test_it_gives_nobody_what_a_link_in_the_folder_for_images_leads_to(link):
    account = "daemon"  # of every Linux, with a group of its name
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)  # pytest's own folders are closed to the account
        state = make_folders(root, account)
        precious = root / "precious"
        precious.mkdir(mode=0o755)
        (state / link).rename(root / "before")
        (state / link).symlink_to(precious)
        make_folders(root, account)
        assert (precious.owner(), precious.stat().st_mode & 0o7777) == ("root", 0o755)
        assert list(precious.iterdir()) == []


def test_the_folder_for_images_is_the_one_that_is_told_of_and_that_the_unit_may_write():
    unit = (ROOT / "systemd" / "wbc-edge.service").read_text()
    assert "StateDirectory=wbc-edge\n" in unit
    assert "ReadWritePaths=" in _REMEDIES[errno.EROFS]
    described = msgspec.json.schema(Config)["$defs"]["Config"]["properties"]["watch_folder"]["description"]
    for told in (_REMEDIES[errno.EROFS], described, (ROOT / "README.md").read_text()):
        assert "/var/lib/wbc-edge/drop" in told


@pytest.mark.skipif(os.getuid() == 0, reason="this is root")
def test_it_changes_nothing_without_the_right_to():
    said = subprocess.run([INSTALL], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert "needs root" in said.stderr
