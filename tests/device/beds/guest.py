"""A virtual machine of 1 GiB whose power can be cut; its processor is emulated, so it says nothing of speed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

BOOT_S = 300.0
_CPU = "Nehalem"
"""The oldest that numpy's wheels run on."""


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
    place = disk.with_suffix(".mounted")
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", disk, place], check=True)
    try:
        shutil.copytree(release, place / "root/release")
        subprocess.run(["mount", "-t", "proc", "proc", place / "proc"], check=True)
        inside = ["chroot", place, "env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"]
        try:
            subprocess.run([*inside, "/root/release/install.sh"], check=True)
            subprocess.run([*inside, "bash", "-ec", prepare], check=True)
        finally:
            subprocess.run(["umount", place / "proc"], check=True)
        shutil.rmtree(place / "root/release")
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
            "2",
            "-m",
            "1024",
        ]
        command += ["-nographic", "-nodefaults", "-no-reboot", "-serial", f"file:{self.console}"]
        command += ["-kernel", str(bed / "vmlinuz"), "-initrd", str(bed / "initrd")]
        command += ["-append", "root=/dev/vda rw console=ttyS0 quiet systemd.log_color=0"]
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

    def status(self) -> dict[str, Any]:
        """Give what ``wbc-edge status --json`` says; empty while no service answers."""
        code, out, _ = self.try_("wbc-edge status --json")
        report: dict[str, Any] = json.loads(out) if code in (0, 1) and out else {}
        return report

    def until(self, command: str, timeout_s: float, every_s: float = 1.0) -> str:
        """Run a line of shell until it succeeds; give its output."""
        deadline_s = time.monotonic() + timeout_s
        while (result := self.try_(command))[0] != 0:
            assert time.monotonic() < deadline_s, f"{command}: {result}"
            time.sleep(every_s)
        return result[1]

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
