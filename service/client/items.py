"""Calls about items: one, pages of them, those most alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from service.client.call import Call, encoded, nothing, segment
from service.client.decoding import built
from service.client.errors import UnexpectedAnswerError
from service.client.events import time_text
from service.client.results import Item, ItemPage, SimilarItem

__all__ = ["after", "delete", "get", "listed", "patch", "put", "similar"]


def get(item_id: str) -> Call[Item]:
    """Returns an item.

    Raises:
        NotFoundError: there is none of this id.
    """
    return Call("GET", _path(item_id), _item)


def put(
    item_id: str,
    attributes: Mapping[str, Any] | None = None,
    *,
    available: bool = True,
    published_at: datetime | None = None,
    expires_at: datetime | None = None,
) -> Call[Item]:
    """Adds or replaces an item; a new one is recommendable at once, from its attributes."""
    body = {"attributes": dict(attributes or {}), "available": available, **_times(published_at, expires_at)}
    return Call("PUT", _path(item_id), _item, encoded(body))


def patch(
    item_id: str,
    attributes: Mapping[str, Any] | None = None,
    *,
    available: bool | None = None,
    published_at: datetime | None = None,
    expires_at: datetime | None = None,
    clear: Sequence[Literal["published_at", "expires_at"]] = (),
) -> Call[Item]:
    """Changes what is given and leaves the rest; an attribute that is None and a time in `clear` are taken away."""
    body: dict[str, Any] = {
        **dict.fromkeys(clear),
        **({"attributes": dict(attributes)} if attributes else {}),
        **_times(published_at, expires_at),
    }
    if available is not None:
        body["available"] = available
    return Call("PATCH", _path(item_id), _item, encoded(body))


def delete(item_id: str) -> Call[None]:
    """Takes an item out of everything at once. Repeating it is harmless."""
    return Call("DELETE", _path(item_id), nothing)


def listed(*, filter: str | None = None, page_size: int = 1000) -> Call[ItemPage]:
    """Yields all items in the order in which they became known, or those that a filter lets pass, page by page."""
    return Call("GET", "/v1/items", _page).with_params(filter=filter, limit=page_size)


def after(call: Call[ItemPage], page: ItemPage) -> Call[ItemPage] | None:
    """Returns the call for the page after this one, or None where it was the last."""
    return None if page.cursor is None else call.with_params(cursor=page.cursor)


def similar(item_id: str, *, k: int | None = None, filter: str | None = None) -> Call[tuple[SimilarItem, ...]]:
    """Returns the items on offer that the same people like, the most alike first."""
    return Call("GET", f"{_path(item_id)}/similar", _similar).with_params(k=k, filter=filter)


def _path(item_id: str) -> str:
    return f"/v1/items/{segment(item_id)}"


def _times(published_at: datetime | None, expires_at: datetime | None) -> dict[str, str]:
    given = {"published_at": published_at, "expires_at": expires_at}
    return {name: time_text(time) for name, time in given.items() if time is not None}


def _item(body: object) -> Item:
    return built(Item, body)


def _page(body: object) -> ItemPage:
    return built(ItemPage, body)


def _similar(body: object) -> tuple[SimilarItem, ...]:
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        raise UnexpectedAnswerError("the answer holds no list of items; is this the service's URL?")
    return tuple(built(SimilarItem, entry) for entry in body["items"])
