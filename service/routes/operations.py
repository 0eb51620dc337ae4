"""/livez, /readyz, /metrics, /version."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from metarl_rec import __version__
from service.routes.body import engine_of, json_answer
from service.routes.guard import GuardedRoute
from service.schemas import Readiness, Version

__all__ = ["router"]

router = APIRouter(tags=["operations"], route_class=GuardedRoute)


def _text(description: str, example: str) -> dict[int | str, dict[str, Any]]:
    """Returns the OpenAPI part of an answer that is plain text."""
    return {
        200: {"description": description, "content": {"text/plain": {"schema": {"type": "string"}, "example": example}}}
    }


@router.get("/livez", summary="The process runs", response_class=Response, responses=_text("It runs.", "ok\n"))
async def livez() -> Response:
    """Answers as long as the event loop turns; never asks Redis."""
    return Response("ok\n", media_type="text/plain")


@router.get(
    "/readyz", summary="The service may get traffic", responses={200: {"model": Readiness}, 503: {"model": Readiness}}
)
async def readyz(request: Request) -> Response:
    """Answers 200 once a policy is loaded and warm, and 503 while draining; says whether Redis is away."""
    ready = bool(request.app.state.ready)
    degraded = ready and not engine_of(request).redis.available
    content = {"status": "ready" if ready else "not ready", "degraded": degraded}
    return json_answer(content, 200 if ready else 503)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses=_text("Prometheus' text format.", "# TYPE metarl_breaker_open gauge\nmetarl_breaker_open 0.0\n"),
)
async def metrics(request: Request) -> Response:
    """Returns all metrics in the text format."""
    return Response(generate_latest(engine_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/version", summary="Release and policy version", responses={200: {"model": Version}})
async def version(request: Request) -> Response:
    """Returns the release and the policy being served."""
    content = {"release": __version__, "policy": engine_of(request).checkpoint.version}
    return json_answer(content)
