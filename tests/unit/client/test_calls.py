"""From arguments to requests and from answers to results, without a network."""

from __future__ import annotations

import contextlib
import inspect
import json
import traceback
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client import (
    ApiError,
    Client,
    Event,
    InvalidRequestError,
    Request,
    UnexpectedAnswerError,
    events,
    items,
    users,
)
from service.client.bulk import Load, item_line
from service.client.call import segment
from service.client.decoding import built
from service.client.results import BulkRejection, BulkResult, Item, Slate

KEY = "metarl_secret-key-0123456789"


def answering(response: httpx.Response) -> Client:
    return Client(api_key=KEY, transport=httpx.MockTransport(lambda request: response))


def test_request_body_holds_what_is_given_and_nothing_else() -> None:
    assert Request("ada").body() == {"user_id": "ada"}
    request = Request(
        "ada",
        k=3,
        candidates=["1", "2"],
        exclude_item_ids={"9"},
        exclude_seen=["like"],
        boosts={"year >= 1995": 0.05},
        pins={2: "50"},
        caps={"genres": 1},
        diversity=0.0,
        explore=False,
        temperature=0.5,
        explain=True,
        activate=False,
    )
    assert request.body() == {
        "user_id": "ada",
        "k": 3,
        "candidates": [{"item_id": "1"}, {"item_id": "2"}],
        "exclude_item_ids": ["9"],
        "exclude_seen": ["like"],
        "boosts": [{"filter": "year >= 1995", "value": 0.05}],
        "pins": [{"item_id": "50", "rank": 2}],
        "caps": [{"attribute": "genres", "max": 1}],
        "diversity": 0.0,
        "exploration": {"enabled": False, "temperature": 0.5},
        "explain": True,
        "activate": False,
    }


@pytest.mark.parametrize("value", ["a/b", "..", ".", "a b", "ü%41", "?#&=+", "x" * 256])
def test_segment_is_one_segment_of_a_path_whatever_the_id(value: str) -> None:
    assert unquote(segment(value)) == value
    assert "/" not in segment(value)
    path = httpx.URL("http://host").join(f"/v1/users/{segment(value)}").raw_path.decode()
    assert path == f"/v1/users/{segment(value)}"


def test_segment_refuses_an_empty_id() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        users.get("")


def test_event_body_has_utc_times_and_an_id_of_its_own() -> None:
    event = Event("rating", "50", "ada", value=4.5, timestamp=datetime(2026, 1, 2, 3, 4, tzinfo=UTC), event_id="e")
    assert events.body_of(event) == {
        "type": "rating",
        "item_id": "50",
        "user_id": "ada",
        "value": 4.5,
        "timestamp": "2026-01-02T03:04:00+00:00",
        "event_id": "e",
    }
    assert Event("like", "1").event_id != Event("like", "1").event_id
    body = json.loads(users.warm_up("ada", [event, {"type": "like", "item_id": "1"}]).body or b"")
    assert "user_id" not in body["events"][0]
    assert set(body["events"][1]) == {"type", "item_id", "event_id"}


def test_patch_sends_what_changes() -> None:
    assert json.loads(items.patch("1", {"badge": None}, available=False).body or b"") == {
        "attributes": {"badge": None},
        "available": False,
    }
    assert json.loads(items.patch("1").body or b"") == {}
    assert json.loads(items.put("1").body or b"") == {"attributes": {}, "available": True}


def test_body_a_number_that_is_not_finite_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="JSON"):
        users.put("ada", {"age": float("nan")})


def test_built_passes_over_new_fields_and_refuses_missing_or_wrong_ones() -> None:
    good: dict[str, Any] = {"item_id": "1", "attributes": {}, "available": True, "popularity": 1, "newer": [1]}
    assert built(Item, good) == Item("1", {}, True, 1.0)
    with pytest.raises(UnexpectedAnswerError, match=r"lacks Item\.popularity"):
        built(Item, {name: value for name, value in good.items() if name != "popularity"})
    for wrong in ({"popularity": "x"}, {"popularity": True}, {"available": 1}, {"published_at": "yesterday"}):
        with pytest.raises(UnexpectedAnswerError, match=r"Item\."):
            built(Item, {**good, **wrong})
    with pytest.raises(UnexpectedAnswerError, match="JSON object"):
        built(Item, [good])


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_names = ["recommendation_id", "policy", "user", "items", "slate_propensity", "ope_eligible", "expires_at", "ignored"]


