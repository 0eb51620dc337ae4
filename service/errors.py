"""Errors as problem documents: one place that maps them to HTTP; the input is never echoed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from metarl_rec.errors import DataError, UnknownAttributeError
from service.schemas import FIELDS

__all__ = ["ApiError", "invalid_attributes", "invalid_body", "problem", "problem_content", "unavailable"]

_TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Body too large",
    415: "Unsupported encoding",
    422: "Invalid request",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


class ApiError(Exception):
    """A request that is refused.

    Attributes:
        status: HTTP status.
        code: stable word for programs.
        detail: sentence for people: what is wrong and what to do.
        headers: extra response headers.
    """

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        super().__init__(detail)


def problem(status: int, code: str, detail: str, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """Returns a problem document."""
    content = problem_content(ApiError(status, code, detail), request_id)
    return Response(json.dumps(content), status, dict(headers or {}), "application/problem+json")


def problem_content(error: ApiError, request_id: str) -> dict[str, Any]:
    """Returns a problem document's content (RFC 9457)."""
    return {
        "type": f"urn:metarl-rec:problem:{error.code}",
        "title": _TITLES.get(error.status, "Error"),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
    }


def invalid_body(error: ValidationError) -> ApiError:
    """Returns the 422 that names the first invalid field and what it must be."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    # Names of unknown fields are the client's own text: the place is named by its parent.
    known = first["loc"][:-1] if first["type"] == "extra_forbidden" else first["loc"]
    where = ".".join(str(part) for part in known if not (isinstance(part, str) and _is_noise(part)))
    if first["type"] == "json_invalid":
        return ApiError(422, "invalid_json", "the body is not valid JSON; send one JSON object in UTF-8")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = (
        "unknown field; see /docs for the fields"
        if first["type"] == "extra_forbidden"
        else first["msg"].removeprefix("Value error, ")
    )
    # What our own checks of a whole body say names its fields already.
    place = where or ("" if first["type"] == "value_error" else "body")
    return ApiError(422, "invalid_field", f"{place}: {message}{more}" if place else f"{message}{more}")


def invalid_attributes(field: str, error: DataError) -> ApiError:
    """Returns the 422 of attributes that the checkpoint does not take; an unknown name is the client's own text."""
    if isinstance(error, UnknownAttributeError):
        known = ", ".join(error.known) or "none"
        return ApiError(422, "invalid_field", f"{field}: unknown attribute; this checkpoint declares {known}")
    return ApiError(422, "invalid_field", f"{field}: {error}")


def _is_noise(part: str) -> bool:
    """Returns whether a part of an error's location is no field of ours: a union's branch, or the client's own key."""
    return part not in FIELDS


def unavailable(kind: str) -> ApiError:
    """Returns the 503 of what Redis did not answer or confirm; a write may have happened all the same."""
    detail = f"the store did not confirm the call ({kind}); repeat it as it is, event ids make that safe"
    return ApiError(503, "store_unavailable", detail, {"Retry-After": "1"})
