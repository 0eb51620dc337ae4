"""POST /v1/recommendations, and what goes with it: batches, activation."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.recommender import activate, recommend, recommend_batch
from service.routes.body import engine_of, json_answer, parse, path_id, problems, takes
from service.routes.guard import GuardedRoute
from service.schemas import (
    ActivationBody,
    BatchResponse,
    RecommendationBatch,
    RecommendationRequest,
    RecommendationResponse,
)

__all__ = ["router"]

router = APIRouter(tags=["recommendations"], route_class=GuardedRoute)
_HEADERS = {
    "X-Policy": {
        "description": "Whose policy drew it: the user's own, or the population's because nothing else could be had.",
        "schema": {"type": "string", "enum": ["personal", "meta"]},
    },
    "X-Replay": {
        "description": "Present where this recommendation_id was answered before: the same slate again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_REQUEST = TypeAdapter(RecommendationRequest)
_BATCH = TypeAdapter(RecommendationBatch)
_ACTIVATION = TypeAdapter(ActivationBody)


@router.post(
    "/v1/recommendations",
    summary="A slate for one user",
    openapi_extra=takes(RecommendationRequest),
    responses={200: {"model": RecommendationResponse, "headers": _HEADERS}, **problems(409, 413, 415, 422, 429)},
)
async def post_recommendation(request: Request) -> Response:
    """Draws a slate from the user's personal policy, with the propensity of every position."""
    answer = await recommend(engine_of(request), await parse(request, _REQUEST))
    return Response(answer.body, headers=answer.headers, media_type="application/json")


@router.post(
    "/v1/recommendations/batch",
    summary="Slates for up to 100 users",
    openapi_extra=takes(RecommendationBatch),
    responses={200: {"model": BatchResponse}, **problems(413, 415, 422, 429)},
)
async def post_recommendations(request: Request) -> Response:
    """Answers every request by itself: a status and a body each, in order."""
    batch = await parse(request, _BATCH)
    results = await recommend_batch(engine_of(request), batch.requests, request.state.request_id)
    return json_answer({"results": results})


@router.post(
    "/v1/recommendations/{recommendation_id}/activate",
    summary="A prefetched slate is shown",
    status_code=204,
    openapi_extra=takes(ActivationBody, required=False),
    responses=problems(404, 413, 415, 422, 429, 503),
)
async def post_activation(recommendation_id: str, request: Request) -> Response:
    """Starts the reward window of a slate that was asked for with `activate: false`; repeating it is harmless.

    The body tells whose slate it is, and may be left out for an id that the service made.
    """
    name = path_id("recommendation_id", recommendation_id)
    body = await parse(request, _ACTIVATION) if await request.body() else ActivationBody()
    await activate(engine_of(request), name, body.user_id)
    return Response(status_code=204)
