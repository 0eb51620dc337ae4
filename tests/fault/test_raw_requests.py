"""Requests that no HTTP library would send, byte by byte to the real server: refused, and the next caller is served."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.corpus import BODY_ROUTES
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


def resident_bytes(pid: int) -> int:
    """Returns how much memory a process has in use."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def poured(port: int, head: bytes, piece: bytes, pieces: int) -> None:
    """Sends a head and as many pieces as the server takes, and reads what it says."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        # A server that has refused closes the connection, whatever is still on its way.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head)
            for _ in range(pieces):
                connection.sendall(piece)
        with contextlib.suppress(ConnectionResetError):
            answer = connection.recv(65536)
            assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 415 ", b"HTTP/1.1 400 "))
            assert len(answer) < 2048


def test_floods_on_every_route_are_refused_and_leave_the_memory_as_it_was(service: ServiceProcess) -> None:
    megabyte = b"x" * 1_000_000
    chunk = b"F4240\r\n" + megabyte + b"\r\n"
    bomb = gzip.compress(bytes(10_000_000))

    def flood() -> None:
        for method, path in BODY_ROUTES:
            head = f"{method} {path.format(user_id='u', item_id='i', recommendation_id='r')} HTTP/1.1\r\nHost: a\r\n"
            size = 10 if path != "/v1/items/bulk" else 70
            poured(service.port, f"{head}Content-Length: {size}000000\r\n\r\n".encode(), megabyte, size)
            poured(service.port, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), chunk, size)
            zipped = f"{head}Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
            poured(service.port, zipped.encode(), bomb, 1)

    flood()
    before = resident_bytes(service.pid)
    for _ in range(3):
        flood()
    assert resident_bytes(service.pid) - before < 1_000_000
    assert 'code="500"' not in service.client.get("/metrics").text


def test_log_is_one_json_object_a_line_whatever_is_asked(service: ServiceProcess) -> None:
    for user in ("*", "{a}", "x\r\nFLUSHALL\r\n", "\U0001f600", "\u2028", '"', "%s%n", "\\", "{request_id}"):
        service.recommend(user)
        service.client.get("/v1/users/" + "".join(f"%{byte:02X}" for byte in user.encode()))
        service.client.get("/livez", headers={"x-request-id": f"({user})".encode().replace(b"\r\n", b"")})
    lines = service.log.splitlines()
    assert len(lines) > 20
    for line in lines:
        assert set(json.loads(line)) >= {"time", "level", "logger", "event"}
    assert "FLUSHALL" not in service.log
