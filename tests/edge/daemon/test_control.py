"""The control socket answers whoever may use it, whatever is sent."""

from __future__ import annotations

import inspect
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from edge.daemon import control
from edge.daemon.control import ANSWER_TIMEOUT_S, ask, listening, location
from edge.errors import ConfigurationError, ServiceUnavailable


def echo(request: dict[str, Any], who: str) -> dict[str, Any]:
    if request.get("ask") == "fail":
        raise ConfigurationError("it", "is wrong", "Mend it")
    return {"heard": request}


def test_a_request_is_answered_and_a_failure_told(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with listening(path, echo):
        assert path.stat().st_mode & 0o777 == 0o660
        assert ask(path, {"ask": "Präparat 視野"}) == {"heard": {"ask": "Präparat 視野"}}
        with pytest.raises(ServiceUnavailable, match=r"it: is wrong\. Mend it"):
            ask(path, {"ask": "fail"})
    assert not path.exists()


NESTED = b'{"ask":' + b"[" * 30_000 + b"]" * 30_000 + b"}\n"


@pytest.mark.parametrize(
    "sent", [b"\n", b"[1, 2]\n", b"\xff\xfe\n", b'{"ask":"\xff"}\n', b"{" * 60_000 + b"\n", NESTED, b""]
)
def test_what_is_no_request_is_answered_and_harms_nothing(tmp_path: Path, sent: bytes) -> None:
    path = tmp_path / "control.sock"
    with listening(path, echo):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(path))
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1000) == b'{"error":"asked for nothing that could be understood"}\n'
        assert ask(path, {}) == {"heard": {}}


def test_a_request_without_an_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with listening(path, echo):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(path))
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                client.sendall(b"x" * 50_000_000)
        assert ask(path, {}) == {"heard": {}}


def test_who_goes_away_without_waiting_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with listening(path, echo):
        for _ in range(5):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(str(path))
                client.sendall(b'{"ask": "x"}\n')
        assert ask(path, {}) == {"heard": {}}


def test_a_hundred_clients_at_once_are_all_answered(tmp_path: Path) -> None:
    path, together = tmp_path / "control.sock", threading.Barrier(100)

    def wait_and_ask(number: int) -> dict[str, Any]:
        together.wait()
        return ask(path, {"ask": number})

    with listening(path, echo), ThreadPoolExecutor(100) as clients:
        assert list(clients.map(wait_and_ask, range(100))) == [{"heard": {"ask": number}} for number in range(100)]


def test_who_has_asked_is_answered_though_it_ends(tmp_path: Path) -> None:
    path, asked, answered = tmp_path / "control.sock", threading.Event(), threading.Event()

    def slow(request: dict[str, Any], who: str) -> dict[str, Any]:
        asked.set()
        time.sleep(0.1)
        answered.set()
        return {"last": "words"}

    with ThreadPoolExecutor(1) as client:
        with listening(path, slow):
            reply = client.submit(ask, path, {})
            asked.wait()
        # The process may end at once now.
        assert answered.is_set()
        assert reply.result() == {"last": "words"}


def test_who_has_asked_is_answered_though_its_thread_had_no_turn_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, begun, turn = tmp_path / "control.sock", threading.Event(), threading.Event()
    answer = control._Server.process_request_thread

    def late(server: Any, *request: Any) -> None:
        begun.set()
        turn.wait()
        answer(server, *request)

    monkeypatch.setattr(control._Server, "process_request_thread", late)
    with ThreadPoolExecutor(1) as client:
        with listening(path, echo):
            reply = client.submit(ask, path, {})
            begun.wait()
            threading.Timer(1.0, turn.set).start()
        # The process may end at once now.
        assert turn.is_set()
        assert reply.result() == {"heard": {}}


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[socket.socket]:
    """Give a socket whose service has not heard those yet who have connected, as many as it lets wait."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, ExitStack() as opened:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen(1)
        with suppress(BlockingIOError):
            while True:
                waiting = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                waiting.setblocking(False)
                waiting.connect(listener.getsockname())
        yield listener


def test_where_no_more_may_wait_it_is_tried_again(busy: socket.socket) -> None:
    with ThreadPoolExecutor(1) as client:
        reply = client.submit(ask, Path(busy.getsockname()), {"ask": "x"}, 30.0)
        time.sleep(0.2)
        assert not reply.done()
        busy.settimeout(0.2)
        while not reply.done():
            with suppress(TimeoutError):
                connection, _ = busy.accept()
                with connection:
                    connection.settimeout(0.2)
                    if connection.recv(1000):
                        connection.sendall(b'{"heard": 1}\n')
        assert reply.result() == {"heard": 1}


def test_a_service_that_hears_nobody_is_said_so_when_time_is_up(busy: socket.socket) -> None:
    with pytest.raises(ServiceUnavailable, match=r"gave no answer within 0\.3 s"):
        ask(Path(busy.getsockname()), {"ask": "x"}, 0.3)


def test_who_asks_waits_longer_than_the_service_takes_to_say_that_it_is_busy() -> None:
    assert inspect.signature(ask).parameters["timeout_s"].default > ANSWER_TIMEOUT_S


def test_two_services_do_not_share_a_socket_and_a_dead_one_leaves_it(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with listening(path, echo):
        with (
            pytest.raises(ServiceUnavailable, match=r"another wbc-edge listens there\. Stop it first"),
            listening(path, echo),
        ):
            pass
        assert ask(path, {}) == {"heard": {}}
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(path))
    dead.close()
    with listening(path, echo):
        assert ask(path, {}) == {"heard": {}}


@pytest.mark.parametrize("what", ["file", "link to a file", "folder"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, what: str) -> None:
    path = tmp_path / "precious"
    kept = path if what == "file" else tmp_path / "elsewhere"
    kept.write_text("kept")
    if what == "link to a file":
        path.symlink_to(kept)
    elif what == "folder":
        path.mkdir()
    with pytest.raises(ServiceUnavailable, match="is no socket"), listening(path, echo):
        pass
    assert kept.read_text() == "kept"
    assert path.exists()


def test_no_service_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="does not run"):
        ask(tmp_path / "control.sock", {"ask": "status"})


def test_a_name_that_no_socket_can_have_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="at most 107 bytes"):
        ask(tmp_path / ("x" * 108), {"do": "status"})


def test_where_the_socket_is() -> None:
    assert location({"WBC_EDGE_SOCKET": "/here"}) == Path("/here")
    assert location({"RUNTIME_DIRECTORY": "/run/wbc-edge:/run/other"}) == Path("/run/wbc-edge/control.sock")
    assert location({"XDG_RUNTIME_DIR": "/run/user/1000"}) == Path("/run/user/1000/wbc-edge.sock")
