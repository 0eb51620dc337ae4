"""Bad requests: a 4xx problem document each, nothing learned, nothing echoed, nothing grown."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.running_service import Running

pytestmark = pytest.mark.anyio

MARKER = "pLaNtEd"
EVENT = {"event_id": "e", "user_id": "ada", "item_id": "item1", "type": "rating", "value": "VALUE"}
REQUEST = {"user_id": "ada", "k": "VALUE"}


def with_value(template: dict[str, Any], raw: str) -> bytes:
    """Returns the template's JSON with raw text in place of the value."""
    return json.dumps(template).replace('"VALUE"', raw).encode()


RAW_NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    '"nan"',
    '"4"',
    "true",
    "9" * 5000,
    "[4]",
    "{}",
    '"' + MARKER + '"',
]
EVENTS = {f"value {raw[:12]}": with_value(EVENT, raw) for raw in RAW_NUMBERS}
EVENTS["value null"] = with_value(EVENT, "null")
REQUESTS = {f"k {raw[:12]}": with_value(REQUEST, raw) for raw in [*RAW_NUMBERS, "0", "-1", "101", "1.5", "null"]}
BODIES = {
    "empty": b"",
    "blank": b" \n",
    "not json": MARKER.encode(),
    "cut": b'{"user_id": "' + MARKER.encode(),
    "array": b"[]",
    "number": b"1",
    "string": json.dumps(MARKER).encode(),
    "null": b"null",
    "empty object": b"{}",
    "unknown field": json.dumps({"user_id": "ada", MARKER: 1}).encode(),
    "two unknown fields": json.dumps({"user_id": "ada", MARKER: {MARKER: 1}, "x": 2}).encode(),
    "deep arrays": b"[" * 20_000 + b"]" * 20_000,
    "deep objects": b'{"user_id":' * 5_000 + b"1" + b"}" * 5_000,
    "deep value": b'{"user_id": "ada", "candidates": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "lone surrogate": b'{"user_id": "' + MARKER.encode() + b'\\ud800", "k": 1}',
    "surrogate key": b'{"user_id": "a", "\\ud800' + MARKER.encode() + b'": 1}',
    "control character": json.dumps({"user_id": MARKER + "\x00"}).encode(),
    "raw control character": b'{"user_id": "' + MARKER.encode() + b'\x01"}',
    "new line in an id": json.dumps({"user_id": MARKER + "\r\nSet-Cookie: a=b"}).encode(),
    "utf-16": json.dumps({"user_id": MARKER}).encode("utf-16"),
    "latin-1": b'{"user_id": "' + MARKER.encode() + b'\xff"}',
    "byte order mark": b"\xef\xbb\xbf" + json.dumps({"user_id": 1}).encode(),
    "long id": json.dumps({"user_id": MARKER * 50}).encode(),
    "number as id": b'{"user_id": 7}',
    "comment": b'{"user_id": "a"} // ' + MARKER.encode(),
    "two values": b'{"user_id": "a"}{"user_id": "b"}',
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins",
    "events no list": json.dumps({"events": MARKER}).encode(),
    "no events": json.dumps({"events": []}).encode(),
    "1001 events": json.dumps({"events": [{**EVENT, "value": 4, "event_id": str(i)} for i in range(1001)]}).encode(),
    "events in an event": json.dumps({**EVENT, "value": 4, "events": [{"events": [MARKER]}]}).encode(),
}
ROUTES = [
    ("POST", "/v1/recommendations"),
    ("POST", "/v1/feedback"),
    ("PUT", "/v1/users/ada"),
    ("PUT", "/v1/items/item1"),
]


async def check_refused(app: Running, method: str, url: str, content: Any, **kwargs: Any) -> None:
    response = await app.client.request(method, url, content=content, **kwargs)
    assert 400 <= response.status_code < 500, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id"}
    assert body["status"] == response.status_code
    assert MARKER not in response.text
    assert len(response.content) < 1024


async def check_nothing_learned(app: Running) -> None:
    assert (await app.client.get("/v1/users/ada")).status_code == 404
    assert await app.engine.redis.client.keys("*:u:*") == []
    assert app.metric("metarl_http_requests_total", method="POST", route="/v1/feedback", code="500") == 0


