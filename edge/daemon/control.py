"""How other programs speak to the service: a local socket, one JSON object there and one back."""

from __future__ import annotations

import os
import pwd
import socket
import socketserver
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from edge.errors import ServiceUnavailable, WbcError
from edge.journal import default_path

_SYSTEM_SOCKET = Path("/run/wbc-edge/control.sock")
_LONGEST_REQUEST = 65_536
_LONGEST_PATH = 107
_REQUEST_TIMEOUT_S = 5.0
_CONNECT_EVERY_S = 0.05
_LAST_ANSWERS_S = 2.0

ANSWER_TIMEOUT_S = 120.0
"""How long the service works on an answer before it says that it is busy."""

Answer = Callable[[dict[str, Any], str], dict[str, Any]]
"""Does what a request of a user asks and gives the reply; may raise a ``WbcError``."""


def location(environment: Mapping[str, str] | None = None) -> Path:
    """Say where the socket is: where the system's service has it, or among the user's own.

    Parameters
    ----------
    environment : mapping of str to str, optional
        The process's, unless another is given.

    Returns
    -------
    Path
        ``$WBC_EDGE_SOCKET``; or ``control.sock`` in systemd's ``$RUNTIME_DIRECTORY``; or ``/run/wbc-edge/control.sock``
        where there is one; or ``wbc-edge.sock`` in ``$XDG_RUNTIME_DIR``; or else ``control.sock`` beside the journal.
    """
    environment = os.environ if environment is None else environment
    if named := environment.get("WBC_EDGE_SOCKET"):
        return Path(named)
    if runtime := environment.get("RUNTIME_DIRECTORY"):
        return Path(runtime.split(":")[0], "control.sock")
    if os.access(_SYSTEM_SOCKET.parent, os.X_OK) and _SYSTEM_SOCKET.exists():
        return _SYSTEM_SOCKET
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        return Path(runtime, "wbc-edge.sock")
    return default_path().with_name("control.sock")


def ask(
    path: Path, request: dict[str, Any], timeout_s: float = ANSWER_TIMEOUT_S + _REQUEST_TIMEOUT_S
) -> dict[str, Any]:
    """Send a request to the service and wait for its reply.

    Parameters
    ----------
    path : Path
        The service's socket.
    request : dict
        What is asked.
    timeout_s : float
        How long to wait; by default longer than the service does, so that its own word is heard.

    Returns
    -------
    dict
        The reply.

    Raises
    ------
    ServiceUnavailable
        When no service answers there, or it refuses.
    """
    where = f"the service at {path}"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ServiceUnavailable(where, f"a socket's name has at most {_LONGEST_PATH} bytes", "Set WBC_EDGE_SOCKET")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            _connect(connection, path, timeout_s)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as stream:
                reply: dict[str, Any] = msgspec.json.decode(stream.readline())
    except FileNotFoundError as error:
        raise ServiceUnavailable(where, "does not run", "Start it: sudo systemctl start wbc-edge") from error
    except TimeoutError as error:
        why = f"gave no answer within {timeout_s:g} s"
        raise ServiceUnavailable(where, why, "See `journalctl -u wbc-edge`") from error
    except (OSError, msgspec.DecodeError) as error:
        why = getattr(error, "strerror", None) or "hung up"
        raise ServiceUnavailable(where, why, "See `systemctl status wbc-edge`; are you in its group?") from error
    if problem := reply.get("error"):
        raise ServiceUnavailable(where, str(problem))
    return reply


def _connect(connection: socket.socket, path: Path, timeout_s: float) -> None:
    """Connect, as soon as there is room among those that the service has not heard yet."""
    until_s = time.monotonic() + timeout_s
    while True:
        try:
            connection.connect(str(path))
        except BlockingIOError as error:
            if time.monotonic() >= until_s:
                raise TimeoutError from error
            time.sleep(_CONNECT_EVERY_S)
        else:
            return


@contextmanager
def listening(path: Path, answer: Answer) -> Iterator[None]:
    """Answer requests inside the block, each in a thread of its own; those begun by its end have two seconds more.

    Parameters
    ----------
    path : Path
        The socket; one that a dead service left is replaced. Its user and group may use it.
    answer : callable
        What answers.

    Raises
    ------
    ServiceUnavailable
        When another service listens there, something else than a socket is there, or the socket cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear(path)
        server = _Server(path, answer)
        path.chmod(0o660)
    except WbcError:  # which is an OSError too
        raise
    except OSError as error:
        raise ServiceUnavailable(
            f"socket {path}", error.strerror or str(error), "Set WBC_EDGE_SOCKET to one that this user can make"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="control", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.finish(_LAST_ANSWERS_S)
        server.server_close()
        with suppress(OSError):
            path.unlink()


def _clear(path: Path) -> None:
    with suppress(FileNotFoundError):
        # A connection to a file is refused as one to a dead socket is.
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ServiceUnavailable(f"socket {path}", "is no socket", "Set WBC_EDGE_SOCKET to where nothing else is")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ServiceUnavailable(f"socket {path}", "another wbc-edge listens there", "Stop it first")


def _peer(connection: socket.socket) -> str:
    """Name the user at the other end, by what the kernel says of it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, path: Path, answer: Answer) -> None:
        self.answer = answer
        self._answering = 0
        self._changed = threading.Condition()
        super().__init__(str(path), _Request)

    def finish(self, timeout_s: float) -> None:
        """Wait until the requests that have come are answered."""
        with self._changed:
            self._changed.wait_for(lambda: not self._answering, timeout_s)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin to answer one, and count it at once: its thread may come to its turn only after all are waited for."""
        with self._changed:
            self._answering += 1
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._answering -= 1
                self._changed.notify_all()


class _Request(socketserver.StreamRequestHandler):
    server: _Server
    timeout = _REQUEST_TIMEOUT_S

    def handle(self) -> None:
        try:
            line = self.rfile.readline(_LONGEST_REQUEST)
            request = msgspec.json.decode(line, type=dict[str, Any])
            reply = self.server.answer(request, _peer(self.connection))
        except WbcError as error:
            reply = {"error": str(error)}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ConnectionError, TimeoutError):
            reply = {"error": "asked for nothing that could be understood"}
        # Who asked may have gone away meanwhile.
        with suppress(OSError):
            self.wfile.write(msgspec.json.encode(reply) + b"\n")
