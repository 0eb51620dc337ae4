"""Items: upsert, change, delete, list, and those most alike; effective at once, on every replica."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from metarl_rec.errors import DataError
from service.attribute_index import MAX_ATTRIBUTES
from service.candidates import selected
from service.catalogue import ItemRecord, item_record
from service.contention import ATTEMPTS, pause
from service.engine import Engine
from service.errors import ApiError, invalid_attributes, unavailable
from service.schemas import ItemBody, ItemPatch
from service.store.connection import StoreUnavailable
from service.times import rfc3339

__all__ = [
    "delete_item",
    "describe_item",
    "level",
    "list_items",
    "patch_item",
    "put_item",
    "record_of",
    "similar_items",
]


def record_of(engine: Engine, item_id: str, body: ItemBody) -> ItemRecord:
    """Returns an item's record.

    Raises:
        ApiError: 422 for an attribute that the checkpoint declares with another type, or times that leave no time.
    """
    _check(engine, body.attributes)
    return _timed(
        {
            "item_id": item_id,
            "attributes": body.attributes,
            "available": body.available,
            "published_at": body.published_at.timestamp() if body.published_at else None,
            "expires_at": body.expires_at.timestamp() if body.expires_at else None,
        }
    )


async def put_item(engine: Engine, item_id: str, body: ItemBody) -> dict[str, Any]:
    """Stores an item and returns it as it is now recommended.

    Raises:
        ApiError: 422 as in `record_of`; 503 without Redis.
    """
    await _store(engine, item_id, record_of(engine, item_id, body))
    return describe_item(engine, item_id)


async def patch_item(engine: Engine, item_id: str, patch: ItemPatch) -> dict[str, Any]:
    """Changes parts of an item; two patches at once both count.

    Raises:
        ApiError: 404 for an unknown item; 422 as in `record_of`; 503 without Redis.
    """
    try:
        await engine.catch_up(await engine.items.counter(), patient=True)
        for attempt in range(ATTEMPTS):
            number = engine.catalogue.number(item_id)
            if number is None:
                raise _unknown()
            stored, changes = await engine.items.read(number)
            await engine.catch_up(changes, patient=True)
            if not engine.catalogue.knows(number):
                raise _unknown()
            record = _patched(engine, engine.catalogue.record(number), patch)
            change = await engine.items.replace(number, stored, item_record(record))
            if change:
                await engine.catch_up(change, patient=True)
                return describe_item(engine, item_id)
            # Somebody else changed it meanwhile.
            await pause(attempt)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    raise unavailable("contention")


def _patched(engine: Engine, record: ItemRecord, patch: ItemPatch) -> ItemRecord:
    attributes = {**record["attributes"], **patch.attributes}
    record["attributes"] = {name: value for name, value in attributes.items() if value is not None}
    _check(engine, record["attributes"])
    if patch.available is not None:
        record["available"] = patch.available
    if "published_at" in patch.model_fields_set:
        record["published_at"] = patch.published_at.timestamp() if patch.published_at else None
    if "expires_at" in patch.model_fields_set:
        record["expires_at"] = patch.expires_at.timestamp() if patch.expires_at else None
    return _timed(record)


def _timed(record: ItemRecord) -> ItemRecord:
    published, expires = record["published_at"], record["expires_at"]
    if published is not None and expires is not None and expires <= published:
        raise ApiError(422, "invalid_field", "expires_at: must be later than published_at")
    return record


async def delete_item(engine: Engine, item_id: str) -> None:
    """Takes an item out of everything; repeating it is harmless. Transitions with it are skipped from now on.

    Its number stays with its id for ever, so that they mean the same item again, should it come back.

    Raises:
        ApiError: 503 without Redis.
    """
    try:
        await engine.catch_up(await engine.items.counter(), patient=True)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    if engine.catalogue.number(item_id) is not None:
        await _store(engine, item_id, {"item_id": item_id, "deleted": True})


async def level(engine: Engine) -> None:
    """Brings the catalogue up to date, so that what another replica was told is read here; without Redis it stays."""
    with contextlib.suppress(StoreUnavailable):
        await engine.catch_up(await engine.items.counter())


async def _store(engine: Engine, item_id: str, record: ItemRecord) -> None:
    try:
        change = await engine.items.put([(item_id, item_record(record))])
        await engine.catch_up(change, patient=True)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None


def _check(engine: Engine, attributes: Mapping[str, Any]) -> None:
    encoder = engine.checkpoint.item_attributes
    declared = set(encoder.names)
    try:
        encoder.check({name: value for name, value in attributes.items() if name in declared})
    except DataError as error:
        raise invalid_attributes("attributes", error) from None
    if not engine.catalogue.has_room(list(attributes)):
        detail = f"attributes: the catalogue's items would have more than {MAX_ATTRIBUTES} different ones; use fewer"
        raise ApiError(422, "invalid_field", detail)


def describe_item(engine: Engine, item_id: str) -> dict[str, Any]:
    """Returns an item.

    Raises:
        ApiError: 404 for an unknown item.
    """
    number = engine.catalogue.number(item_id)
    if number is None:
        raise _unknown()
    return _description(engine, number)


def list_items(engine: Engine, limit: int, cursor: str | None, expression: str | None) -> dict[str, Any]:
    """Returns a page of items in the order of their numbers; an item is on one page, whatever changes meanwhile.

    Raises:
        ApiError: 422 for a cursor that is none of ours, or a filter that cannot be read.
    """
    catalogue = engine.catalogue
    chosen = None if expression is None else selected(catalogue, expression, "filter")
    numbers = catalogue.following(-1 if cursor is None else _after(cursor), chosen)[: limit + 1]
    page: dict[str, Any] = {"items": [_description(engine, int(number)) for number in numbers[:limit]]}
    if len(numbers) > limit:
        page["cursor"] = base64.urlsafe_b64encode(str(int(numbers[limit - 1])).encode()).decode()
    return page


def _after(cursor: str) -> int:
    try:
        number = int(base64.urlsafe_b64decode(cursor.encode()).decode("ascii"))
    except ValueError:
        number = -1
    if not 0 <= number < 2**32:
        raise ApiError(422, "invalid_field", "cursor: take it from the page before, or leave it out")
    return number


def similar_items(engine: Engine, item_id: str, k: int, expression: str | None) -> dict[str, Any]:
    """Returns the items on offer that are most like another: cosine of features, an exact scan.

    Raises:
        ApiError: 404 for an unknown item; 422 for a filter that cannot be read.
    """
    catalogue = engine.catalogue
    number = catalogue.number(item_id)
    if number is None:
        raise _unknown()
    mask = catalogue.on_offer(engine.now()).copy()
    mask[number] = False
    if expression is not None:
        mask &= selected(catalogue, expression, "filter")
    lengths = catalogue.lengths * catalogue.lengths[number]
    cosine = np.divide(
        catalogue.features @ catalogue.features[number], lengths, out=np.zeros_like(lengths), where=lengths > 0
    )
    cosine[~mask] = -np.inf
    found = min(k, int(np.count_nonzero(mask)))
    # Of items equally alike those known longest stand first, so that an answer does not depend on a partition's whim.
    least = np.partition(cosine, len(cosine) - found)[len(cosine) - found] if found else np.inf
    near = np.flatnonzero(cosine >= least)
    best = near[np.argsort(-cosine[near], kind="stable")[:found]].tolist()
    return {
        "items": [
            {
                "item_id": catalogue.item_id(at),
                "similarity": round(float(cosine[at]), 6),
                "attributes": dict(catalogue.attributes(at)),
            }
            for at in best
        ]
    }


def _description(engine: Engine, number: int) -> dict[str, Any]:
    catalogue = engine.catalogue
    record = catalogue.record(number)
    declared = engine.checkpoint.item_attributes.names
    found: dict[str, Any] = {
        "item_id": record["item_id"],
        "attributes": dict(record["attributes"]),
        "available": record["available"],
        "popularity": round(float(catalogue.popularity[number]), 6),
        "not_learned_from": [name for name in record["attributes"] if name not in declared],
    }
    for name, time in (("published_at", record["published_at"]), ("expires_at", record["expires_at"])):
        if time is not None:
            found[name] = rfc3339(time)
    return found


def _unknown() -> ApiError:
    return ApiError(404, "unknown_item", "no item has this id; PUT it first")
