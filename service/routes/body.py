"""Request bodies: parsed by pydantic itself, so that NaN, huge numbers and broken Unicode meet one strict parser."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.responses import Response

from service.engine import Engine
from service.errors import ApiError, invalid_body
from service.schemas import check_id

__all__ = ["engine_of", "json_answer", "parse", "path_id", "problems", "takes"]

T = TypeVar("T")


def engine_of(request: Request) -> Engine:
    """Returns the engine of the caller's tenant."""
    engine: Engine = request.state.engine
    return engine


async def parse(request: Request, adapter: TypeAdapter[T]) -> T:
    """Returns the validated body.

    Raises:
        ApiError: 422 that names the field.
    """
    try:
        return adapter.validate_json(await request.body())
    except ValidationError as error:
        reason = "json" if error.errors(include_input=False)[0]["type"] == "json_invalid" else "validation"
        engine_of(request).metrics.rejected.labels(reason).inc()
        raise invalid_body(error) from None


def path_id(name: str, value: str) -> str:
    """Returns an id from a path that `Boundary` has prepared: only %2F and %25 are still encoded.

    Raises:
        ApiError: 422 where it is not fit to be one.
    """
    try:
        return check_id(value.replace("%2F", "/").replace("%25", "%"))
    except ValueError as error:
        raise ApiError(422, "invalid_field", f"{name}: {error}") from None


def json_answer(content: object, status: int = 200) -> Response:
    """Returns an answer; written here, because a response model would cost more than the rest of a call."""
    return Response(json.dumps(content), status, media_type="application/json")


def takes(*models: type[BaseModel], required: bool = True) -> dict[str, Any]:
    """Returns the OpenAPI part of a route whose body is one of these models."""
    refs = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns the OpenAPI part of the problem documents that a route may answer; `documentation` describes them."""
    return {status: {} for status in statuses}
