"""/v1/items: one item, all of them, many at once, and those most alike."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.bulk import bulk_load
from service.items import delete_item, describe_item, level, list_items, patch_item, put_item, similar_items
from service.routes.body import engine_of, json_answer, parse, path_id, problems, takes
from service.routes.guard import GuardedRoute
from service.schemas import BulkResponse, ItemBody, ItemPage, ItemPatch, ItemResponse, SimilarResponse

__all__ = ["router"]

router = APIRouter(tags=["items"], route_class=GuardedRoute)
_BODY = TypeAdapter(ItemBody)
_PATCH = TypeAdapter(ItemPatch)
Cursor = Annotated[str | None, Query(max_length=64, description="From the page before; absent for the first.")]
Expression = Annotated[
    str | None, Query(min_length=1, max_length=2000, description='Only items that satisfy it: `"Drama" in genres`.')
]
_NDJSON = {
    "requestBody": {
        "required": True,
        "description": "One `BulkItem` a line.",
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"item_id": "m1", "attributes": {"genres": ["Drama"]}}\n{"item_id": "m2"}\n',
            }
        },
    }
}


@router.get("/v1/items", summary="All items", responses={200: {"model": ItemPage}, **problems(422)})
async def get_items(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000, description="Items of a page, at most.")] = 100,
    cursor: Cursor = None,
    filter: Expression = None,
) -> Response:
    """Returns a page of items in the order in which they became known."""
    await level(engine_of(request))
    return json_answer(list_items(engine_of(request), limit, cursor, filter))


@router.post(
    "/v1/items/bulk",
    summary="Add or change many items",
    openapi_extra=_NDJSON,
    responses={200: {"model": BulkResponse}, **problems(408, 413, 415, 429, 503)},
)
async def post_items(request: Request) -> Response:
    """Applies a PUT for every line; each is applied or rejected with its line number, and repeating is harmless."""
    return json_answer(await bulk_load(engine_of(request), request.stream()))


@router.get("/v1/items/{item_id}", summary="An item", responses={200: {"model": ItemResponse}, **problems(404, 422)})
async def get_item(item_id: str, request: Request) -> Response:
    """Returns an item's attributes, availability and population value."""
    await level(engine_of(request))
    return json_answer(describe_item(engine_of(request), path_id("item_id", item_id)))


@router.put(
    "/v1/items/{item_id}",
    summary="Add or replace an item",
    openapi_extra=takes(ItemBody),
    responses={200: {"model": ItemResponse}, **problems(413, 415, 422, 503)},
)
async def put_item_attributes(item_id: str, request: Request) -> Response:
    """Stores an item; a new one is recommendable at once, from its attributes."""
    name, body = path_id("item_id", item_id), await parse(request, _BODY)
    return json_answer(await put_item(engine_of(request), name, body))


@router.patch(
    "/v1/items/{item_id}",
    summary="Change parts of an item",
    openapi_extra=takes(ItemPatch),
    responses={200: {"model": ItemResponse}, **problems(404, 413, 415, 422, 503)},
)
async def patch_item_attributes(item_id: str, request: Request) -> Response:
    """Changes what the body names; null takes an attribute or a time away. Effective at once."""
    name, patch = path_id("item_id", item_id), await parse(request, _PATCH)
    return json_answer(await patch_item(engine_of(request), name, patch))


@router.delete("/v1/items/{item_id}", summary="Delete an item", status_code=204, responses=problems(422, 503))
async def remove_item(item_id: str, request: Request) -> Response:
    """Takes an item out of everything at once; repeating it is harmless."""
    await delete_item(engine_of(request), path_id("item_id", item_id))
    return Response(status_code=204)


@router.get(
    "/v1/items/{item_id}/similar",
    summary="Items most like another",
    responses={200: {"model": SimilarResponse}, **problems(404, 422)},
)
async def get_similar(
    item_id: str,
    request: Request,
    k: Annotated[int, Query(ge=1, le=100, description="How many, at most.")] = 10,
    filter: Expression = None,
) -> Response:
    """Returns items on offer whose features have the greatest cosine with this one's."""
    await level(engine_of(request))
    return json_answer(similar_items(engine_of(request), path_id("item_id", item_id), k, filter))
