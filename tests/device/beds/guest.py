"""A virtual machine of 1 GiB whose power can be cut; its processor is emulated, so it says nothing of speed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

BOOT_S = 300.0
_CPU = "Nehalem"
"""The oldest that numpy's wheels run on."""

_NOT_NEEDED = ("getty@.service", "serial-getty@.service", "systemd-timesyncd.service", "e2scrub_reap.service")


def install(bed: Path, release: Path, disk: Path, prepare: str = "true") -> None:
    """Make a disk on which a release is installed, from the bed's.

    Parameters
    ----------
    bed : Path
        What ``guest.sh`` made.
    release : Path
        Folder to install from.
    disk : Path
        File to make.
    prepare : str
        Shell to run in it afterwards.
    """
    subprocess.run(["cp", "--sparse=always", bed / "disk.img", disk], check=True)
    with TemporaryDirectory() as folder, mounted(disk, Path(folder, "root")) as place:
        shutil.copytree(release, place / "srv/release")
        for script in Path(__file__).parent.glob("*.py"):
            shutil.copy(script, place / "opt")
        shutil.copy(Path(__file__).with_name("agent.service"), place / "etc/systemd/system")
        for unit in _NOT_NEEDED:
            (place / "etc/systemd/system" / unit).unlink(missing_ok=True)
            (place / "etc/systemd/system" / unit).symlink_to("/dev/null")
        subprocess.run(["mount", "-t", "proc", "proc", place / "proc"], check=True)
        inside = ["chroot", place, "env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/srv"]
        try:
            subprocess.run([*inside, "/srv/release/install.sh"], check=True)
            subprocess.run([*inside, "bash", "-ec", prepare], check=True)
        finally:
            subprocess.run(["umount", place / "proc"], check=True)
        shutil.rmtree(place / "srv/release")
        # Or the first start compiles the hardware database and more, for minutes, and each cut has it begin again.
        for mark in ("etc/.updated", "var/.updated"):
            (place / mark).touch()


@contextmanager
def mounted(disk: Path, place: Path) -> Iterator[Path]:
    """Mount a disk that no machine uses; what a cut left in its file system's journal is made good, as at a start."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", disk, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


class Guest:
    """A running machine.

    Parameters
    ----------
    bed : Path
        Where its kernel is.
    disk : Path
        Its disk; what it wrote and did not flush is lost with :meth:`cut`.
    folder : Path
        Where its sockets and its console's log go.
    """

    def __init__(self, bed: Path, disk: Path, folder: Path) -> None:
        self.console = folder / "console.log"
        ports = {name: folder / f"{name}.sock" for name in ("agent", "acks")}
        for path in ports.values():
            path.unlink(missing_ok=True)
        command = [
            "qemu-system-x86_64",
            "-M",
            "q35",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            _CPU,
            "-smp",
            str(len(os.sched_getaffinity(0))),
            "-m",
            "1024",
        ]
        command += ["-nographic", "-nodefaults", "-no-reboot", "-serial", f"file:{self.console}"]
        command += ["-kernel", str(bed / "vmlinuz"), "-initrd", str(bed / "initrd")]
        command += ["-append", "root=/dev/vda rw console=ttyS0 quiet no_timer_check systemd.log_color=0"]
        command += [
            "-drive",
            f"file={disk},format=raw,if=none,id=disk,cache=none",
            "-device",
            "virtio-blk-pci,drive=disk",
        ]
        command += ["-device", "virtio-serial-pci", "-device", "virtio-rng-pci"]
        for name, path in ports.items():
            command += ["-chardev", f"socket,path={path},server=on,wait=off,id={name}"]
            command += ["-device", f"virtserialport,chardev={name},name=wbc.{name}"]
        self._qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.started_s = time.monotonic()
        self._agent = _connected(ports["agent"])
        self._acks = _connected(ports["acks"])
        self._acks.setblocking(False)
        self._heard = b""
        self.hello = json.loads(self._line(BOOT_S))["hello"]

    def try_(self, command: str, timeout_s: float = 300.0) -> tuple[int, str, str]:
        """Run a line of shell as root; give its exit code, output and complaints."""
        self._agent.sendall(json.dumps({"run": command}).encode() + b"\n")
        answer = json.loads(self._line(timeout_s))
        return answer["code"], answer["out"], answer["err"]

    def run(self, command: str, timeout_s: float = 300.0) -> str:
        """Run a line of shell as root, which must succeed; give its output."""
        code, out, err = self.try_(command, timeout_s)
        assert code == 0, f"{command}: {code}\n{out}\n{err}"
        return out

    def ask(self, what: str, timeout_s: float = 300.0) -> dict[str, Any]:
        """Ask the service something; empty while it does not answer."""
        self._agent.sendall(json.dumps({"ask": what}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._line(timeout_s))
        return answer

    def until(self, is_so: Callable[[dict[str, Any]], bool], timeout_s: float = BOOT_S) -> dict[str, Any]:
        """Ask the service how it is until that is as wanted."""
        deadline_s = time.monotonic() + timeout_s
        while not ((report := self.ask("status")) and is_so(report)):
            assert time.monotonic() < deadline_s, report
            time.sleep(0.5)
        return report

    def acknowledged(self) -> str:
        """Give what the guest has written to its port of acknowledgements since it was asked last."""
        heard = b""
        with suppress(BlockingIOError):
            while chunk := self._acks.recv(65536):
                heard += chunk
        return heard.decode()

    def cut(self) -> None:
        """Cut its power."""
        self._qemu.kill()
        self._qemu.wait()
        self._agent.close()

    def close(self) -> None:
        """Cut its power if it is on."""
        if self._qemu.poll() is None:
            self.cut()
        self._acks.close()

    def _line(self, timeout_s: float) -> bytes:
        deadline_s = time.monotonic() + timeout_s
        while b"\n" not in self._heard:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"the guest said nothing for {timeout_s:g} s; see {self.console}")
            self._agent.settimeout(left_s)
            chunk = self._agent.recv(65536)
            if not chunk:
                raise ConnectionError(f"the guest ended; see {self.console}")
            self._heard += chunk
        line, self._heard = self._heard.split(b"\n", 1)
        return line


def _connected(path: Path) -> socket.socket:
    deadline_s = time.monotonic() + 20
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            return connection
