"""`metarl-rec keys` and `metarl-rec tenants` against a real service that asks for keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli import app
from tests.service_process import ServiceProcess

ADMIN = "f" * 48


@pytest.fixture(scope="module")
def service(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    directory = tmp_path_factory.mktemp("verbs") / "service"
    patient = {"redis_timeout_s": 5.0, "redis_connect_timeout_s": 5.0}
    with ServiceProcess(checkpoint_dir, directory, auth="required", admin_key=ADMIN, **patient) as process:
        yield process


def call(service: ServiceProcess, *arguments: str, key: str = ADMIN) -> Result:
    environment = {"METARL_URL": f"http://127.0.0.1:{service.port}", "METARL_API_KEY": key, "COLUMNS": "200"}
    return CliRunner().invoke(app, list(arguments), env=environment)


def test_key_is_made_used_listed_and_revoked(service: ServiceProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    # A narrow terminal: the id is there to be copied.
    monkeypatch.setenv("COLUMNS", "60")
    made = call(service, "keys", "create", "web shop", "--role", "reader", "--rate", "50", "--burst", "9")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert key.startswith("mrk_")
    assert "shown this once" in made.stderr
    key_id = key.split("_")[1]
    listed = json.loads(call(service, "keys", "list", "--json").stdout)
    assert [(k["key_id"], k["name"], k["rate_per_s"], k["burst"]) for k in listed] == [(key_id, "web shop", 50, 9)]
    table = call(service, "keys", "list").stdout
    assert key_id in table
    assert "expires_at" not in table
    assert key.removeprefix(f"mrk_{key_id}_") not in table
    assert call(service, "items", "get", "item1", key=key).exit_code == 0
    refused = call(service, "items", "delete", "item1", key=key)
    assert (refused.exit_code, "forbidden" in refused.stderr) == (1, True)
    assert call(service, "keys", "revoke", key_id).exit_code == 0
    gone = call(service, "items", "get", "item1", key=key)
    assert (gone.exit_code, "set METARL_API_KEY" in gone.stderr) == (1, True)
    again = call(service, "keys", "revoke", key_id)
    assert (again.exit_code, "unknown_key" in again.stderr) == (1, True)


def test_tenant_is_made_and_deleted_after_a_question(service: ServiceProcess) -> None:
    made = call(service, "tenants", "create", "shop-2", "--empty")
    assert (made.exit_code, made.stdout) == (0, "shop-2: active\n")
    taken = call(service, "tenants", "create", "shop-2")
    assert (taken.exit_code, "conflict" in taken.stderr) == (1, True)
    key = call(service, "keys", "create", "x", "--role", "writer", "--tenant", "shop-2").stdout.strip()
    assert call(service, "items", "get", "item1", key=key).exit_code == 1
    assert call(service, "items", "put", "own", key=key).exit_code == 0
    assert call(service, "tenants", "delete", "shop-2").exit_code == 1
    names = [tenant["name"] for tenant in json.loads(call(service, "tenants", "list", "--json").stdout)]
    assert names == ["default", "shop-2"]
    assert call(service, "tenants", "delete", "shop-2", "--yes").stdout == "shop-2: deleting\n"
    assert call(service, "items", "get", "own", key=key).exit_code == 1
    table = call(service, "tenants", "list").stdout
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [["default", "active"], ["shop-2", "deleting"]]


def test_keys_are_in_no_log_of_the_service(service: ServiceProcess) -> None:
    key = call(service, "keys", "create", "x", "--role", "reader").stdout.strip()
    assert service.client.get("/v1/items", headers={"X-API-Key": key}).status_code == 200
    assert service.client.get("/v1/items", headers={"X-API-Key": key + "x"}).status_code == 401
    _, key_id, secret = key.split("_", 2)
    assert key_id in service.log
    for told in (ADMIN, secret):
        assert told not in service.log