async def test_numbers_that_are_none_are_refused(app: Running) -> None:
    for name, content in EVENTS.items():
        await check_refused(app, "POST", "/v1/feedback", content)
        batch = b'{"events": [' + content + b"]}"
        await check_refused(app, "POST", "/v1/feedback", batch)
        assert name
    for content in REQUESTS.values():
        await check_refused(app, "POST", "/v1/recommendations", content)
    await check_nothing_learned(app)


@pytest.mark.parametrize(("method", "url"), ROUTES)
async def test_bodies_that_are_none_are_refused(app: Running, method: str, url: str) -> None:
    for name, content in BODIES.items():
        if name == "empty object" and "items" in url:
            continue  # an item without attributes is one
        await check_refused(app, method, url, content)
    await check_nothing_learned(app)


@pytest.mark.parametrize(
    "raw", ["NaN", "1e999", "1" * 400, '{"a": 1}', "null", "[[1]]", "true", '["a", 1]', '"\\ud800"']
)
async def test_attribute_values_of_no_kind_are_refused(app: Running, raw: str) -> None:
    for url in ("/v1/users/ada", "/v1/items/item1"):
        for name in ("age", "year", "gender", MARKER):
            await check_refused(app, "PUT", url, f'{{"attributes": {{"{name}": {raw}}}}}'.encode())
    await check_refused(
        app, "POST", "/v1/recommendations", f'{{"user_id": "ada", "user_attributes": {{"{MARKER}": {raw}}}}}'.encode()
    )
    await check_nothing_learned(app)


async def test_unknown_attribute_name_is_not_echoed(app: Running) -> None:
    await check_refused(app, "PUT", "/v1/users/ada", json.dumps({"attributes": {MARKER: 1}}))
    content = json.dumps({"user_id": "ada", "user_attributes": {MARKER: "x"}})
    await check_refused(app, "POST", "/v1/recommendations", content)


@pytest.mark.parametrize(
    "timestamp",
    [
        "yesterday",
        "2026-11-23T20:00:00",
        "2026-13-01T00:00:00Z",
        10**30,
        -1,
        True,
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
async def test_timestamps_beyond_sense_are_refused(app: Running, timestamp: Any) -> None:
    event = {"event_id": "e", "user_id": "ada", "item_id": "item1", "type": "like", "timestamp": timestamp}
    await check_refused(app, "POST", "/v1/feedback", json.dumps(event))
    await check_nothing_learned(app)


async def test_large_bodies_are_refused_with_and_without_a_length(app: Running) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield MARKER.encode() * 9362

    for method, url in ROUTES:
        response = await app.client.request(method, url, content=b"x" * 10_000_000)
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
        response = await app.client.request(method, url, content=chunks())
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
        assert MARKER not in response.text
    assert app.metric("metarl_rejected_total", reason="body_too_large") == 8


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "9" * 30, "+5", "0x10", "", " "])
async def test_lengths_that_are_none_are_refused(app: Running, length: str) -> None:
    await check_refused(app, "POST", "/v1/feedback", b"{}", headers={"content-length": length})


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
async def test_encoded_bodies_are_refused(app: Running, encoding: str) -> None:
    content = gzip.compress(b"0" * 10_000_000)
    headers = {"content-encoding": encoding}
    response = await app.client.post("/v1/feedback", content=content, headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_encoding")
    assert app.metric("metarl_rejected_total", reason="encoding") == 1


async def test_unknown_paths_and_methods_are_refused_and_make_no_new_series(app: Running) -> None:
    for i in range(50):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW", f"M{i}"):
            response = await app.client.request(method, f"/{MARKER}/{i}")
            assert response.status_code == 404
            assert MARKER not in response.text
    for method, url in (("GET", "/v1/feedback"), ("DELETE", "/v1/feedback"), ("POST", "/livez")):
        response = await app.client.request(method, url)
        assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
        assert "allow" in response.headers
    text = (await app.client.get("/metrics")).text
    assert MARKER not in text
    assert len([line for line in text.splitlines() if not line.startswith("#")]) < 700


async def test_request_id_of_the_client_is_kept_where_it_is_plain(app: Running) -> None:
    for given, kept in (("abc-1.2_3", True), ("x" * 65, False), ("a b", False), ('a"b', False), ("", False)):
        response = await app.client.get("/v1/users/nobody", headers={"X-Request-Id": given})
        assert (response.headers["x-request-id"] == given) is kept
        assert response.json()["request_id"] == response.headers["x-request-id"]
