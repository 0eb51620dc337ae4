"""Redis frozen, gone or holding damaged bytes: recommendations go on, feedback says no, and it mends by itself."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from service.embedded_redis import server_binary
from service.store.keys import UserKeys
from tests.service_process import ServiceProcess


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stops a process for the length of a block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def check_degraded(service: ServiceProcess) -> None:
    """Recommendations are the meta-policy's and say so; feedback and users are refused with a time to come back."""
    answer = service.recommend("ada", k=5)
    assert answer.status_code == 200
    assert answer.headers["x-policy"] == "meta"
    body = answer.json()
    assert (body["degraded"], body["ope_eligible"], body["user"]["status"]) == ("redis", False, "cold")
    assert len(body["items"]) == 5
    for refused in (
        service.feedback("lost?", "ada", "item9"),
        service.client.put("/v1/users/ada", json={"attributes": {}}),
        service.client.delete("/v1/users/ada"),
        service.client.put("/v1/items/new", json={}),
        service.client.get("/v1/users/ada"),
    ):
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) >= 1
    assert service.client.get("/livez").status_code == 200
    ready = service.client.get("/readyz")
    assert (ready.status_code, ready.json()["degraded"]) == (200, True)


def test_frozen_redis_degrades_and_recovers_without_a_restart(checkpoint_dir: Path, tmp_path: Path) -> None:
    with ServiceProcess(checkpoint_dir, tmp_path / "service", redis_timeout_s=0.1) as service:
        assert service.feedback("e1", "ada", "item1").status_code == 200
        pid = service.pid
        with frozen(service.redis_pid):
            for _ in range(3):
                check_degraded(service)
            assert service.metric("metarl_breaker_open") == 1
            assert service.metric('metarl_degraded_total{reason="redis"}') == 3
            assert service.metric('metarl_redis_errors_total{kind="timeout",op="read"}') >= 1
            assert service.metric('metarl_redis_errors_total{kind="breaker",op="read"}') >= 1
        service.wait_until(lambda: service.feedback("e2", "ada", "item2").status_code == 200)
        # What was refused while Redis was frozen may or may not have reached it; repeated, it counts once.
        assert service.feedback("lost?", "ada", "item9").status_code == 200
        assert service.transitions("ada") == 3
        assert service.metric("metarl_breaker_open") == 0
        answer = service.recommend("ada")
        assert (answer.headers["x-policy"], answer.json()["user"]["status"]) == ("personal", "adapted")
        assert service.pid == pid


def test_service_starts_without_its_redis_and_finds_it_later(checkpoint_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    address = tmp_path / "redis" / "r.sock"
    with ServiceProcess(checkpoint_dir, tmp_path / "service", redis_url=f"unix://{address}") as service:
        check_degraded(service)
        command = [str(server_binary()), "--port", "0", "--unixsocket", str(address), "--dir", str(address.parent)]
        redis = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
        try:
            service.wait_until(lambda: service.feedback("e1", "ada", "item1").status_code == 200)
            assert service.recommend("ada").json()["user"]["status"] == "adapted"
        finally:
            redis.kill()
            redis.wait()
        check_degraded(service)


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:], "checksum"),
        (lambda data: data[:20], "truncated"),
        (lambda data: data[:-3], "checksum"),
        (lambda data: b"\x80\x04" + data[2:], "foreign"),
        (lambda data: data[:2] + b"\x09" + data[3:], "codec"),
    ],
)
def test_damaged_user_state_is_counted_and_answers(
    shared: ServiceProcess, tmp_path: Path, damage: Callable[[bytes], bytes], cause: str
) -> None:
    service, user = shared, tmp_path.name
    for i in range(3):
        assert service.feedback(f"e{i}", user, f"item{i}").status_code == 200
    sample = f'metarl_state_resets_total{{cause="{cause}"}}'
    before = service.metric(sample)
    with Redis(unix_socket_path=str(service.socket)) as client:
        key = UserKeys.of("default", user).state
        client.set(key, damage(client.get(key)))
    answer = service.recommend(user)
    assert answer.status_code == 200
    assert answer.headers["x-policy"] == "meta"
    assert answer.json()["user"]["status"] == "cold"
    assert answer.json()["degraded"] == "state"
    assert service.metric(sample) > before
    assert service.feedback("again", user, "item5").status_code == 200
    assert service.transitions(user) >= 1
    assert service.recommend(user).headers["x-policy"] == "personal"


def test_redis_that_is_full_or_read_only_refuses_feedback_and_serves(shared: ServiceProcess) -> None:
    service = shared
    assert service.feedback("e1", "full", "item1").status_code == 200
    with Redis(unix_socket_path=str(service.socket)) as client:
        client.config_set("maxmemory", "1")
        try:
            refused = service.feedback("e2", "full", "item2")
            assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
            assert service.recommend("full").status_code == 200
            assert service.metric('metarl_redis_errors_total{kind="oom",op="commit"}') >= 1
        finally:
            client.config_set("maxmemory", "0")
        service.wait_until(lambda: service.feedback("e2", "full", "item2").status_code == 200)
        client.script_flush()
        assert service.feedback("e3", "full", "item3").status_code == 200
        assert service.transitions("full") == 3


@pytest.fixture(scope="module")
def shared(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One service for the tests that leave it whole."""
    with ServiceProcess(checkpoint_dir, tmp_path_factory.mktemp("shared") / "service") as service:
        yield service
