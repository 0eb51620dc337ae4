"""POST /v1/feedback."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.errors import ApiError
from service.feedback import REJECTION_STATUS, apply_events
from service.routes.body import engine_of, json_answer, parse, problems, takes
from service.routes.guard import GuardedRoute
from service.schemas import Event, EventBatch, FeedbackResponse

__all__ = ["router"]

router = APIRouter(tags=["feedback"], route_class=GuardedRoute)
_ONE = TypeAdapter(Event)
_MANY = TypeAdapter(EventBatch)

_DETAILS = {
    "unknown_impression": "no live recommendation of this user has this id; it expired, or the user was deleted since",
    "unknown_item": "no item has this id; PUT it first",
    "unknown_user": "the user was deleted while this event was on its way; nothing was learned from it",
    "expired": "the recommendation is older than the reward window",
    "late": "timestamp is older than the event ids that are remembered: whether the event counted cannot be told",
    "conflict": "event_id was used for another event of this user; choose a new one",
    "not_in_slate": "item_id was not in the slate of this recommendation",
    "future": "timestamp lies in the future; check the clock",
}


@router.post(
    "/v1/feedback",
    summary="What users did",
    openapi_extra=takes(Event, EventBatch),
    responses={200: {"model": FeedbackResponse}, **problems(404, 409, 413, 415, 422, 429, 503)},
)
async def post_feedback(request: Request) -> Response:
    """Applies one event or a batch: durable, adapted, and counted exactly once by event id before the answer.

    A malformed body applies nothing. In a well-formed batch every event is applied, a duplicate, or rejected by code.
    """
    # The body's shape decides which model names the fault: a client that sends one event hears about its fields.
    batch = await _is_batch(request)
    events = (await parse(request, _MANY)).events if batch else [await parse(request, _ONE)]
    result = await apply_events(engine_of(request), events)
    if not batch and result.rejected:
        code = result.rejected[0]["code"]
        raise ApiError(REJECTION_STATUS[code], code, _DETAILS[code])
    content = {
        "applied": result.applied,
        "duplicates": result.duplicates,
        "rejected": result.rejected,
        "users": result.users,
    }
    return json_answer(content)


async def _is_batch(request: Request) -> bool:
    body = await request.body()
    if b'"events"' not in body:
        return False
    try:
        return "events" in _ANY.validate_json(body)
    except ValueError:
        return False


_ANY: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])
