"""Errors of the client, one tree; a message never holds the API key.

ClientError                    anything that kept a call from its answer
├── UnreachableError           no answer: refused, timed out, or the connection broke
├── UnexpectedAnswerError      an answer that this service would not give: the URL may be another program's
└── ApiError                   the service refused the call, and says why
    ├── UnauthorizedError      401: no key, or one that is not known
    ├── ForbiddenError         403: the key's role does not allow it
    ├── NotFoundError          404
    ├── ConflictError          409
    ├── InvalidRequestError    422: the detail names the field
    ├── TooManyRequestsError   429: `retry_after_s` says how long to wait
    └── UnavailableError       503: the store did not confirm the call
"""

from __future__ import annotations

import httpx

__all__ = [
    "ApiError",
    "ClientError",
    "ConflictError",
    "ForbiddenError",
    "InvalidRequestError",
    "NotFoundError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "api_error",
    "problem_error",
]


class ClientError(Exception):
    """Root of the tree; its text is fit to be shown to a person."""


class UnreachableError(ClientError):
    """No answer came. Whether the call took effect is unknown, unless the connection was refused."""


class UnexpectedAnswerError(ClientError):
    """The answer is not one of this service."""


class ApiError(ClientError):
    """The service refused a call.

    Attributes:
        status: HTTP status.
        code: stable word for programs.
        detail: sentence for people: what is wrong and what to do.
        request_id: finds the call in the service's log; empty where none came.
        retry_after_s: how long the service asks to wait, or None.
    """

    def __init__(
        self, status: int, code: str, detail: str, request_id: str = "", retry_after_s: float | None = None
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        super().__init__(f"{status} {code}: {detail}")


class UnauthorizedError(ApiError):
    """401."""


class ForbiddenError(ApiError):
    """403."""


class NotFoundError(ApiError):
    """404."""


class ConflictError(ApiError):
    """409."""


class InvalidRequestError(ApiError):
    """422."""


class TooManyRequestsError(ApiError):
    """429."""


class UnavailableError(ApiError):
    """503."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidRequestError,
    429: TooManyRequestsError,
    503: UnavailableError,
}


def api_error(response: httpx.Response) -> ApiError:
    """Returns the error that an answer stands for; one that is no problem document gets the code `http_STATUS`."""
    try:
        body: object = response.json()
    except ValueError:
        body = None
    request_id = response.headers.get("x-request-id", "")
    return problem_error(response.status_code, body, request_id, retry_after_s(response))


def problem_error(status: int, body: object, request_id: str = "", retry_after_s: float | None = None) -> ApiError:
    """Returns the error of a status with its problem document (RFC 9457)."""
    document = body if isinstance(body, dict) else {}
    code, detail = document.get("code"), document.get("detail")
    if not isinstance(code, str) or not isinstance(detail, str):
        code, detail = f"http_{status}", "the answer is no problem document; a proxy in between may have given it"
    return _BY_STATUS.get(status, ApiError)(
        status, code, detail, str(document.get("request_id") or request_id), retry_after_s
    )


def retry_after_s(response: httpx.Response) -> float | None:
    """Returns the seconds of a Retry-After header; None where it is absent or a date."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
