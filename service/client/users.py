"""Calls about one user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from service.client.call import Call, encoded, nothing, segment
from service.client.decoding import built
from service.client.errors import UnexpectedAnswerError
from service.client.events import Event, body_of
from service.client.results import Explanation, FeedbackResult, User

__all__ = ["delete", "explain", "export", "get", "merge", "patch", "put", "reset", "warm_up"]


def get(user_id: str) -> Call[User]:
    """Returns what is held of a user.

    Raises:
        NotFoundError: nothing is.
    """
    return Call("GET", _path(user_id), _user)


def put(user_id: str, attributes: Mapping[str, Any]) -> Call[User]:
    """Replaces a user's attributes; they set the starting point of the personal policy at once."""
    return Call("PUT", _path(user_id), _user, encoded({"attributes": dict(attributes)}))


def patch(user_id: str, attributes: Mapping[str, Any]) -> Call[User]:
    """Sets the attributes that are named; None takes one away, the others stay."""
    return Call("PATCH", _path(user_id), _user, encoded({"attributes": dict(attributes)}))


def delete(user_id: str) -> Call[None]:
    """Forgets a user: transitions, weights, attributes, slates. Repeating it is harmless."""
    return Call("DELETE", _path(user_id), nothing)


def warm_up(user_id: str, events: Iterable[Event | Mapping[str, Any]]) -> Call[FeedbackResult]:
    """Tells a user's history, up to 1,000 events of any age; the next recommendation is personal."""
    bodies = [{name: value for name, value in body_of(event).items() if name != "user_id"} for event in events]
    return Call("POST", f"{_path(user_id)}/warm-up", _feedback, encoded({"events": bodies}))


def reset(user_id: str, *, attributes: bool = False) -> Call[User]:
    """Takes a user back to the meta-policy; attributes stay unless they are to go, too."""
    return Call("POST", f"{_path(user_id)}/reset", _user, encoded({"attributes": True}) if attributes else None)


def merge(user_id: str, source_user_id: str) -> Call[User]:
    """Moves everything held of another user here, for example of an anonymous session, and deletes that user.

    Raises:
        NotFoundError: nothing is held of the source, and it was not merged into this user within the last day.
    """
    return Call("POST", f"{_path(user_id)}/merge", _user, encoded({"source_user_id": source_user_id}))


def export(user_id: str) -> Call[list[dict[str, Any]]]:
    """Returns everything held of a user, each with its `kind`: the user, transitions, seen items, live slates."""
    return Call("GET", f"{_path(user_id)}/export", _lines)


def explain(user_id: str, *, k: int | None = None) -> Call[Explanation]:
    """Returns the leading items beside the meta-policy's ranks, and each transition's exact effect on them."""
    return Call("GET", f"{_path(user_id)}/explain", _explanation).with_params(k=k)


def _path(user_id: str) -> str:
    return f"/v1/users/{segment(user_id)}"


def _lines(body: object) -> list[dict[str, Any]]:
    if not isinstance(body, list) or not all(isinstance(line, dict) for line in body):
        raise UnexpectedAnswerError("the answer is no NDJSON; is this the service's URL?")
    return body


def _user(body: object) -> User:
    return built(User, body)


def _feedback(body: object) -> FeedbackResult:
    return built(FeedbackResult, body)


def _explanation(body: object) -> Explanation:
    return built(Explanation, body)
