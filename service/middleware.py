"""The outermost layer, pure ASGI: request id, limits, problem documents, metrics and one log line."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ApiError, problem
from service.metrics import Metrics
from service.settings import Settings

__all__ = ["BATCH_ROUTES", "Boundary"]

_log = logging.getLogger("metarl.http")
BATCH_ROUTES = ("/v1/feedback", "/v1/recommendations", "/v1/recommendations/batch")
BULK_ROUTE, WARM_UP = "/v1/items/bulk", "/warm-up"
_PLAIN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class Boundary:
    """Wraps the application; no request reaches it beyond the limits, and none leaves without an answer.

    Args:
        app: the application.
        settings: limits.
        metrics: where requests are counted, by route template only.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        request_id = _request_id(headers.get(b"x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 500
        begun = False

        async def tell(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                # Beside the request's id what was found out on the way, whatever the answer is: the rate limit.
                told = {**scope["state"].get("headers", {}), "x-request-id": request_id}
                extra = [(name.lower().encode(), value.encode()) for name, value in told.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        try:
            refusal = self._refusal(scope, headers, request_id)
            if refusal is not None:
                await refusal(scope, receive, tell)
                return
            await self._app(scope, self._limited(scope, receive), tell)
        except Exception:  # noqa: BLE001 - the last resort: whatever it is, the client gets an answer
            _log.exception("unhandled error", extra={"request_id": request_id})
            if not begun:
                detail = "something went wrong on our side; the request id finds it in the log"
                await problem(500, "internal", detail, request_id)(scope, receive, tell)
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)
            self._note(scope, status, time.perf_counter() - started, request_id)

    def _limit(self, scope: Scope) -> int:
        """Returns how many bytes a body may have."""
        settings, path = self._settings, scope["path"]
        if path == BULK_ROUTE:
            return settings.max_bulk_body_bytes
        batch = path in BATCH_ROUTES or path.endswith(WARM_UP)
        return settings.max_batch_body_bytes if batch else settings.max_body_bytes

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes], request_id: str) -> Any:
        """Returns the answer to a request that must not reach the application, or None."""
        if self._in_flight > self._settings.max_in_flight and not scope["path"].startswith(
            ("/livez", "/readyz", "/metrics")
        ):
            self._metrics.rejected.labels("busy").inc()
            return problem(
                429, "busy", "too many requests at work; try again in a second", request_id, {"Retry-After": "1"}
            )
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            self._metrics.rejected.labels("encoding").inc()
            return problem(415, "unsupported_encoding", "send the body without content-encoding", request_id)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 18 or int(length) > self._limit(scope):
            error = self._too_large(scope)
            return problem(error.status, error.code, error.detail, request_id, error.headers)
        path = _routed_path(scope)
        if path is None:
            self._metrics.rejected.labels("path").inc()
            return problem(400, "invalid_path", "the path must be percent-encoded UTF-8", request_id)
        scope["path"] = path
        return None

    def _too_large(self, scope: Scope) -> ApiError:
        self._metrics.rejected.labels("body_too_large").inc()
        detail = f"the body may have {self._limit(scope)} bytes; send less, or in several calls"
        return ApiError(413, "body_too_large", detail, {"Connection": "close"})

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Returns `receive` under the limits; what exceeds them is raised inside the application, which answers it."""
        left, complete = self._limit(scope), False
        bulk = scope["path"] == BULK_ROUTE
        limit_s = self._settings.bulk_timeout_s if bulk else self._settings.body_timeout_s
        deadline = asyncio.get_running_loop().time() + limit_s

        async def take() -> Message:
            nonlocal left, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                self._metrics.rejected.labels("body_timeout").inc()
                detail = "the body did not arrive in time; send it without pauses"
                raise ApiError(408, "body_timeout", detail, {"Connection": "close"}) from None
            if message["type"] == "http.disconnect":
                # Nobody is there to read it, but it is the client's fault and must be counted so.
                self._metrics.rejected.labels("body_incomplete").inc()
                raise ApiError(400, "body_incomplete", "the connection ended before the body did")
            left -= len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if left < 0:
                raise self._too_large(scope)
            return message

        return take

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = scope.get("route")
        template = getattr(route, "path", None) or "unmatched"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, template, str(status)).inc()
        self._metrics.request_duration.labels(template).observe(seconds)
        _log.info(
            "request",
            extra={
                "request_id": request_id, "method": method, "route": template, "status": status,
                "duration_ms": round(1000 * seconds, 3),
            },
        )  # fmt: skip


def _routed_path(scope: Scope) -> str | None:
    """Returns the path to route by: decoded segment by segment, with a slash inside a segment still as %2F.

    So an id may hold any character and never reaches into the path's structure; `body.path_id` undoes the rest. None
    where the path is not UTF-8: a lenient decoder would give different ids the same replacement characters.
    """
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if b"%" not in raw:
        return str(scope["path"])
    try:
        segments = [unquote_to_bytes(segment).decode() for segment in raw.split(b"/")]
    except UnicodeDecodeError:
        return None
    return "/".join(segment.replace("%", "%25").replace("/", "%2F") for segment in segments)


def _request_id(given: bytes | None) -> str:
    """Returns the client's id where it is short and plain, else a fresh one: it goes into logs and headers."""
    if given is not None and _PLAIN.fullmatch(given):
        return given.decode()
    return secrets.token_hex(8)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, and the fields that were given."""

    _standard = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        fields = {key: value for key, value in vars(record).items() if key not in self._standard}
        line = {"time": self.formatTime(record), "level": record.levelname.lower(), "logger": record.name}
        line |= {"event": record.getMessage(), **fields}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
