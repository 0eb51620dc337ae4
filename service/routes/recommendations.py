"""POST /v1/recommendations."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.recommender import recommend
from service.routes.body import engine_of, parse, problems, takes
from service.schemas import RecommendationRequest, RecommendationResponse

__all__ = ["router"]

router = APIRouter(tags=["recommendations"])
_REQUEST = TypeAdapter(RecommendationRequest)


@router.post(
    "/v1/recommendations",
    summary="A slate for one user",
    openapi_extra=takes(RecommendationRequest),
    responses={200: {"model": RecommendationResponse}, **problems(409, 413, 415, 422, 429)},
)
async def post_recommendation(request: Request) -> Response:
    """Draws a slate from the user's personal policy, with the propensity of every position."""
    answer = await recommend(engine_of(request), await parse(request, _REQUEST))
    return Response(answer.body, headers=answer.headers, media_type="application/json")
