"""Keys, roles, rates and tenants, over HTTP and a real Redis: what a key may, and that nobody sees another's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from metarl_rec.errors import ConfigError
from service.auth import role_needed
from service.main import ROUTERS
from service.rate_limit import RateLimiter
from service.settings import load_settings
from tests.running_service import Running, running

pytestmark = pytest.mark.anyio

ADMIN = "a" * 40
PUBLIC = "0.0.0.0"  # noqa: S104 - nothing binds it here
ROUTES = [
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods)
]


@pytest.fixture
async def guarded(checkpoint_dir: Path, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Running]:
    async with running(checkpoint_dir, tmp_path / "service", auth="required", admin_key=ADMIN) as app:
        yield app


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def made(app: Running, role: str, **fields: Any) -> dict[str, Any]:
    body = {"name": f"the {role}", "role": role, **fields}
    response = await app.client.post("/v1/api-keys", json=body, headers=bearer(ADMIN))
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


def test_every_route_needs_the_role_that_is_written_here() -> None:
    needed = {(method, path): role_needed(method, re.sub(r"{[^}]*}", "x", path)) for method, path in ROUTES}
    admin = {key for key, role in needed.items() if role == "admin"}
    reader = {key for key, role in needed.items() if role == "reader"}
    assert admin == {key for key in needed if key[1].startswith(("/v1/api-keys", "/v1/tenants"))}
    assert reader == {
        *(key for key in needed if key[0] == "GET" and key not in admin and key[1] not in ("/livez", "/readyz")),
        *(key for key in needed if key[1].startswith("/v1/recommendations")),
    }
    assert {key for key, role in needed.items() if role is None} == {("GET", "/livez"), ("GET", "/readyz")}
    writer = {key for key, role in needed.items() if role == "writer"}
    assert {key[0] for key in writer} == {"POST", "PUT", "PATCH", "DELETE"}
    assert len(admin | reader | writer) + 2 == len(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_refuses_who_has_no_key_or_too_little_role(guarded: Running, method: str, path: str) -> None:
    url = re.sub(r"{[^}]*}", "x", path)
    needed = role_needed(method, url)
    if needed is None:
        assert (await guarded.client.request(method, url)).status_code == 200
        return
    for headers in ({}, bearer("nonsense"), bearer("mrk_0123456789abcdef_x"), {"X-API-Key": ADMIN[:-1]}):
        response = await guarded.client.request(method, url, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    for role in ("reader", "writer", "admin"):
        key = (await made(guarded, role))["key"]
        status = (await guarded.client.request(method, url, headers=bearer(key))).status_code
        enough = ("reader", "writer", "admin").index(role) >= ("reader", "writer", "admin").index(needed)
        assert (status == 403) != enough, (role, status)
        assert status not in (401, 500)


async def test_keys_are_told_once_and_kept_as_hashes(guarded: Running, caplog: pytest.LogCaptureFixture) -> None:
    created = await made(guarded, "writer", rate_per_s=5)
    listed = (await guarded.client.get("/v1/api-keys", headers=bearer(ADMIN))).json()["keys"]
    assert listed == [{name: value for name, value in created.items() if name != "key"}]
    secret = created["key"].split("_", 2)[2].encode()
    redis = guarded.engine.redis.client
    for name in await redis.keys("*"):
        kind = await redis.type(name)
        held = b"".join((await redis.hgetall(name)).values()) if kind == b"hash" else b""
        assert secret not in held
        assert ADMIN.encode() not in held
    assert created["key"] not in caplog.text
    assert ADMIN not in caplog.text


async def test_revoked_and_expired_keys_are_refused(guarded: Running) -> None:
    created = await made(guarded, "reader")
    assert (await guarded.client.get("/v1/items", headers=bearer(created["key"]))).status_code == 200
    url = f"/v1/api-keys/{created['key_id']}"
    assert (await guarded.client.delete(url, headers=bearer(ADMIN))).status_code == 204
    assert (await guarded.client.get("/v1/items", headers=bearer(created["key"]))).status_code == 401
    old = await made(guarded, "reader", expires_at="2020-01-01T00:00:00Z")
    assert (await guarded.client.get("/v1/items", headers=bearer(old["key"]))).status_code == 401


async def test_known_keys_work_without_redis_and_unknown_ones_cannot_be_checked(
    guarded: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unseen = await made(guarded, "reader"), await made(guarded, "reader")
    assert (await guarded.client.get("/v1/items", headers=bearer(known["key"]))).status_code == 200
    auth = guarded.app._app.state.auth
    later = auth._clock() + 60
    monkeypatch.setattr(auth, "_clock", lambda: later)
    for _ in range(guarded.engine.settings.breaker_failures):
        # An open breaker is what calls meet while Redis is away.
        guarded.engine.redis._breaker.failed()
    body = {"user_id": "ada"}
    response = await guarded.client.post("/v1/recommendations", json=body, headers=bearer(known["key"]))
    assert (response.status_code, response.json()["degraded"]) == (200, "redis")
    response = await guarded.client.post("/v1/recommendations", json=body, headers=bearer(unseen["key"]))
    assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
    assert (await guarded.client.get("/livez")).status_code == 200


async def test_calls_beyond_a_keys_rate_are_refused_until_tokens_are_back(guarded: Running) -> None:
    auth = guarded.app._app.state.auth
    now = [100.0]
    auth._limiter = RateLimiter(lambda: now[0])
    key = bearer((await made(guarded, "reader", rate_per_s=2))["key"])
    codes = [(await guarded.client.get("/v1/items?limit=1", headers=key)).status_code for _ in range(6)]
    assert codes == [200] * 4 + [429] * 2
    refused = await guarded.client.get("/v1/items?limit=1", headers=key)
    assert (refused.headers["retry-after"], refused.json()["code"]) == ("1", "rate_limited")
    now[0] += 0.6
    codes = [(await guarded.client.get("/v1/items?limit=1", headers=key)).status_code for _ in range(2)]
    assert codes == [200, 429]
    assert guarded.metric("metarl_rejected_total", reason="rate_limited") == 4


async def test_tenants_see_nothing_of_each_other(guarded: Running) -> None:
    for name, own in (("shop-1", True), ("shop-2", False)):
        body = {"name": name, "checkpoint_items": own}
        assert (await guarded.client.post("/v1/tenants", json=body, headers=bearer(ADMIN))).status_code == 201
    again = await guarded.client.post("/v1/tenants", json={"name": "shop-1"}, headers=bearer(ADMIN))
    assert again.status_code == 409
    one, two = [bearer((await made(guarded, "writer", tenant=name))["key"]) for name in ("shop-1", "shop-2")]
    client = guarded.client
    slate = (await client.post("/v1/recommendations", json={"user_id": "ada", "k": 3}, headers=one)).json()
    assert len(slate["items"]) == 3
    empty = (await client.post("/v1/recommendations", json={"user_id": "ada", "k": 3}, headers=two)).json()
    assert empty["items"] == []
    event = {"event_id": "e1", "item_id": slate["items"][0]["item_id"], "type": "like"}
    event |= {"recommendation_id": slate["recommendation_id"]}
    stolen = await client.post("/v1/feedback", json=event, headers=two)
    assert (stolen.status_code, stolen.json()["code"]) == (404, "unknown_impression")
    assert (await client.post("/v1/feedback", json=event, headers=one)).status_code == 200
    assert (await client.get("/v1/users/ada", headers=two)).status_code == 404
    assert (await client.get("/v1/users/ada", headers=bearer(ADMIN))).status_code == 404
    await client.put("/v1/items/mine", json={"attributes": {"genres": ["drama"]}}, headers=two)
    assert (await client.get("/v1/items/mine", headers=one)).status_code == 404
    own = (await client.post("/v1/recommendations", json={"user_id": "ada"}, headers=two)).json()
    assert [item["item_id"] for item in own["items"]] == ["mine"]
    like = {"event_id": "e1", "user_id": "ada", "item_id": "mine", "type": "like"}
    assert (await client.post("/v1/feedback", json=like, headers=two)).json()["users"][0]["status"] == "adapted"
    theirs = await client.post("/v1/api-keys", json={"name": "x", "role": "reader"}, headers=two)
    assert theirs.status_code == 403


async def test_deleted_tenant_leaves_nothing_and_its_keys_are_refused(guarded: Running) -> None:
    await guarded.client.post("/v1/tenants", json={"name": "shop-1"}, headers=bearer(ADMIN))
    admin = await made(guarded, "admin", tenant="shop-1")
    key = bearer(admin["key"])
    await guarded.client.post("/v1/recommendations", json={"user_id": "ada"}, headers=key)
    like = {"event_id": "e1", "user_id": "ada", "item_id": "item1", "type": "like"}
    assert (await guarded.client.post("/v1/feedback", json=like, headers=key)).status_code == 200
    assert (await guarded.client.get("/v1/tenants", headers=key)).status_code == 403
    redis = guarded.engine.redis.client
    assert await redis.keys("metarl:{shop-1*")
    for _ in range(2):
        response = await guarded.client.delete("/v1/tenants/shop-1", headers=bearer(ADMIN))
        assert response.status_code == 204
    assert await redis.keys("metarl:{shop-1*") == []
    assert (await guarded.client.get("/v1/items", headers=key)).status_code == 401
    assert (await guarded.client.get("/v1/tenants", headers=bearer(ADMIN))).json() == {"tenants": []}
    for name, status in (("default", 422), ("{*}", 422), ("never", 204)):
        assert (await guarded.client.delete(f"/v1/tenants/{name}", headers=bearer(ADMIN))).status_code == status
    missing = {"name": "x", "role": "reader", "tenant": "shop-1"}
    assert (await guarded.client.post("/v1/api-keys", json=missing, headers=bearer(ADMIN))).status_code == 404


async def test_on_loopback_no_key_is_needed_and_elsewhere_one_is(checkpoint_dir: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"checkpoint_dir": checkpoint_dir, "data_dir": tmp_path}
    hosts = {"127.0.0.1": False, "::1": False, "localhost": False, PUBLIC: True, "192.168.1.5": True, "shop": True}
    assert {host: load_settings(host=host, **given).auth_required for host in hosts} == hosts
    with pytest.raises(ConfigError, match="METARL_AUTH=off"):
        load_settings(host=PUBLIC, auth="off", **given)
    with pytest.raises(ConfigError, match="METARL_ADMIN_KEY"):
        load_settings(admin_key="short", **given)
