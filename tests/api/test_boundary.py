"""The boundary: paths, ids, methods and the number of requests; bad bodies are in test_abuse.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.corpus import MARK, check_problem
from tests.running_service import Running, running

pytestmark = pytest.mark.anyio


async def test_body_that_does_not_arrive_is_a_408(checkpoint_dir: Path, tmp_path: Path) -> None:
    async def drip() -> AsyncIterator[bytes]:
        for byte in b'{"user_id":"ada"}':
            yield bytes([byte])
            await asyncio.sleep(0.1)

    async with running(checkpoint_dir, tmp_path / "service", body_timeout_s=0.3) as app:
        response = await app.client.post("/v1/recommendations", content=drip())
        assert check_problem(response, (408,))["code"] == "body_timeout"
        assert app.metric("metarl_rejected_total", reason="body_timeout") == 1
        await app.recommend("ada")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/nothing/{MARK}", 404),
        ("GET", "/v1/users/", 404),
        ("GET", "/v1/users/a/b", 404),
        ("GET", "/v1/users/nobody", 404),
        ("GET", "/v1/items/nothing", 404),
        ("GET", "/v1/users/%FF", 400),
        ("GET", "/v1/users/%ED%A0%80", 400),
        ("PUT", "/v1/users/%00", 422),
        ("GET", "/v1/users/x%0d%0aFLUSHALL", 422),
        ("DELETE", "/v1/users/" + "a" * 257, 422),
        ("PATCH", "/v1/recommendations", 405),
        ("DELETE", "/v1/items/item1/similar", 405),
        ("GET", "/v1/feedback", 405),
        ("DELETE", "/v1/feedback", 405),
        ("POST", "/livez", 405),
    ],
)
async def test_path_that_names_nothing_is_a_problem(shared_app: Running, method: str, path: str, status: int) -> None:
    response = await shared_app.client.request(method, path, json={"attributes": {}})
    body = check_problem(response, (status,))
    if status == 405:
        assert body["code"] == "method_not_allowed"
        assert "allow" in response.headers


@pytest.mark.parametrize(
    "user_id", ["a/b", "a%2Fb", "%", "../..", "a b", "*", "{a}", "ada?k=1#x", "😀", "🫨", "ü", "a" * 256, "x/reset"]
)
async def test_user_id_of_any_characters_is_served_under_its_own_name(shared_app: Running, user_id: str) -> None:
    await shared_app.recommend(user_id)
    await shared_app.like(user_id, "item1", "e1")
    found = await shared_app.user(user_id)
    assert (found["user_id"], found["transitions"]) == (user_id, 1)


async def test_ids_that_look_alike_in_a_path_are_different_users(shared_app: Running) -> None:
    await shared_app.like("p/q", "item1", "e1")
    assert (await shared_app.client.get("/v1/users/p%252Fq")).status_code == 404
    assert (await shared_app.client.get("/v1/users/p%2Fq")).status_code == 200


async def test_error_of_our_own_is_a_500_problem_and_logged_once(
    shared_app: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(MARK)

    monkeypatch.setattr(shared_app.engine, "standing", fail)
    response = await shared_app.client.post("/v1/recommendations", json={"user_id": "u"})
    assert check_problem(response, (500,))["code"] == "internal"
    assert [record.getMessage() for record in caplog.records if record.exc_info] == ["unhandled error"]


async def test_too_many_requests_at_work_are_429_and_probes_still_answer(shared_app: Running) -> None:
    shared_app.app._in_flight = shared_app.engine.settings.max_in_flight
    try:
        refused = await shared_app.client.post("/v1/recommendations", json={"user_id": "u"})
        alive = await shared_app.client.get("/livez")
    finally:
        shared_app.app._in_flight = 0
    check_problem(refused, (429,))
    assert refused.headers["retry-after"] == "1"
    assert alive.status_code == 200


async def test_metrics_after_random_paths_methods_and_ids_have_grown_by_nothing(shared_app: Running) -> None:
    async def series() -> list[str]:
        text = (await shared_app.client.get("/metrics")).text
        return [line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")]

    methods = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW")
    for method in methods:
        await shared_app.client.request(method, "/v1/users/warm", json={"attributes": {}})
        await shared_app.client.request(method, "/warm", json={})
    await series()
    before = await series()
    for i in range(100):
        for method in (*methods, f"M{i}"):
            known = await shared_app.client.request(method, f"/v1/users/{MARK}{i}", json={"attributes": {}})
            assert known.status_code < 500
            nothing = await shared_app.client.request(method, f"/{MARK}/{i}", json={})
            assert (nothing.status_code, MARK in nothing.text) == (404, False)
    after = await series()
    assert after == before
    assert MARK not in "".join(after)
    assert any("/v1/users/{user_id}" in line for line in after)
    assert len(after) < 700


async def test_request_id_of_the_client_comes_back_only_when_plain(shared_app: Running) -> None:
    plain, strange = ("abc-123", "abc-1.2_3", "x" * 64), ("x" * 65, "a b", 'a"b', "", "a b" * 100)
    for given in (*plain, *strange):
        response = await shared_app.client.get("/v1/users/nobody", headers={"X-Request-Id": given})
        told = response.headers["x-request-id"]
        assert (told == given) is (given in plain)
        assert given in plain or len(told) == 16
        assert response.json()["request_id"] == told