@given(_json | st.dictionaries(st.sampled_from(_names), _json))
def test_built_any_json_is_a_slate_or_an_unexpected_answer(body: object) -> None:
    with contextlib.suppress(UnexpectedAnswerError):
        assert isinstance(built(Slate, body), Slate)


@given(
    st.sampled_from([200, 204, 301, 404, 422, 500, 502]), st.binary(max_size=40), st.sampled_from(["json", "x-ndjson"])
)
def test_client_any_answer_is_a_result_or_one_of_its_errors(status: int, content: bytes, kind: str) -> None:
    client = answering(httpx.Response(status, content=content, headers={"content-type": f"application/{kind}"}))
    for call in (lambda: client.version(), lambda: client.users.export("ada"), lambda: client.items.similar("1")):
        with contextlib.suppress(ApiError, UnexpectedAnswerError):
            call()


def test_client_refusal_of_a_proxy_has_a_code_too() -> None:
    with pytest.raises(ApiError) as caught:
        answering(httpx.Response(502, html="<h1>Bad gateway</h1>", headers={"x-request-id": "p7"})).version()
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (502, "http_502", "p7")


def test_batch_answers_are_slates_or_errors_in_order() -> None:
    problem = {"code": "invalid_field", "detail": "filter: no", "request_id": "q"}
    body = {"results": [{"status": 422, "body": problem}, {"status": 429, "body": None}]}
    first, second = answering(httpx.Response(200, json=body)).recommend_batch([Request("a"), Request("b")])
    assert isinstance(first, InvalidRequestError)
    assert first.detail == "filter: no"
    assert isinstance(second, ApiError)
    assert second.code == "http_429"
    with pytest.raises(UnexpectedAnswerError, match="list of results"):
        answering(httpx.Response(200, json={"results": [1]})).recommend_batch([Request("a")])


def test_key_stands_in_the_header_and_nowhere_else() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        raise httpx.ReadError("lost", request=request)

    client = Client(api_key=f" {KEY}\n", transport=httpx.MockTransport(answer))
    with pytest.raises(Exception, match="the service running") as caught:
        client.recommend("ada")
    assert seen == [f"Bearer {KEY}"]
    shown = "".join(traceback.format_exception(caught.value))
    for text in (shown, repr(client), repr(vars(client)), repr(client.users)):
        assert KEY not in text


@pytest.mark.parametrize("key", ["two words", "ключ", "line\nbreak"])
def test_key_that_cannot_be_one_is_refused_unprinted(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        Client(api_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host", "http://", "http://key:secret@host", "http://x:port", "x"]
)
def test_url_that_cannot_be_one_is_refused_unprinted(url: str) -> None:
    with pytest.raises(ValueError, match="must look like http") as caught:
        Client(url)
    assert "secret" not in str(caught.value)


def test_environment_gives_url_and_key_where_arguments_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METARL_URL", "http://elsewhere:9000/prefix")
    monkeypatch.setenv("METARL_API_KEY", KEY)
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"release": "1", "policy": "p"})

    Client(transport=httpx.MockTransport(answer)).version()
    Client("http://here", api_key="", transport=httpx.MockTransport(answer)).version()
    assert [str(request.url) for request in asked] == ["http://elsewhere:9000/prefix/version", "http://here/version"]
    assert asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in asked[1].headers


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"")), max_size=40))
def test_load_chunks_hold_every_line_once_and_count_from_the_beginning(lines: list[bytes]) -> None:
    load = Load(chunk_lines=7, chunk_bytes=60)
    sent: list[bytes] = []
    for chunk in load.chunks(line + b"\n" for line in lines):
        body = chunk.call.body or b""
        assert chunk.before == len(sent)
        assert chunk.size_bytes == len(body)
        sent += body.split(b"\n")[:-1]
        load.add(chunk, BulkResult(0, 1, (BulkRejection(1, "c", "d"),)))
    assert sent == lines
    assert load.result.rejected == len(load.result.rejections)
    for rejection in load.result.rejections[1:]:
        assert rejection.line > 1


def test_item_line_times_become_text() -> None:
    line = item_line({"item_id": "ü", "published_at": datetime(2026, 1, 1, tzinfo=UTC), "attributes": {"p": 1.5}})
    assert json.loads(line) == {
        "item_id": "ü",
        "published_at": "2026-01-01T00:00:00+00:00",
        "attributes": {"p": 1.5},
    }


def test_methods_carry_their_documentation_and_signature() -> None:
    assert "NotFoundError" in (Client().users.get.__doc__ or "")
    assert "exclude_seen" in (Client.recommend.__doc__ or "")
    assert list(inspect.signature(Client().users.merge).parameters) == ["user_id", "source_user_id"]
