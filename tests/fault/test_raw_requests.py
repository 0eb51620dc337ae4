"""Requests that no HTTP library would send, byte by byte to the real server: refused, and the next caller is served."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service_process import ServiceProcess

HEAD = b"POST /v1/feedback HTTP/1.1\r\nHost: a\r\n"
EVENT = b'{"event_id": "e", "user_id": "ada", "item_id": "item1", "type": "like"}'


@pytest.fixture(scope="module")
def service(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(checkpoint_dir, tmp_path_factory.mktemp("raw") / "service") as process:
        yield process


def first_line(port: int, data: bytes) -> bytes:
    """Returns the status line that answers these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        return connection.recv(65536).split(b"\r\n", 1)[0]


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (HEAD + b"Content-Length: 1\r\n\r\n" + EVENT, {b"400", b"422"}),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 71\r\n\r\n" + EVENT, {b"400"}),
        (HEAD + b"Content-Length: 71\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {b"400"}),
        (HEAD + b"Content-Length: -1\r\n\r\n" + EVENT, {b"400"}),
        (HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n" + EVENT, {b"400", b"413"}),
        (HEAD + b"Content-Length: 100000000\r\n\r\n", {b"413"}),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + EVENT, {b"400"}),
        (HEAD + b"X: " + b"a" * 40_000 + b"\r\n\r\n", {b"431"}),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", {b"400"}),
        (b"GET /livez HTTP/9.9\r\n\r\n", {b"400"}),
        (b"POST /v1/feed\x00back HTTP/1.1\r\nHost: a\r\n\r\n", {b"400", b"404"}),
    ],
)
def test_malformed_request_is_refused_and_teaches_nothing(
    service: ServiceProcess, data: bytes, statuses: set[bytes]
) -> None:
    line = first_line(service.port, data)
    assert line.startswith(b"HTTP/1.1 ")
    assert line.split()[1] in statuses
    assert service.client.get("/v1/users/ada").status_code == 404
    assert service.client.get("/livez").status_code == 200
    assert "Traceback" not in service.log


def test_client_that_leaves_in_the_middle_of_a_body_is_no_error_of_ours(service: ServiceProcess) -> None:
    sample = 'metarl_rejected_total{reason="body_incomplete"}'
    before = service.metric(sample)
    for method, path in ((b"POST", b"/v1/feedback"), (b"POST", b"/v1/recommendations"), (b"PUT", b"/v1/users/ada")):
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
            connection.sendall(method + b" " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 71\r\n\r\n" + EVENT[:9])
    service.wait_until(lambda: service.metric(sample) == before + 3)
    assert 'code="500"' not in service.client.get("/metrics").text
    assert "Traceback" not in service.log
