"""/v1/users/{user_id}, and what can be done with one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.explaining import explain_user
from service.history import warm_up
from service.routes.body import engine_of, json_answer, parse, path_id, problems, takes
from service.routes.guard import GuardedRoute
from service.schemas import (
    ExplainResponse,
    FeedbackResponse,
    MergeBody,
    ResetBody,
    UserBody,
    UserPatch,
    UserResponse,
    WarmUpBody,
)
from service.user_export import export_user
from service.users import delete_user, describe_user, merge_users, patch_user, put_user, reset_user

__all__ = ["router"]

router = APIRouter(tags=["users"], route_class=GuardedRoute)
_BODY, _PATCH = TypeAdapter(UserBody), TypeAdapter(UserPatch)
_EXPORT = """{"kind": "user", "user_id": "ada", "attributes": {"age": 31}, "created_at": "2026-11-23T20:00:00+00:00", \
"updated_at": "2026-11-23T20:05:00+00:00", "policy_version": "3b402f16966f0a1c", "weights": null}
{"kind": "transition", "event": "0b5a", "item_id": "50", "reward": 1.0, "propensity": null, \
"at": "2026-11-23T20:05:00+00:00", "slate": null, "rank": null, "answered": true}
{"kind": "seen", "item_id": "50", "types": ["like"]}
"""
Leading = Annotated[int, Query(ge=1, le=100, description="How many of the leading items.")]
_HISTORY, _RESET, _MERGE = TypeAdapter(WarmUpBody), TypeAdapter(ResetBody), TypeAdapter(MergeBody)


@router.get(
    "/v1/users/{user_id}",
    summary="What is held of a user",
    responses={200: {"model": UserResponse}, **problems(404, 422, 503)},
)
async def get_user(user_id: str, request: Request) -> Response:
    """Returns status, attributes, and how far the personal policy is from the initialization."""
    return json_answer(await describe_user(engine_of(request), path_id("user_id", user_id)))


@router.put(
    "/v1/users/{user_id}",
    summary="Set a user's attributes",
    openapi_extra=takes(UserBody),
    responses={200: {"model": UserResponse}, **problems(413, 415, 422, 503)},
)
async def put_user_attributes(user_id: str, request: Request) -> Response:
    """Replaces the attributes; they set the starting point of the personal policy at once."""
    name, body = path_id("user_id", user_id), await parse(request, _BODY)
    return json_answer(await put_user(engine_of(request), name, body.attributes))


@router.patch(
    "/v1/users/{user_id}",
    summary="Change some of a user's attributes",
    openapi_extra=takes(UserPatch),
    responses={200: {"model": UserResponse}, **problems(404, 413, 415, 422, 503)},
)
async def patch_user_attributes(user_id: str, request: Request) -> Response:
    """Sets the attributes that the body names; null takes one away, the others stay."""
    name, body = path_id("user_id", user_id), await parse(request, _PATCH)
    return json_answer(await patch_user(engine_of(request), name, body.attributes))


@router.delete("/v1/users/{user_id}", summary="Forget a user", status_code=204, responses=problems(422, 503))
async def forget_user(user_id: str, request: Request) -> Response:
    """Deletes transitions, weights, attributes and impressions at once; repeating it is harmless."""
    await delete_user(engine_of(request), path_id("user_id", user_id))
    return Response(status_code=204)


@router.post(
    "/v1/users/{user_id}/warm-up",
    summary="Tell a user's history",
    openapi_extra=takes(WarmUpBody),
    responses={200: {"model": FeedbackResponse}, **problems(413, 415, 422, 503)},
)
async def post_warm_up(user_id: str, request: Request) -> Response:
    """Applies events of any age in the order of their times; the very next recommendation is personal."""
    name, body = path_id("user_id", user_id), await parse(request, _HISTORY)
    return json_answer(await warm_up(engine_of(request), name, body.events))


@router.post(
    "/v1/users/{user_id}/reset",
    summary="Take a user back to the meta-policy",
    openapi_extra=takes(ResetBody, required=False),
    responses={200: {"model": UserResponse}, **problems(404, 413, 415, 422, 503)},
)
async def post_reset(user_id: str, request: Request) -> Response:
    """Forgets everything learned; attributes stay unless the body says otherwise."""
    name = path_id("user_id", user_id)
    body = await parse(request, _RESET) if await request.body() else ResetBody()
    return json_answer(await reset_user(engine_of(request), name, attributes=body.attributes))


@router.post(
    "/v1/users/{user_id}/merge",
    summary="Merge another user into this one",
    openapi_extra=takes(MergeBody),
    responses={200: {"model": UserResponse}, **problems(404, 413, 415, 422, 503)},
)
async def post_merge(user_id: str, request: Request) -> Response:
    """Moves transitions, seen items and attributes here (this user's attributes win), and deletes the other user.

    Repeating it is harmless: for a day it answers again, with this user as they are then.
    """
    name, body = path_id("user_id", user_id), await parse(request, _MERGE)
    return json_answer(await merge_users(engine_of(request), name, body.source_user_id))


@router.get(
    "/v1/users/{user_id}/export",
    summary="Everything held of a user",
    response_class=Response,
    responses={
        200: {
            "description": "NDJSON: one line each for the user, transitions, seen items and live slates.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": _EXPORT}},
        },
        **problems(404, 422, 503),
    },
)
async def get_export(user_id: str, request: Request) -> Response:
    """Returns everything as NDJSON."""
    found = await export_user(engine_of(request), path_id("user_id", user_id))
    return Response(found, media_type="application/x-ndjson")


@router.get(
    "/v1/users/{user_id}/explain",
    summary="Why a user's list is what it is",
    responses={200: {"model": ExplainResponse}, **problems(404, 422, 503)},
)
async def get_explanation(user_id: str, request: Request, k: Leading = 10) -> Response:
    """Returns the leading items beside the meta-policy's ranks, and the exact effect of every transition on them."""
    return json_answer(await explain_user(engine_of(request), path_id("user_id", user_id), k))
