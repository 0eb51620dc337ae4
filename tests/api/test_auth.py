"""Keys, roles and rates over HTTP and a real Redis: what a key may, what is kept of it, and when it ends."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from metarl_rec.errors import ConfigError
from service.auth import new_key
from service.main import ROUTERS
from service.roles import NEEDS, ROLES
from service.settings import load_settings
from service.store.key_store import KeyRecord
from tests.api.keys import ADMIN, Clock, bearer, everything_in_redis, made, status
from tests.fault.test_redis_away import frozen
from tests.running_service import Running, running
from tests.service_process import reason, start_and_fail

pytestmark = pytest.mark.anyio

PUBLIC = "0.0.0.0"  # noqa: S104 - nothing binds it here
ROUTES = [
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
OPEN = {("GET", "/livez"), ("GET", "/readyz")}
OPERATOR = {("GET", "/metrics"), ("POST", "/v1/tenants"), ("GET", "/v1/tenants"), ("DELETE", "/v1/tenants/{name}")}
ADMINS = {("POST", "/v1/api-keys"), ("GET", "/v1/api-keys"), ("DELETE", "/v1/api-keys/{key_id}")}


@pytest.fixture(scope="module")
async def shared(
    checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[tuple[Running, dict[str, str]]]:
    """One guarded application with a key of every role in its own tenant, and of an admin in another."""
    directory = tmp_path_factory.mktemp("auth") / "service"
    async with running(checkpoint_dir, directory, auth="required", admin_key=ADMIN) as app:
        keys = {role: (await made(app, role))["key"] for role in ROLES}
        assert (await app.client.post("/v1/tenants", json={"name": "shop"}, headers=bearer(ADMIN))).status_code == 201
        keys["other admin"] = (await made(app, "admin", tenant="shop"))["key"]
        yield app, keys


def test_every_route_of_the_service_has_a_role_and_no_other() -> None:
    assert sorted(NEEDS) == sorted(ROUTES)
    assert {key for key, need in NEEDS.items() if need is None} == OPEN
    assert {key for key, need in NEEDS.items() if need is not None and need.operator} == OPERATOR
    assert {key for key, need in NEEDS.items() if need is not None and need.role == "admin"} == ADMINS | OPERATOR - {
        ("GET", "/metrics")
    }
    writers = {key for key, need in NEEDS.items() if need is not None and need.role == "writer"}
    assert writers == {
        key
        for key in ROUTES
        if key[0] != "GET" and not key[1].startswith(("/v1/recommendations", "/v1/api-keys", "/v1/tenants"))
    }


async def test_route_without_a_role_cannot_be_made() -> None:
    from service.routes.guard import GuardedRoute

    async def answer() -> None: ...

    with pytest.raises(LookupError, match=r"GET /v1/nobody-thought-of-this has no role: say in service/roles.py"):
        GuardedRoute("/v1/nobody-thought-of-this", answer, methods=["GET"])


async def test_every_route_that_the_application_has_is_guarded_or_the_documentation(
    shared: tuple[Running, dict[str, str]],
) -> None:
    app, _ = shared
    document = (await app.client.get("/openapi.json")).json()
    assert {(method.upper(), path) for path, calls in document["paths"].items() for method in calls} == set(NEEDS)
    bare = [route.path for route in app.app._app.routes if hasattr(route, "path") and (route.path != "")]
    assert set(bare) - {path for _, path in NEEDS} <= {"/openapi.json", "/docs", "/docs/{name}"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_refuses_who_has_no_key_or_too_little_role(
    shared: tuple[Running, dict[str, str]], method: str, path: str
) -> None:
    app, keys = shared
    url, need = re.sub(r"{[^}]*}", "x", path), NEEDS[method, path]
    if need is None:
        assert (await app.client.request(method, url)).status_code == 200
        return
    foreign = new_key()[0]
    half = keys["admin"][:-1] + ("A" if keys["admin"][-1] != "A" else "B")
    bodies = set()
    for headers in (
        {},
        bearer("nonsense"),
        bearer(foreign),
        bearer(half),
        bearer(keys["admin"] + "x"),
        {"X-API-Key": ADMIN[:-1]},
        {"X-API-Key": "ä" * 10_000},
        {"Authorization": f"Basic {keys['admin']}"},
        {"Authorization": "Bearer "},
    ):
        response = await app.client.request(method, url, headers={n: v.encode() for n, v in headers.items()})
        body = response.json()
        assert (response.status_code, body.pop("request_id")) == (401, response.headers["x-request-id"])
        assert response.headers["www-authenticate"] == 'Bearer realm="metarl-rec"'
        bodies.add(tuple(sorted(body.items())))
    assert len(bodies) == 1
    for name, key in keys.items():
        role = name.removeprefix("other ")
        enough = ROLES.index(role) >= ROLES.index(need.role) and not (need.operator and name != role)
        response = await app.client.request(method, url, headers={"X-API-Key": key})
        assert (response.status_code == 403) != enough, (name, response.status_code)
        assert response.status_code not in (401, 500)


async def test_public_metrics_need_no_key_and_say_nothing_of_others(checkpoint_dir: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"auth": "required", "admin_key": ADMIN, "metrics_public": True}
    async with running(checkpoint_dir, tmp_path / "service", **given) as app:
        assert (await app.client.get("/metrics")).status_code == 200
        assert (await app.client.get("/version")).status_code == 401


async def test_keys_are_told_once_and_kept_as_hashes(guarded: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    created = await made(guarded, "writer", rate_per_s=5, burst=7)
    listed = (await guarded.client.get("/v1/api-keys", headers=bearer(ADMIN))).json()
    assert listed == {"keys": [{name: value for name, value in created.items() if name != "key"}]}
    assert await status(guarded, created["key"]) == 200
    secret = created["key"].removeprefix(f"mrk_{created['key_id']}_")
    assert len(secret) == 43
    held = await everything_in_redis(guarded)
    assert created["key_id"].encode() in held
    digest = (await guarded.administration.keys.key(created["key_id"])).secret_hash  # type: ignore[union-attr]
    assert digest.encode() in held
    for told in (secret, created["key"], ADMIN):
        assert told.encode() not in held
    text = "\n".join(str(vars(record)) for record in caplog.records)
    assert created["key_id"] in text
    for told in (secret, ADMIN, digest):
        assert told not in text


async def test_key_is_revoked_at_once_here_and_within_the_cache_time_elsewhere(
    guarded: Running, checkpoint_dir: Path, tmp_path: Path
) -> None:
    url, clock = f"unix://{tmp_path}/service/redis/redis.sock", Clock()
    given: dict[str, Any] = {"redis_url": url, "auth": "required", "admin_key": ADMIN, "clock": clock}
    async with running(checkpoint_dir, tmp_path / "second", **given) as second:
        created = await made(guarded, "reader")
        assert [await status(app, created["key"]) for app in (guarded, second)] == [200, 200]
        revoke = f"/v1/api-keys/{created['key_id']}"
        assert (await guarded.client.delete(revoke, headers=bearer(ADMIN))).status_code == 204
        assert [await status(app, created["key"]) for app in (guarded, second)] == [401, 200]
        clock.now += guarded.engine.settings.key_cache_s - 0.001
        assert await status(second, created["key"]) == 200
        clock.now += 0.001
        assert await status(second, created["key"]) == 401
        again = await guarded.client.delete(revoke, headers=bearer(ADMIN))
        assert (again.status_code, again.json()["code"]) == (404, "unknown_key")
    assert created["key_id"].encode() not in await everything_in_redis(guarded)


async def test_expired_key_is_refused_and_a_time_that_is_over_cannot_be_given(guarded: Running) -> None:
    key, key_id, secret_hash = new_key()
    record = KeyRecord(
        key_id=key_id, secret_hash=secret_hash, role="reader", tenant="default", namespace="default", name="old",
        created_at=1, expires_at=2,
    )  # fmt: skip
    await guarded.administration.keys.add(record, "default")
    assert await status(guarded, key) == 401
    coming = await made(guarded, "reader", expires_at="2999-01-01T00:00:00Z")
    assert coming["expires_at"] == "2999-01-01T00:00:00+00:00"
    assert await status(guarded, coming["key"]) == 200
    for bad in ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00", "soon"):
        body = {"name": "x", "role": "reader", "expires_at": bad}
        response = await guarded.client.post("/v1/api-keys", json=body, headers=bearer(ADMIN))
        assert (response.status_code, response.json()["detail"].split(":")[0]) == (422, "expires_at")


async def test_keys_are_listed_page_by_page_each_once(guarded: Running) -> None:
    ids = [(await made(guarded, "reader"))["key_id"] for _ in range(5)]
    found: list[str] = []
    parameters: dict[str, Any] = {"limit": 2}
    for _ in range(3):
        page = (await guarded.client.get("/v1/api-keys", params=parameters, headers=bearer(ADMIN))).json()
        found += [key["key_id"] for key in page["keys"]]
        parameters["cursor"] = page.get("cursor")
    assert parameters["cursor"] is None
    assert sorted(found) == sorted(ids)
    refused = await guarded.client.get("/v1/api-keys?cursor=x", headers=bearer(ADMIN))
    assert (refused.status_code, refused.json()["detail"][:7]) == (422, "cursor:")


async def test_known_keys_work_while_redis_is_frozen_and_unknown_ones_cannot_be_checked(
    checkpoint_dir: Path, tmp_path: Path
) -> None:
    clock = Clock()
    given: dict[str, Any] = {
        "auth": "required", "admin_key": ADMIN, "clock": clock, "redis_timeout_s": 0.1, "breaker_failures": 1,
        "breaker_open_s": 60.0, "key_stale_s": 100.0,
    }  # fmt: skip
    async with running(checkpoint_dir, tmp_path / "service", **given) as app:
        known, unseen = (await made(app, "reader"))["key"], (await made(app, "reader"))["key"]
        assert await status(app, known) == 200
        body, url = {"user_id": "ada"}, "/v1/recommendations"
        pid = int((tmp_path / "service" / "redis" / "redis.pid").read_text())
        with frozen(pid):
            clock.now += 60
            for _ in range(2):
                answer = await app.client.post(url, json=body, headers=bearer(known))
                assert (answer.status_code, answer.json()["degraded"]) == (200, "redis")
            for key, code in ((unseen, 503), (ADMIN, 200), ("nonsense", 401)):
                assert (await app.client.post(url, json=body, headers=bearer(key))).status_code == code
            clock.now += 41
            refused = await app.client.post(url, json=body, headers=bearer(known))
            assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
            assert (await app.client.get("/livez")).status_code == 200


async def test_known_key_is_looked_up_once_however_often_it_is_used(guarded: Running) -> None:
    key = (await made(guarded, "reader"))["key"]
    for _ in range(5):
        assert await status(guarded, key) == 200
    count = "metarl_redis_command_duration_seconds_count"
    assert guarded.metric(count, op="key") == 1
    foreign = new_key()[0]
    for _ in range(5):
        assert await status(guarded, foreign) == 401
    assert guarded.metric(count, op="key") == 2
    assert guarded.metric("metarl_rejected_total", reason="unauthorized") == 5


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "", "role": "reader"},
        {"name": "x", "role": "root"},
        {"name": "x", "role": "reader", "tenant": "Shop"},
        {"name": "x", "role": "reader", "rate_per_s": 0},
        {"name": "x", "role": "reader", "rate_per_s": 1e400},
        {"name": "x", "role": "reader", "burst": 5},
        {"name": "x", "role": "reader", "key": "mine"},
    ],
)
async def test_malformed_key_is_a_422(shared: tuple[Running, dict[str, str]], body: dict[str, Any]) -> None:
    app, _ = shared
    content = str(body).replace("'", '"').replace("inf", "1e400")
    response = await app.client.post("/v1/api-keys", content=content, headers=bearer(ADMIN))
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


async def test_without_auth_a_call_needs_no_key_but_one_of_ours_counts(app: Running) -> None:
    created = await app.client.post("/v1/api-keys", json={"name": "x", "role": "reader"})
    key = created.json()["key"]
    assert (await app.client.get("/v1/items", headers=bearer("something of a proxy"))).status_code == 200
    assert (await app.client.get("/v1/items", headers=bearer(key))).status_code == 200
    assert (await app.client.delete("/v1/users/ada", headers=bearer(key))).status_code == 403
    assert (await app.client.get("/v1/items", headers=bearer(new_key()[0]))).status_code == 401
    assert (await app.client.delete("/v1/users/ada")).status_code == 204


async def test_openapi_document_tells_of_keys_on_every_route_that_needs_one(
    shared: tuple[Running, dict[str, str]],
) -> None:
    app, _ = shared
    document = (await app.client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for (method, path), need in NEEDS.items():
        operation = document["paths"][path][method.lower()]
        assert operation["security"] == ([{"bearer": []}, {"header": []}] if need is not None else [])
        assert ({"401", "403", "429"} <= set(operation["responses"])) == (need is not None)


async def test_on_loopback_no_key_is_needed_and_elsewhere_one_is(checkpoint_dir: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"checkpoint_dir": checkpoint_dir, "data_dir": tmp_path}
    hosts = {"127.0.0.1": False, "::1": False, "localhost": False, PUBLIC: True, "192.168.1.5": True, "shop": True}
    hosts |= {"127.9.9.9": False, "::": True, "::ffff:127.0.0.1": True, "": True}
    assert {host: load_settings(host=host, **given).auth_required for host in hosts} == hosts
    for host in (PUBLIC, "::", "", "shop"):
        with pytest.raises(ConfigError, match="METARL_AUTH=off is for loopback addresses alone"):
            load_settings(host=host, auth="off", **given)
    with pytest.raises(ConfigError, match="METARL_ADMIN_KEY"):
        load_settings(admin_key="short", **given)
    assert ADMIN not in repr(load_settings(admin_key=ADMIN, **given))


def test_service_on_a_public_address_without_auth_does_not_start_and_says_what_to_do(
    checkpoint_dir: Path, tmp_path: Path
) -> None:
    code, stderr = start_and_fail(checkpoint_dir, tmp_path / "service", host=PUBLIC, auth="off")
    assert code == 1
    assert "set METARL_ADMIN_KEY and make keys with it, or bind 127.0.0.1" in reason(stderr)


async def test_service_that_asks_for_keys_and_has_no_first_one_says_so(
    checkpoint_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(checkpoint_dir, tmp_path / "service", auth="required") as app:
        assert (await app.client.get("/v1/items")).status_code == 401
        assert (await app.client.get("/v1/items", headers=bearer(""))).status_code == 401
    assert "METARL_ADMIN_KEY is not set" in caplog.text
