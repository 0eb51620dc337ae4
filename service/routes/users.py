"""/v1/users/{user_id}."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.routes.body import engine_of, parse, path_id, problems, takes
from service.schemas import UserBody, UserResponse
from service.users import delete_user, describe_user, put_user

__all__ = ["router"]

router = APIRouter(tags=["users"])
_BODY = TypeAdapter(UserBody)


@router.get(
    "/v1/users/{user_id}",
    summary="What is held of a user",
    responses={200: {"model": UserResponse}, **problems(404, 422, 503)},
)
async def get_user(user_id: str, request: Request) -> Response:
    """Returns status, attributes, and how far the personal policy is from the initialization."""
    found = await describe_user(engine_of(request), path_id("user_id", user_id))
    return Response(json.dumps(found), media_type="application/json")


@router.put(
    "/v1/users/{user_id}",
    summary="Set a user's attributes",
    openapi_extra=takes(UserBody),
    responses={200: {"model": UserResponse}, **problems(413, 415, 422, 503)},
)
async def put_user_attributes(user_id: str, request: Request) -> Response:
    """Replaces the attributes; they set the starting point of the personal policy at once."""
    name, body = path_id("user_id", user_id), await parse(request, _BODY)
    return Response(
        json.dumps(await put_user(engine_of(request), name, body.attributes)), media_type="application/json"
    )


@router.delete("/v1/users/{user_id}", summary="Forget a user", status_code=204, responses=problems(422, 503))
async def forget_user(user_id: str, request: Request) -> Response:
    """Deletes transitions, weights, attributes and impressions at once; repeating it is harmless."""
    await delete_user(engine_of(request), path_id("user_id", user_id))
    return Response(status_code=204)
