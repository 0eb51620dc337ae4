"""Clients that send too slowly, too much or nonsense are closed; the others are served as ever. Real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service_process import ServiceProcess


@pytest.fixture(scope="module")
def shared(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One service for all tests; its patience is short, so that theirs may be, too."""
    given = {"header_timeout_s": 0.5, "body_timeout_s": 0.5}
    with ServiceProcess(checkpoint_dir, tmp_path_factory.mktemp("slow") / "service", **given) as service:
        yield service


def connect(service: ServiceProcess, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    connection.sendall(data)
    return connection


def answer_to(connection: socket.socket) -> bytes:
    """Returns everything until the service closes the connection; a service that never does ends in a time-out."""
    received = b""
    with connection:
        while chunk := connection.recv(65536):
            received += chunk
    return received


POST = b"POST /v1/recommendations HTTP/1.1\r\nHost: service\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"", b"408"),
        (b"GET /livez HT", b"408"),
        (b"GET /livez HTTP/1.1\r\nHost: service\r\nX-A", b"408"),
        (POST + b"Content-Length: 100\r\n\r\n{", b"408"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", b"408"),
        (b"GET /livez HTTP/1.1\r\nHost: service\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\nHost: service\r\nX-A: " + b"a" * 40_000, b"431"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: service\r\n\r\n", b"431"),
        (b"GET /livez HTTP/1.1\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n", b"431"),
        (POST + b"Content-Length: -5\r\n\r\n{}", b"400"),
        (POST + b"Content-Length: 1e3\r\n\r\n{}", b"400"),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}", b"400"),
        (POST + b"Content-Length: 99999999999999999\r\n\r\n{}", b"413"),
        (b"\x16\x03\x01\x02\x00 this is TLS", b"400"),
    ],
    ids=lambda value: repr(value[-24:]) if isinstance(value, bytes) and len(value) > 3 else None,
)
def test_connection_beyond_the_limits_is_answered_and_closed(
    shared: ServiceProcess, request_bytes: bytes, status: bytes
) -> None:
    answer = answer_to(connect(shared, request_bytes))
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:200]
    assert len(answer) < 1024


def test_chunked_body_beyond_the_limit_is_a_413(shared: ServiceProcess) -> None:
    connection = connect(shared, POST + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    try:
        for _ in range(40):
            connection.sendall(chunk)
    except OSError:
        pass  # It need not listen to the end.
    with connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_hundreds_of_idle_connections_leave_the_others_served(shared: ServiceProcess) -> None:
    idle = [connect(shared, b"GET /livez HTTP/1.1\r\nHo") for _ in range(150)]
    idle += [connect(shared, POST + b"Content-Length: 100\r\n\r\n{") for _ in range(150)]
    statuses = {shared.recommend("ada").status_code for _ in range(20)}
    assert statuses == {200}
    assert {answer_to(connection)[:12] for connection in idle} == {b"HTTP/1.1 408"}
    assert shared.metric("metarl_http_requests_in_flight") == 1
    assert shared.recommend("ada").status_code == 200


def test_connection_kept_alive_takes_one_request_after_another(shared: ServiceProcess) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: service\r\n\r\n"
    with connect(shared, request * 3) as connection:
        received = b""
        while received.count(b"ok\n") < 3:
            received += connection.recv(65536)
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
