"""The containers' files: what the compose file promises, and a redis.conf that the real server takes."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from service.embedded_redis import server_binary

DOCKER = Path(__file__).resolve().parents[2] / "docker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return document


def instructions(name: str) -> list[str]:
    """Returns a Dockerfile's instructions, continuation lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", (DOCKER / name).read_text(), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def final_stage(name: str) -> list[str]:
    lines = instructions(name)
    starts = [i for i, line in enumerate(lines) if line.startswith("FROM ")]
    assert len(starts) == 2
    return lines[starts[-1] :]


def test_compose_publishes_service_and_prometheus_on_loopback_alone(compose: dict[str, Any]) -> None:
    ports = {name: service.get("ports", []) for name, service in compose["services"].items()}
    assert ports == {"service": ["127.0.0.1:8000:8000"], "redis": [], "prometheus": ["127.0.0.1:9090:9090"]}
    assert all(service.get("network_mode") != "host" for service in compose["services"].values())


def test_compose_services_restart_are_checked_and_limited(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
    assert compose["services"]["service"]["depends_on"]["redis"]["condition"] == "service_healthy"


def test_compose_named_volumes_are_all_declared_and_used(compose: dict[str, Any]) -> None:
    used = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service["volumes"]
        if isinstance(volume, str) and not volume.startswith(".")
    }
    assert used == set(compose["volumes"])
    assert "redis-data:/data" in compose["services"]["redis"]["volumes"]


def test_compose_mounted_and_built_files_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service["volumes"]:
            if isinstance(volume, str) and volume.startswith("."):
                assert (DOCKER / volume.split(":")[0]).is_file(), volume
    build = compose["services"]["service"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).resolve() == DOCKER / "Dockerfile"


def test_compose_service_reaches_redis_by_name_on_a_shared_network(compose: dict[str, Any]) -> None:
    service, store = compose["services"]["service"], compose["services"]["redis"]
    assert service["environment"]["METARL_REDIS_URL"] == "redis://redis:6379/0"
    assert set(service["networks"]) & set(store["networks"]) == {"data"}
    assert compose["networks"]["data"]["internal"] is True


def test_prometheus_scrape_target_is_the_compose_service_and_its_port(compose: dict[str, Any]) -> None:
    document = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    (job,) = document["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["service:8000"]}]
    assert job["metrics_path"] == "/metrics"
    entrypoint = next(line for line in final_stage("Dockerfile") if line.startswith("ENTRYPOINT"))
    assert '"--port", "8000"' in entrypoint
    assert set(compose["services"]["prometheus"]["networks"]) & set(compose["services"]["service"]["networks"])


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.trainer"])
def test_dockerfile_final_stage_runs_as_a_numeric_user_other_than_root(name: str) -> None:
    users = [line.split()[1] for line in final_stage(name) if line.startswith("USER ")]
    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0])


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.trainer"])
def test_dockerfile_base_images_are_pinned_to_a_patch_release(name: str) -> None:
    images = [line.split()[1] for line in instructions(name) if line.startswith("FROM ")]
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", images[0])


def test_serving_dockerfile_installs_no_extra() -> None:
    installs = [line for line in instructions("Dockerfile") if "pip install" in line]
    assert len(installs) == 1
    assert re.search(r"pip install --no-cache-dir \.(\s|$)", installs[0])
    assert "[" not in installs[0]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.trainer"])
def test_dockerignore_lets_in_all_that_the_dockerfile_copies(name: str) -> None:
    ignore = (DOCKER / f"{name}.dockerignore").read_text().splitlines()
    allowed = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = {
        source
        for line in instructions(name)
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    bound = {source for line in instructions(name) for source in re.findall(r"--mount=type=bind,source=([^,]+)", line)}
    assert "*" in ignore
    assert copied | bound == allowed
    assert all((DOCKER.parent / path).exists() for path in allowed)


def test_redis_conf_is_taken_by_the_server_and_syncs_every_write(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Options on the command line override the file: the tests listen on loopback alone.
    server = subprocess.Popen(
        [server_binary(), DOCKER / "redis.conf", "--bind", "127.0.0.1", "--port", str(port), "--dir", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        with redis.Redis(port=port, socket_timeout=5) as client:
            deadline = time.monotonic() + 20
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    assert server.poll() is None, server.stdout.read().decode() if server.stdout else ""
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            read = {name: client.config_get(name)[name] for name in ("appendonly", "appendfsync", "maxmemory-policy")}
            assert read == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
            assert client.config_get("save")["save"] == ""
            assert int(client.config_get("maxmemory")["maxmemory"]) > 0
            client.set("key", "value")
            assert b"value" in (tmp_path / "appendonly.aof").read_bytes()
    finally:
        server.terminate()
        server.communicate(timeout=20)
