"""/v1/items/{item_id}."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.items import describe_item, put_item
from service.routes.body import engine_of, parse, path_id, problems, takes
from service.schemas import ItemBody, ItemResponse

__all__ = ["router"]

router = APIRouter(tags=["items"])
_BODY = TypeAdapter(ItemBody)


@router.get("/v1/items/{item_id}", summary="An item", responses={200: {"model": ItemResponse}, **problems(404, 422)})
async def get_item(item_id: str, request: Request) -> Response:
    """Returns an item's attributes, availability and population value."""
    found = describe_item(engine_of(request), path_id("item_id", item_id))
    return Response(json.dumps(found), media_type="application/json")


@router.put(
    "/v1/items/{item_id}",
    summary="Add or change an item",
    openapi_extra=takes(ItemBody),
    responses={200: {"model": ItemResponse}, **problems(413, 415, 422, 503)},
)
async def put_item_attributes(item_id: str, request: Request) -> Response:
    """Stores an item; a new one is recommendable at once, from its attributes."""
    name, body = path_id("item_id", item_id), await parse(request, _BODY)
    return Response(json.dumps(await put_item(engine_of(request), name, body)), media_type="application/json")
