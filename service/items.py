"""Items: upsert and read; a new one is recommendable at once, on every replica."""

from __future__ import annotations

from typing import Any

from metarl_rec.errors import DataError
from service.catalogue import item_record
from service.engine import Engine
from service.errors import ApiError, invalid_attributes, unavailable
from service.schemas import ItemBody
from service.store.connection import StoreUnavailable

__all__ = ["describe_item", "put_item"]


async def put_item(engine: Engine, item_id: str, body: ItemBody) -> dict[str, Any]:
    """Stores an item and returns it as it is now recommended.

    Raises:
        ApiError: 422 for an attribute that the checkpoint does not declare or of a wrong type; 503 without Redis.
    """
    try:
        engine.checkpoint.item_attributes.encode(body.attributes)
    except DataError as error:
        raise invalid_attributes("attributes", error) from None
    record = item_record(item_id, body.attributes, body.available)
    try:
        if not engine.synced:
            await engine.sync_items()
        _, change = await engine.items.put_item(item_id, record)
        await engine.catch_up(change)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    return describe_item(engine, item_id)


def describe_item(engine: Engine, item_id: str) -> dict[str, Any]:
    """Returns an item.

    Raises:
        ApiError: 404 for an unknown item.
    """
    number = engine.catalogue.number(item_id)
    if number is None:
        raise ApiError(404, "unknown_item", "no item has this id; PUT it first")
    return {
        "item_id": item_id,
        "attributes": dict(engine.catalogue.attributes(number)),
        "available": engine.catalogue.is_available(number),
        "popularity": round(float(engine.catalogue.popularity[number]), 6),
    }
