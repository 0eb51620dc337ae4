"""Bodies that no honest client sends, and for every route that takes a body where in it they can stand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import httpx
from fastapi.routing import APIRoute

from service.main import ROUTERS

__all__ = ["BODY_ROUTES", "IDS", "MARK", "NUMBERS", "PLACES", "Place", "Route", "check_problem", "malformed"]

Route = tuple[str, str]
MARK: Final = "ZQXMARK"
"""Stands in bodies and paths; an answer that holds it echoes its input."""

BODY_ROUTES: Final[list[Route]] = [
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods)
    if method in ("POST", "PUT", "PATCH")
]

_BLANK_IS_A_BODY: Final = {
    "/v1/items/{item_id}",
    "/v1/users/{user_id}/reset",
    "/v1/recommendations/{recommendation_id}/activate",
}
_BODY_IS_OPTIONAL: Final = _BLANK_IS_A_BODY - {"/v1/items/{item_id}"}

NUMBERS: Final = (
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5000, "1" * 400, "0x10", "01", "1_000", ".5", "+1"),
    *('"nan"', '"4"', "true", "[4]", "[]", "{}", '{"a":1}', "[[1]]", f'"{MARK}"', '"\\ud800"'),
)
"""JSON, or not quite, that stands where a number is wanted."""

IDS: Final = (
    *('""', f'"{MARK * 50}"', f'"{MARK}\\ud800"', f'"\\udc00{MARK}"', f'"{MARK}\\u0000"', f'"{MARK}\x01"'),
    *(
        f'"{MARK}\\r\\nFLUSHALL\\r\\n"',
        f'"{MARK}\\u0085"',
        "7",
        "true",
        "1e400",
        "NaN",
        "9" * 5000,
        "{}",
        f'["{MARK}"]',
    ),
)
"""JSON, or not quite, that stands where an id is wanted."""


@dataclass(frozen=True)
class Place:
    """A body with a hole.

    Attributes:
        body: JSON with `HOLE` where something bad goes.
        kind: what belongs there.
        words: whether text may stand there, too, or a list of it.
        field: how the refusal names it.
    """

    body: str
    kind: str = "number"
    words: bool = False
    field: str = ""

    def bodies(self) -> list[bytes]:
        """Returns the body with everything in its hole that must not stand there."""
        bad = NUMBERS if self.kind == "number" else IDS
        fine = {'"nan"', '"4"', "[]", f'"{MARK}"'} if self.words else set()
        return [self.body.replace("HOLE", raw).encode() for raw in bad if raw not in fine]


_EVENT = '{"event_id":"e","user_id":"ada","item_id":"item1","type":"like"}'
_ASK = '{"user_id":"ada",%s}'
PLACES: Final[dict[Route, list[Place]]] = {
    ("POST", "/v1/recommendations"): [
        Place(_ASK % '"k":HOLE', field="k"),
        Place(_ASK % '"diversity":HOLE', field="diversity"),
        Place(_ASK % '"exploration":{"temperature":HOLE}', field="exploration.temperature"),
        Place(_ASK % '"user_attributes":{"age":HOLE}', field="user_attributes"),
        Place(_ASK % '"boosts":[{"filter":"year > 1","value":HOLE}]', field="boosts.0.value"),
        Place(_ASK % '"pins":[{"item_id":"item1","rank":HOLE}]', field="pins.0.rank"),
        Place(_ASK % '"caps":[{"attribute":"genres","max":HOLE}]', field="caps.0.max"),
        Place('{"user_id":HOLE}', "id", field="user_id"),
        Place(_ASK % '"recommendation_id":HOLE', "id", field="recommendation_id"),
        Place(_ASK % '"exclude_item_ids":[HOLE]', "id", field="exclude_item_ids.0"),
        Place(_ASK % '"candidates":[{"item_id":HOLE}]', "id", field="candidates.0.item_id"),
        Place(_ASK % '"pins":[{"item_id":HOLE,"rank":1}]', "id", field="pins.0.item_id"),
    ],
    ("POST", "/v1/recommendations/batch"): [
        Place('{"requests":[{"user_id":"bob"},{"user_id":"ada","k":HOLE}]}', field="requests.1.k"),
        Place('{"requests":[{"user_id":"bob"},{"user_id":HOLE}]}', "id", field="requests.1.user_id"),
    ],
    ("POST", "/v1/recommendations/{recommendation_id}/activate"): [Place('{"user_id":HOLE}', "id", field="user_id")],
    ("POST", "/v1/feedback"): [
        Place('{"event_id":"e","user_id":"ada","item_id":"item1","type":"rating","value":HOLE}', field="value"),
        Place('{"event_id":"e","user_id":"ada","item_id":"item1","type":"custom","value":HOLE}', field="value"),
        Place(
            f'{{"events":[{_EVENT},{{"event_id":"f","user_id":"ada","item_id":"item1","type":"rating","value":HOLE}}]}}',
            field="events.1.value",
        ),
        Place('{"event_id":HOLE,"user_id":"ada","item_id":"item1","type":"like"}', "id", field="event_id"),
        Place('{"event_id":"e","user_id":HOLE,"item_id":"item1","type":"like"}', "id", field="user_id"),
        Place('{"event_id":"e","user_id":"ada","item_id":HOLE,"type":"like"}', "id", field="item_id"),
        Place(_EVENT[:-1] + ',"recommendation_id":HOLE}', "id", field="recommendation_id"),
        Place(f'{{"events":[{_EVENT},{_EVENT[:-1]},"recommendation_id":HOLE}}]}}', "id", field="events.1"),
    ],
    ("PUT", "/v1/users/{user_id}"): [Place('{"attributes":{"age":HOLE}}', field="attributes")],
    ("PATCH", "/v1/users/{user_id}"): [Place('{"attributes":{"age":HOLE}}', field="attributes")],
    ("POST", "/v1/users/{user_id}/warm-up"): [
        Place('{"events":[{"event_id":"e","item_id":"item1","type":"rating","value":HOLE}]}', field="events.0.value"),
        Place('{"events":[{"event_id":HOLE,"item_id":"item1","type":"like"}]}', "id", field="events.0.event_id"),
        Place('{"events":[{"event_id":"e","item_id":HOLE,"type":"like"}]}', "id", field="events.0.item_id"),
    ],
    ("POST", "/v1/users/{user_id}/reset"): [Place('{"attributes":[HOLE]}', field="attributes")],
    ("POST", "/v1/users/{user_id}/merge"): [Place('{"source_user_id":HOLE}', "id", field="source_user_id")],
    ("PUT", "/v1/items/{item_id}"): [
        Place('{"attributes":{"year":HOLE}}', words=True, field="attributes"),
        Place('{"attributes":{"price":HOLE}}', words=True, field="attributes"),
        Place('{"available":[HOLE]}', field="available"),
    ],
    ("PATCH", "/v1/items/{item_id}"): [
        Place('{"attributes":{"year":HOLE}}', words=True, field="attributes"),
        Place('{"available":[HOLE]}', field="available"),
    ],
    ("POST", "/v1/items/bulk"): [
        Place('{"item_id":"item1","attributes":{"year":HOLE}}', words=True),
        Place('{"item_id":HOLE}', "id"),
    ],
    ("POST", "/v1/api-keys"): [
        Place('{"name":"x","role":"reader","rate_per_s":HOLE}', field="rate_per_s"),
        Place('{"name":"x","role":"reader","rate_per_s":1,"burst":HOLE}', field="burst"),
        Place('{"name":HOLE,"role":"reader"}', "id", field="name"),
        Place('{"name":"x","role":"reader","tenant":HOLE}', "id", field="tenant"),
    ],
    ("POST", "/v1/tenants"): [Place('{"name":HOLE}', "id", field="name")],
}
"""Where numbers and ids stand in the bodies of every route."""

_MALFORMED: Final[dict[str, bytes]] = {
    "empty": b"",
    "empty object": b"{}",
    "blank": b" \n",
    "not json": MARK.encode(),
    "cut": b'{"user_id": "' + MARK.encode(),
    "array": b"[]",
    "number": b"1",
    "string": json.dumps(MARK).encode(),
    "null": b"null",
    "unknown field": json.dumps({"user_id": "ada", MARK: 1}).encode(),
    "two unknown fields": json.dumps({"user_id": "ada", MARK: {MARK: 1}, "x": 2}).encode(),
    "deep arrays": b"[" * 20_000 + b"]" * 20_000,
    "deep arrays without an end": b"[" * 60_000,
    "deep objects": b'{"user_id":' * 5_000 + b"1" + b"}" * 5_000,
    "deep objects without an end": b'{"user_id":' * 5_000,
    "deep value": b'{"user_id": "ada", "candidates": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "surrogate key": b'{"user_id": "a", "\\ud800' + MARK.encode() + b'": 1}',
    "utf-16": json.dumps({"user_id": MARK}).encode("utf-16"),
    "latin-1": b'{"user_id": "' + MARK.encode() + b'\xff"}',
    "surrogate in utf-8": b'{"user_id":"\xed\xa0\x80"}',
    "byte order mark": b"\xef\xbb\xbf" + json.dumps({"user_id": 1}).encode(),
    "comment": b'{"user_id": "a"} // ' + MARK.encode(),
    "two values": b'{"user_id": "a"}{"user_id": "b"}',
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00",
    "zeros": b"\x00" * 1000,
}


def malformed(path: str) -> dict[str, bytes]:
    """Returns bodies that are none of a route's, by name; of one that takes no fields, `{}` is one."""
    fine = {"empty object"} if path in _BLANK_IS_A_BODY else set()
    fine |= {"empty"} if path in _BODY_IS_OPTIONAL else set()
    return {name: body for name, body in _MALFORMED.items() if name not in fine}


def check_problem(response: httpx.Response, statuses: tuple[int, ...] = (422,)) -> dict[str, object]:
    """Returns a refusal's content; fails where it is no problem document, or echoes its input."""
    assert response.status_code in statuses, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = response.json()
    assert set(body) == {"type", "title", "status", "detail", "code", "request_id"}
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["x-request-id"]
    assert MARK not in response.text
    assert len(response.content) < 1024
    return body
