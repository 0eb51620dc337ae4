"""The boundary: what must not reach the application is refused with a problem document that never echoes the input."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.running_service import Running, running

pytestmark = pytest.mark.anyio

MARK = "ZQXMARK"
EVENT = {"event_id": "e", "user_id": "ada", "item_id": "item1", "type": "like"}


@pytest.fixture(scope="module")
async def shared_app(
    checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Running]:
    """One application for all of these tests: none of their requests changes what another one sees."""
    async with running(checkpoint_dir, tmp_path_factory.mktemp("boundary") / "service") as service:
        yield service


def check_problem(response: httpx.Response, statuses: tuple[int, ...] = (422,)) -> dict[str, object]:
    assert response.status_code in statuses, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = response.json()
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id"}
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["x-request-id"]
    assert MARK not in response.text
    assert len(response.content) < 1024
    return body


RAW_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", '"nan"', "true", "9" * 5000, "[]", "{}", f'"{MARK}"')


@pytest.mark.parametrize("number", RAW_NUMBERS, ids=lambda number: number[:10])
@pytest.mark.parametrize(
    ("path", "template", "field"),
    [
        ("/v1/feedback", '{"event_id":"e","user_id":"u","item_id":"item1","type":"rating","value":%s}', "value"),
        (
            "/v1/feedback",
            '{"events":[{"event_id":"e","user_id":"u","item_id":"item1","type":"custom","value":%s}]}',
            "",
        ),
        ("/v1/recommendations", '{"user_id":"u","k":%s}', "k"),
        ("/v1/recommendations", '{"user_id":"u","exploration":{"temperature":%s}}', "exploration.temperature"),
        ("/v1/recommendations", '{"user_id":"u","user_attributes":{"age":%s}}', "user_attributes"),
    ],
)
async def test_number_that_is_none_is_refused_and_names_the_field(
    shared_app: Running, path: str, template: str, field: str, number: str
) -> None:
    response = await shared_app.client.post(path, content=template % number)
    body = check_problem(response)
    assert body["code"] in ("invalid_field", "invalid_json")
    if body["code"] == "invalid_field":
        assert str(body["detail"]).startswith(field)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        f'"{MARK}"'.encode(),
        b"[" * 60_000,
        b'{"user_id":' * 5_000,
        b'{"user_id":"u","user_attributes":{"a":' + b"[" * 400 + b"]" * 400 + b"}}",
        b'{"user_id":"\xff\xfe"}',
        b'{"user_id":"\xed\xa0\x80"}',
        rb'{"user_id":"\ud800"}',
        rb'{"user_id":"a\u0000b"}',
        rb'{"user_id":"x\r\nFLUSHALL"}',
        b'{"user_id":""}',
        b'{"user_id":"' + b"a" * 257 + b'"}',
        b'{"user_id":"u"}x',
        '{"user_id":"u"}'.encode("utf-16"),
        f'{{"user_id":"u","{MARK}":1}}'.encode(),
        f'{{"user_id":"u","exploration":{{"{MARK}":1}}}}'.encode(),
        f'{{"user_id":"u","user_attributes":{{"{MARK}":1}}}}'.encode(),
        f'{{"user_id":"u","user_attributes":{{"gender":{{"{MARK}":1}}}}}}'.encode(),
        f'{{"user_id":"u","user_attributes":{{"age":"{MARK}"}}}}'.encode(),
        f'{{"user_id":["{MARK}"]}}'.encode(),
        b'{"user_id":"u","k":0}',
        b'{"user_id":"u","k":101}',
        b'{"user_id":"u","k":"5"}',
        b'{"user_id":"u","exclude_seen":"yes"}',
        b'{"user_id":"u","candidates":[]}',
        b'{"user_id":"u","candidates":["item1"]}',
    ],
)
async def test_malformed_recommendation_is_a_422(shared_app: Running, content: bytes) -> None:
    check_problem(await shared_app.client.post("/v1/recommendations", content=content))


@pytest.mark.parametrize(
    "event",
    [
        EVENT | {"type": MARK},
        EVENT | {MARK: 1},
        EVENT | {"timestamp": MARK},
        EVENT | {"timestamp": "2026-11-23T20:00:00"},
        EVENT | {"timestamp": "9" * 30},
        EVENT | {"event_id": ""},
        EVENT | {"event_id": 7},
        EVENT | {"type": "rating"},
        EVENT | {"type": "custom", "value": 1.5},
        {name: value for name, value in EVENT.items() if name != "user_id"},
        {name: value for name, value in EVENT.items() if name != "item_id"},
        {"events": []},
        {"events": MARK},
        {"events": [EVENT], "user_id": "u"},
        {"events": [EVENT | {"event_id": str(i)} for i in range(1001)]},
    ],
    ids=repr,
)
async def test_malformed_event_is_a_422_and_teaches_nothing(shared_app: Running, event: dict[str, object]) -> None:
    check_problem(await shared_app.client.post("/v1/feedback", json=event))
    assert (await shared_app.client.get("/v1/users/ada")).status_code == 404


async def test_batch_with_one_malformed_event_applies_none(shared_app: Running) -> None:
    body = check_problem(
        await shared_app.client.post("/v1/feedback", json={"events": [EVENT, EVENT | {"event_id": "f", "type": MARK}]})
    )
    assert str(body["detail"]).startswith("events.1.type: ")
    assert (await shared_app.client.get("/v1/users/ada")).status_code == 404


@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/users/ada"])
async def test_declared_body_beyond_the_limit_is_a_413(shared_app: Running, path: str) -> None:
    method = "PUT" if "users" in path else "POST"
    content = b'{"user_id":"' + b"a" * 10_000_000 + b'"}'
    assert check_problem(await shared_app.client.request(method, path, content=content), (413,))["code"] == (
        "body_too_large"
    )


async def test_chunked_body_beyond_the_limit_is_a_413(shared_app: Running) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"a" * 65536

    response = await shared_app.client.post("/v1/recommendations", content=chunks())
    assert check_problem(response, (413,))["code"] == "body_too_large"


async def test_compressed_body_is_a_415(shared_app: Running) -> None:
    response = await shared_app.client.post(
        "/v1/recommendations", content=b"\x1f\x8b" + b"0" * 100, headers={"content-encoding": "gzip"}
    )
    check_problem(response, (415,))


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
    ],
)
async def test_path_that_names_nothing_is_a_problem(shared_app: Running, method: str, path: str, status: int) -> None:
    check_problem(await shared_app.client.request(method, path, json={"attributes": {}}), (status,))


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


async def test_metrics_after_random_paths_and_ids_have_grown_by_nothing(shared_app: Running) -> None:
    async def series() -> int:
        return len((await shared_app.client.get("/metrics")).text.splitlines())

    for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
        await shared_app.client.request(method, "/v1/users/warm", json={"attributes": {}})
        await shared_app.client.request(method, "/warm", json={})
    await series()
    before = await series()
    for i in range(100):
        for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
            await shared_app.client.request(method, f"/v1/users/user{i}", json={"attributes": {}})
            await shared_app.client.request(method, f"/random/{i}", json={})
    assert await series() == before
    text = (await shared_app.client.get("/metrics")).text
    assert "user1" not in text
    assert "/v1/users/{user_id}" in text
    assert len(text.splitlines()) < 1500


async def test_request_id_of_the_client_comes_back_only_when_plain(shared_app: Running) -> None:
    plain = await shared_app.client.get("/livez", headers={"x-request-id": "abc-123"})
    strange = await shared_app.client.get("/livez", headers={"x-request-id": "a b" * 100})
    assert plain.headers["x-request-id"] == "abc-123"
    assert len(strange.headers["x-request-id"]) == 16
