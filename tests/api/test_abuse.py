"""Bad bodies on every route that takes one: a 4xx problem document each, nothing learned, nothing echoed."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.corpus import BODY_ROUTES, MARK, PLACES, Route, check_problem, malformed
from tests.running_service import Running

pytestmark = pytest.mark.anyio

BULK = "/v1/items/bulk"
JSON_ROUTES = [route for route in BODY_ROUTES if route[1] != BULK]
EVENT = {"event_id": "e", "user_id": "ada", "item_id": "item1", "type": "like"}
EVENT_ROUTES = {"/v1/feedback": EVENT, "/v1/users/ada/warm-up": {n: EVENT[n] for n in ("event_id", "item_id", "type")}}


@pytest.fixture
async def app(shared_app: Running) -> AsyncIterator[Running]:
    """The application; after the test its Redis must hold what it held before, and nothing may have failed."""
    before, items = await held(shared_app), (await shared_app.client.get("/v1/items?limit=1000")).json()
    yield shared_app
    assert await held(shared_app) == before
    assert (await shared_app.client.get("/v1/items?limit=1000")).json() == items
    assert 'code="5' not in (await shared_app.client.get("/metrics")).text


async def held(app: Running) -> list[bytes]:
    """Returns the keys in Redis."""
    return sorted(await app.engine.redis.client.keys("*"))


def url_of(path: str) -> str:
    return path.format(user_id="ada", item_id="item1", recommendation_id="r")


async def send(app: Running, route: Route, content: Any, **headers: str) -> Any:
    return await app.client.request(route[0], url_of(route[1]), content=content, headers=headers)


def test_corpus_knows_every_route_that_takes_a_body() -> None:
    assert sorted(PLACES) == sorted(BODY_ROUTES)


@pytest.mark.parametrize("route", JSON_ROUTES, ids=" ".join)
async def test_what_is_no_number_or_no_id_is_refused_and_names_the_field(app: Running, route: Route) -> None:
    for place in PLACES[route]:
        for content in place.bodies():
            body = check_problem(await send(app, route, content))
            assert body["code"] in ("invalid_field", "invalid_json"), content
            if body["code"] == "invalid_field":
                assert str(body["detail"]).startswith(place.field), (content, body)


@pytest.mark.parametrize("route", JSON_ROUTES, ids=" ".join)
async def test_body_that_is_none_is_refused(app: Running, route: Route) -> None:
    for content in malformed(route[1]).values():
        check_problem(await send(app, route, content))


async def test_bulk_line_that_is_no_item_is_refused_by_its_number_and_the_rest_is_not(app: Running) -> None:
    bad = [content for place in PLACES["POST", BULK] for content in place.bodies()]
    bad += [content for content in malformed(BULK).values() if content.strip() and b"\n" not in content]
    response = await app.client.post(BULK, content=b"\n".join(bad))
    assert (response.status_code, MARK in response.text) == (200, False)
    found = response.json()
    assert (found["applied"], found["rejected"]) == (0, len(bad))
    assert [each["line"] for each in found["rejections"]] == list(range(1, len(bad) + 1))
    assert {each["code"] for each in found["rejections"]} == {"invalid_field", "invalid_json"}


@pytest.mark.parametrize("route", BODY_ROUTES, ids=" ".join)
async def test_body_beyond_the_limit_is_a_413_with_and_without_a_length(app: Running, route: Route) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield MARK.encode() * 60_000

    before = app.metric("metarl_rejected_total", reason="body_too_large")
    size = 10_000_000 if route[1] != BULK else app.engine.settings.max_bulk_body_bytes + 1
    for content in (b"x" * size, chunks()):
        assert check_problem(await send(app, route, content), (413,))["code"] == "body_too_large"
    assert app.metric("metarl_rejected_total", reason="body_too_large") == before + 2


@pytest.mark.parametrize("route", BODY_ROUTES, ids=" ".join)
async def test_length_that_is_none_is_refused(app: Running, route: Route) -> None:
    for length in ("-1", "abc", "1e3", "9" * 30, "+5", "0x10", "", " "):
        check_problem(await send(app, route, b"{}", **{"content-length": length}), (413,))


@pytest.mark.parametrize("route", BODY_ROUTES, ids=" ".join)
async def test_encoded_body_is_a_415(app: Running, route: Route) -> None:
    bomb, before = gzip.compress(b"0" * 10_000_000), app.metric("metarl_rejected_total", reason="encoding")
    for encoding in ("gzip", "deflate", "br", "GZIP", "identity, gzip"):
        body = check_problem(await send(app, route, bomb, **{"content-encoding": encoding}), (415,))
        assert body["code"] == "unsupported_encoding"
    assert app.metric("metarl_rejected_total", reason="encoding") == before + 5


@pytest.mark.parametrize(
    "content",
    [
        f'{{"user_id":"u","exploration":{{"{MARK}":1}}}}',
        f'{{"user_id":"u","user_attributes":{{"{MARK}":1}}}}',
        f'{{"user_id":"u","user_attributes":{{"gender":{{"{MARK}":1}}}}}}',
        f'{{"user_id":"u","user_attributes":{{"age":"{MARK}"}}}}',
        '{"user_id":"u","user_attributes":{"a":' + "[" * 400 + "]" * 400 + "}}",
        f'{{"user_id":"u","context":{{"{MARK}":1}}}}',
        '{"user_id":"u","k":0}',
        '{"user_id":"u","k":-1}',
        '{"user_id":"u","k":101}',
        '{"user_id":"u","k":1.5}',
        '{"user_id":"u","k":null}',
        '{"user_id":"u","exclude_seen":"yes"}',
        '{"user_id":"u","exclude_seen":[]}',
        f'{{"user_id":"u","exclude_seen":["{MARK}"]}}',
        '{"user_id":"u","candidates":[]}',
        '{"user_id":"u","candidates":["item1"]}',
        f'{{"user_id":"u","filter":"{MARK} = 1"}}',
        f'{{"user_id":"u","filter":"year = {MARK}"}}',
        '{"user_id":"u","filter":"' + "(" * 1999 + '"}',
    ],
)
async def test_malformed_recommendation_is_a_422_alone_and_in_a_batch(app: Running, content: str) -> None:
    check_problem(await app.client.post("/v1/recommendations", content=content))
    response = await app.client.post("/v1/recommendations/batch", content=f'{{"requests":[{content}]}}')
    if response.status_code == 200:
        assert response.json()["results"][0]["status"] == 422
        assert MARK not in response.text
    else:
        check_problem(response)


TIMES = [
    "yesterday",
    "2026-11-23T20:00:00",
    "2026-13-01T00:00:00Z",
    "9" * 30,
    MARK,
    10**30,
    -1,
    1_700_000_000,
    "1700000000",
    True,
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
]


@pytest.mark.parametrize("time", [*TIMES, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
async def test_feedback_of_a_time_beyond_sense_is_refused(app: Running, time: Any) -> None:
    check_problem(await app.client.post("/v1/feedback", json=EVENT | {"timestamp": time}), (409, 422))


@pytest.mark.parametrize("time", TIMES)
async def test_history_of_a_time_beyond_sense_is_refused(app: Running, time: Any) -> None:
    event = {**EVENT_ROUTES["/v1/users/ada/warm-up"], "timestamp": time}
    response = await app.client.post("/v1/users/ada/warm-up", json={"events": [event]})
    if response.status_code == 200:
        assert response.json()["rejected"] == [{"index": 0, "code": "future"}]
        assert MARK not in response.text
    else:
        check_problem(response)


@pytest.mark.parametrize("url", EVENT_ROUTES)
@pytest.mark.parametrize(
    "change",
    [
        {"type": MARK},
        {MARK: 1},
        {"event_id": None},
        {"item_id": None},
        {"type": "rating"},
        {"type": "rating", "value": None},
        {"type": "custom", "value": 1.5},
        {"type": "custom", "value": -0.1},
        {"user_id": 7},
        {"events": [{"events": [MARK]}]},
    ],
    ids=repr,
)
async def test_malformed_event_is_a_422_and_none_of_its_batch_is_applied(
    app: Running, url: str, change: dict[str, Any]
) -> None:
    good = EVENT_ROUTES[url]
    bad = good | change
    body = check_problem(await app.client.post(url, json={"events": [good, bad]}))
    assert str(body["detail"]).startswith("events.1")
    check_problem(await app.client.post(url, json=bad))


@pytest.mark.parametrize("url", EVENT_ROUTES)
@pytest.mark.parametrize("events", [[], MARK, {}, None, 7, [[]], [MARK], "1001"], ids=repr)
async def test_events_that_are_no_list_of_events_are_a_422(app: Running, url: str, events: Any) -> None:
    if events == "1001":
        events = [EVENT_ROUTES[url] | {"event_id": str(number)} for number in range(1001)]
    check_problem(await app.client.post(url, json={"events": events}))
    check_problem(await app.client.post(url, json={"events": [EVENT_ROUTES[url]], MARK: events}))


async def test_event_of_nobody_or_nothing_is_a_422(app: Running) -> None:
    for name in EVENT:
        check_problem(await app.client.post("/v1/feedback", json={n: v for n, v in EVENT.items() if n != name}))
    check_problem(await app.client.post("/v1/feedback", json={"events": [EVENT], "user_id": "u"}))
    check_problem(await app.client.post("/v1/feedback", json={**EVENT, "events": [{"events": [MARK]}]}))


@pytest.mark.parametrize("raw", ["null", '["a", 1]', '"' + "a" * 1025 + '"', "[" + ",".join(['"a"'] * 65) + "]"])
@pytest.mark.parametrize("name", ["age", "year", "gender", MARK])
async def test_attribute_of_no_kind_is_refused_wherever_attributes_are_given(app: Running, name: str, raw: str) -> None:
    attributes = f'{{"{name}": {raw}}}'
    for url in ("/v1/users/ada", "/v1/items/item1"):
        check_problem(await app.client.put(url, content=f'{{"attributes": {attributes}}}'))
    content = f'{{"user_id": "ada", "user_attributes": {attributes}}}'
    check_problem(await app.client.post("/v1/recommendations", content=content))


async def test_name_of_an_unknown_attribute_is_not_echoed(app: Running) -> None:
    for method in ("PUT", "PATCH"):
        check_problem(await app.client.request(method, "/v1/users/ada", json={"attributes": {MARK: 1}}))
    check_problem(await app.client.post("/v1/recommendations", json={"user_id": "ada", "user_attributes": {MARK: "x"}}))
    too_many = json.dumps({"attributes": {f"{MARK}{number}": 1 for number in range(65)}})
    for url in ("/v1/users/ada", "/v1/items/item1"):
        check_problem(await app.client.put(url, content=too_many))
