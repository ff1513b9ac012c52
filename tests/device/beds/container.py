"""A container that systemd boots, without a network; what systemd does with the unit is the real thing there."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/srv", "LANG=C.UTF-8")
BOOT_S = 300.0


class Container:
    """Booted from a copy of a system tree.

    Parameters
    ----------
    tree : Path
        What ``tree.sh`` made.
    folder : Path
        Where the copy is made; removed again by :meth:`close`.
    """

    def __init__(self, tree: Path, folder: Path) -> None:
        self.root = folder
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", tree, folder], check=True)
        options = ["--private-network", "--register=no", "--keep-unit", "--console=read-only"]
        self._nspawn = subprocess.Popen(
            ["systemd-nspawn", "-q", "-M", "wbc-bed", "-D", str(folder), *options, "-b", "systemd.log_color=0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._init = int(self.until(self._find_init, BOOT_S))
        self.until(
            lambda: self.try_("systemctl is-system-running --wait")[1].strip() in ("running", "degraded"), BOOT_S
        )

    def try_(self, command: str, timeout_s: float = 600.0) -> tuple[int, str, str]:
        """Run a line of shell as root; give its exit code, output and complaints."""
        inside = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-p", "-n", "-r", "-w"]
        done = subprocess.run(
            [*inside, "env", "-i", *_ENVIRONMENT, "bash", "-c", command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def run(self, command: str, timeout_s: float = 600.0) -> str:
        """Run a line of shell as root, which must succeed; give its output."""
        code, out, err = self.try_(command, timeout_s)
        assert code == 0, f"{command}: {code}\n{out}\n{err}"
        return out

    def put(self, source: Path, target: str) -> None:
        """Copy a file or folder of this machine into it."""
        place = self.root / target.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, place, dirs_exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)

    def write(self, target: str, content: str) -> None:
        """Write a file in it."""
        self.run(f"printf %s {shlex.quote(content)} > {target}")

    def status(self) -> dict[str, Any]:
        """Give what ``wbc-edge status --json`` says; empty while no service answers."""
        code, out, _ = self.try_("wbc-edge status --json")
        report: dict[str, Any] = json.loads(out) if code in (0, 1) and out else {}
        return report

    def property(self, name: str) -> str:
        """Give what systemd says of the unit."""
        return self.run(f"systemctl show -P {name} wbc-edge").strip()

    def until(self, found: Callable[[], Any], timeout_s: float, every_s: float = 0.2) -> Any:
        """Ask again and again until the answer is true; give it."""
        deadline_s = time.monotonic() + timeout_s
        while not (answer := found()):
            assert time.monotonic() < deadline_s, "it did not happen in time"
            time.sleep(every_s)
        return answer

    def close(self) -> None:
        """Power off and forget."""
        self._nspawn.terminate()
        try:
            self._nspawn.wait(30)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def _find_init(self) -> str:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        return children[0] if children else ""
