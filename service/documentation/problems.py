"""The refusals that an operation documents: what each status means here, with an example."""

from __future__ import annotations

from typing import Any, Final

from service.errors import ApiError, problem_content

__all__ = ["described_problem"]

_REQUEST_ID: Final = "9f86d081884c7d65"
_WAIT: Final = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
_MEANINGS: Final[dict[int, tuple[str, str, str]]] = {
    401: (
        "There is no key, or not a valid one.",
        "unauthorized",
        "send a valid API key as Authorization: Bearer KEY or X-API-Key: KEY",
    ),
    403: (
        "The key's role does not allow this.",
        "forbidden",
        "this call needs role writer; ask an administrator for such a key",
    ),
    408: (
        "The body came too slowly.",
        "body_timeout",
        "the body did not arrive in time; send it without pauses",
    ),
    413: (
        "The body is too large.",
        "body_too_large",
        "the body may have 65536 bytes; send less, or in several calls",
    ),
    415: (
        "The body is compressed.",
        "unsupported_encoding",
        "send the body without content-encoding",
    ),
    422: (
        "Something in the request is not as documented; `detail` names the field.",
        "invalid_field",
        "k: Input should be less than or equal to 100",
    ),
    429: (
        "Too many calls by this key, or at once by all; wait as `Retry-After` says.",
        "rate_limited",
        "this key may make 10 calls a second, 20 at once; wait as Retry-After says",
    ),
    503: (
        "Redis did not confirm the call; repeat it as it is, after `Retry-After` seconds.",
        "store_unavailable",
        "the store did not confirm the call (timeout); repeat it as it is, event ids make that safe",
    ),
}
_UNKNOWN: Final[dict[str, tuple[str, str, str]]] = {
    "recommendations": (
        "No live slate of this user has the id.",
        "unknown_impression",
        "no live recommendation of this user has this id; it expired or never was",
    ),
    "feedback": (
        "A single event is about an item, a slate or a user who is not there.",
        "unknown_item",
        "no item has this id; PUT it first",
    ),
    "users": (
        "Nothing is held of the user.",
        "unknown_user",
        "nothing is held of this user; feedback or attributes make one",
    ),
    "items": (
        "There is no such item.",
        "unknown_item",
        "no item has this id; PUT it first",
    ),
    "administration": (
        "There is no such key or tenant.",
        "unknown_tenant",
        "name: there is no such tenant; GET /v1/tenants lists them",
    ),
}
_CONFLICTS: Final[dict[str, tuple[str, str, str]]] = {
    "recommendations": (
        "Another request had this `recommendation_id`.",
        "conflict",
        "recommendation_id was used for another request; choose a new one",
    ),
    "feedback": (
        "A single event came too late: its slate's reward window, or what is remembered of event ids, is over.",
        "expired",
        "the recommendation is older than the reward window",
    ),
    "administration": (
        "The name is taken, or there are as many as there may be.",
        "conflict",
        "name: there is a tenant of this name; choose another",
    ),
}


def described_problem(status: int, tag: str) -> dict[str, Any]:
    """Returns the OpenAPI response of a problem document.

    Args:
        status: of the response.
        tag: the operation's group: what a 404 or a 409 means depends on it.
    """
    meaning, code, detail = {404: _UNKNOWN, 409: _CONFLICTS}[status][tag] if status in (404, 409) else _MEANINGS[status]
    content = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "example": problem_content(ApiError(status, code, detail), _REQUEST_ID),
    }
    told = {"description": meaning, "content": {"application/problem+json": content}}
    return told | {"headers": _WAIT} if status in (429, 503) else told
