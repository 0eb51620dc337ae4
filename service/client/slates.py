"""Asking for slates: one, many at once, and saying that a prefetched one is shown now."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ParamSpec

from service.client.call import Call, Repeats, encoded, nothing, segment
from service.client.decoding import built
from service.client.errors import ApiError, UnexpectedAnswerError, problem_error
from service.client.events import EventType
from service.client.results import Slate

__all__ = ["Request", "activate", "recommend", "recommend_batch"]

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Request:
    """What a slate is asked for with; absent fields leave the choice to the service.

    Attributes:
        user_id: for whom.
        k: items wanted, 1 to 100; the service's default is 10.
        user_attributes: for this request only.
        candidates: ids to choose among.
        exclude_item_ids: ids never to show.
        exclude_seen: whether to leave out items with feedback of the user, or of which types the feedback must be.
        filter: expression over item attributes, for example `"Drama" in genres and year >= 1990`.
        boosts: what to add to the value of the items of each filter, in units of a reward.
        pins: item id by rank, from 1.
        caps: greatest number of items of each value, by attribute.
        diversity: 0 minds values alone, 1 unlikeness to the items above alone.
        explore: False takes the best items, which off-policy evaluation cannot use.
        temperature: of the exploration; the checkpoint's when absent.
        context: context features, where the checkpoint declares any.
        explain: adds attributes and reasons to every item.
        activate: False prefetches: the slate counts as shown once it is activated or answered.
        recommendation_id: makes the call idempotent; then `activate` and events also need the user id.
    """

    user_id: str
    _: KW_ONLY
    k: int | None = None
    user_attributes: Mapping[str, Any] | None = None
    candidates: Iterable[str] | None = None
    exclude_item_ids: Iterable[str] | None = None
    exclude_seen: bool | Sequence[EventType] | None = None
    filter: str | None = None
    boosts: Mapping[str, float] | None = None
    pins: Mapping[int, str] | None = None
    caps: Mapping[str, int] | None = None
    diversity: float | None = None
    explore: bool = True
    temperature: float | None = None
    context: Mapping[str, Any] | None = None
    explain: bool = False
    activate: bool = True
    recommendation_id: str | None = None

    def body(self) -> dict[str, Any]:
        """Returns the request's JSON, without what is absent."""
        exploration = {"enabled": self.explore, "temperature": self.temperature}
        named: dict[str, Any] = {
            "user_id": self.user_id,
            "k": self.k,
            "user_attributes": self.user_attributes,
            "candidates": _listed(self.candidates, lambda item_id: {"item_id": item_id}),
            "exclude_item_ids": _listed(self.exclude_item_ids, str),
            "exclude_seen": self.exclude_seen,
            "filter": self.filter,
            "boosts": _listed(self.boosts, lambda each: {"filter": each, "value": (self.boosts or {})[each]}),
            "pins": _listed(self.pins, lambda rank: {"item_id": (self.pins or {})[rank], "rank": rank}),
            "caps": _listed(self.caps, lambda name: {"attribute": name, "max": (self.caps or {})[name]}),
            "diversity": self.diversity,
            "exploration": {name: value for name, value in exploration.items() if value not in (None, True)} or None,
            "context": self.context,
            "explain": self.explain or None,
            "activate": None if self.activate else False,
            "recommendation_id": self.recommendation_id,
        }
        return {name: value for name, value in named.items() if value is not None}

    @property
    def repeats(self) -> Repeats:
        """When asking again is harmless.

        A slate whose answer got lost would count as shown and be learned from as unanswered, though nobody saw it. So
        what may have been drawn is asked for again only where the same slate comes back, or one that does not count.
        """
        return "unsent" if self.recommendation_id is None and self.activate else "always"


def _asking(make: Callable[P, Request]) -> Callable[P, Call[Slate]]:
    @functools.wraps(make, assigned=())
    def ask(*args: P.args, **kwargs: P.kwargs) -> Call[Slate]:
        request = make(*args, **kwargs)
        return Call("POST", "/v1/recommendations", _slate, encoded(request.body()), repeats=request.repeats)

    ask.__signature__ = inspect.signature(make).replace(return_annotation="Call[Slate]")  # type: ignore[attr-defined]
    ask.__doc__ = f"Returns a slate for one user. Arguments: {(Request.__doc__ or '').partition('Attributes:')[2]}"
    return ask


recommend = _asking(Request)


def recommend_batch(requests: Iterable[Request]) -> Call[list[Slate | ApiError]]:
    """Returns a slate, or the error that took its place, for each of up to 100 requests, in order."""
    asked = list(requests)
    repeats: Repeats = "always" if all(request.repeats == "always" for request in asked) else "unsent"
    body = encoded({"requests": [request.body() for request in asked]})
    return Call("POST", "/v1/recommendations/batch", _answers, body, repeats=repeats)


def activate(recommendation_id: str, *, user_id: str | None = None) -> Call[None]:
    """Says that a prefetched slate is shown now; the user id is needed where the caller chose the id."""
    body = None if user_id is None else encoded({"user_id": user_id})
    return Call("POST", f"/v1/recommendations/{segment(recommendation_id)}/activate", nothing, body)


def _listed(values: Iterable[Any] | None, each: Callable[[Any], Any]) -> list[Any] | None:
    return None if values is None else [each(value) for value in values]


def _slate(body: object) -> Slate:
    return built(Slate, body)


def _answers(body: object) -> list[Slate | ApiError]:
    try:
        found = [(int(result["status"]), result["body"]) for result in body["results"]]  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        raise UnexpectedAnswerError("the answer holds no list of results; is this the service's URL?") from None
    return [_slate(answer) if status == 200 else problem_error(status, answer) for status, answer in found]
