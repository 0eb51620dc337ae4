"""A call as data: what to send, whether it may be sent again, and how to read the answer. No input or output here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

import httpx

from service.client.errors import UnexpectedAnswerError, api_error

__all__ = ["Call", "answer_of", "as_json", "encoded", "nothing", "segment"]

T = TypeVar("T")

Repeats = Literal["always", "unsent", "never"]
"""When a call may be sent again: always, only where the service can not have acted on it, or never."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and its answer's meaning.

    Attributes:
        method: HTTP method.
        path: with ids percent-encoded.
        read: from the parsed JSON body, None without one, a list of them from NDJSON, to the result.
        body: what is sent, or None.
        params: query parameters.
        media: the body's media type.
        repeats: when it may be sent again.
        accepts: statuses beyond 2xx that are answers, not errors.
        least_timeout_s: the time-out is at least this long; for bodies that take the service a while.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    body: bytes | None = None
    params: Mapping[str, str | int] = field(default_factory=dict)
    media: str = "application/json"
    repeats: Repeats = "always"
    accepts: frozenset[int] = frozenset()
    least_timeout_s: float = 0.0

    def with_params(self, **params: str | int | None) -> Call[T]:
        """Returns the call with these query parameters added, those that are None left out."""
        given = {name: value for name, value in params.items() if value is not None}
        return replace(self, params={**self.params, **given})


def as_json(call: Call[Any]) -> Call[Any]:
    """Returns the call with its answer as it came: parsed JSON, with fields that this client does not know."""
    return replace(call, read=lambda body: body)


def nothing(body: object) -> None:
    """Reads an answer that says nothing but that it was done."""


def encoded(body: object) -> bytes:
    """Returns a JSON body.

    Raises:
        ValueError: a number is not finite.
        TypeError: something in it is no JSON.
    """
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def segment(value: str) -> str:
    """Returns an id as one segment of a path, whatever characters it has.

    Raises:
        ValueError: it is empty, or holds lone surrogates.
    """
    if not value:
        raise ValueError("an id must not be empty")
    # A segment of dots alone would be taken for a step up the path.
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def answer_of(call: Call[T], response: httpx.Response) -> T:
    """Returns the result that an answer holds.

    Raises:
        ApiError: the service refused the call.
        UnexpectedAnswerError: the answer is not one of this service.
    """
    if response.is_redirect:
        raise UnexpectedAnswerError(f"{call.path} answers with a redirect; give the URL that it leads to")
    if not response.is_success and response.status_code not in call.accepts:
        raise api_error(response)
    if not response.content:
        return call.read(None)
    lined = response.headers.get("content-type", "").startswith("application/x-ndjson")
    try:
        body = [json.loads(line) for line in response.iter_lines()] if lined else response.json()
    except ValueError:
        raise UnexpectedAnswerError(
            f"{call.path} answers with something else than JSON; is this the service?"
        ) from None
    return call.read(body)
