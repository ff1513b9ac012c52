"""The control socket answers whoever may use it, whatever is sent."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from edge.daemon.control import ask, listening, location
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


@pytest.mark.parametrize("sent", [b"\n", b"[1, 2]\n", b"\xff\xfe\n", b"{" * 60_000 + b"\n", b""])
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


def test_where_the_socket_is() -> None:
    assert location({"WBC_EDGE_SOCKET": "/here"}) == Path("/here")
    assert location({"RUNTIME_DIRECTORY": "/run/wbc-edge:/run/other"}) == Path("/run/wbc-edge/control.sock")
    assert location({"XDG_RUNTIME_DIR": "/run/user/1000"}) == Path("/run/user/1000/wbc-edge.sock")
