"""What is known of keys without asking Redis: no lookup brings back what was revoked, no flood pushes a key out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.auth import new_key
from service.store.key_store import KeyRecord
from tests.api.keys import ADMIN, bearer, made, status
from tests.running_service import Running, running

pytestmark = pytest.mark.anyio


def held_up(app: Running, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Makes lookups wait after Redis has answered; returns what says that one is there, and what lets them go on."""
    there, gate = asyncio.Event(), asyncio.Event()
    read = app.administration.keys.key

    async def slow(key_id: str) -> KeyRecord | None:
        record = await read(key_id)
        there.set()
        await gate.wait()
        return record

    monkeypatch.setattr(app.administration.keys, "key", slow)
    return there, gate


async def test_lookup_that_was_on_its_way_does_not_undo_a_revocation(
    checkpoint_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(checkpoint_dir, tmp_path / "service", auth="required", admin_key=ADMIN) as app:
        created = await made(app, "reader")
        there, gate = held_up(app, monkeypatch)
        call = asyncio.create_task(status(app, created["key"]))
        await there.wait()
        await app.administration.keys.revoke("default", created["key_id"])
        app.administration.auth.forget([created["key_id"]])
        gate.set()
        # The call began before the key was revoked; no later one may use what it found.
        assert await call == 200
        assert await status(app, created["key"]) == 401


async def test_calls_that_arrive_together_look_a_key_up_once_and_a_cancelled_one_stops_no_other(
    checkpoint_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(checkpoint_dir, tmp_path / "service", auth="required", admin_key=ADMIN) as app:
        key = (await made(app, "reader"))["key"]
        there, gate = held_up(app, monkeypatch)
        calls = [asyncio.create_task(status(app, key)) for _ in range(5)]
        await there.wait()
        calls[0].cancel()
        gate.set()
        assert await asyncio.gather(*calls[1:]) == [200] * 4
        assert calls[0].cancelled()
        assert app.metric("metarl_redis_command_duration_seconds_count", op="key") == 1


async def test_flood_of_unknown_ids_pushes_no_key_out(
    checkpoint_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.key_cache._UNKNOWN", 4)
    monkeypatch.setattr("service.key_cache._KNOWN", 2)
    async with running(checkpoint_dir, tmp_path / "service", auth="required", admin_key=ADMIN) as app:
        key = (await made(app, "reader"))["key"]
        assert await status(app, key) == 200
        for _ in range(20):
            assert await status(app, new_key()[0]) == 401
        assert await status(app, key) == 200
        assert app.metric("metarl_redis_command_duration_seconds_count", op="key") == 21
        for _ in range(2):
            assert await status(app, (await made(app, "reader"))["key"]) == 200
        # Two others were used since: this one is looked up again.
        assert await status(app, key) == 200
        assert app.metric("metarl_redis_command_duration_seconds_count", op="key") == 24


async def test_record_that_cannot_be_read_opens_nothing(app: Running, caplog: pytest.LogCaptureFixture) -> None:
    created = (await app.client.post("/v1/api-keys", json={"name": "x", "role": "reader"})).json()
    await app.engine.redis.client.hset("metarl:{_}:api-keys", created["key_id"], b'{"role": "admin", "ZQXMARK": 1}')
    response = await app.client.get("/v1/items", headers=bearer(created["key"]))
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert (await app.client.get("/v1/api-keys")).json() == {"keys": []}
    assert "cannot be read" in caplog.text
    assert "ZQXMARK" not in caplog.text
    assert (await app.client.delete(f"/v1/api-keys/{created['key_id']}")).status_code == 204
