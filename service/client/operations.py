"""Calls about the service itself."""

from __future__ import annotations

from service.client.call import Call
from service.client.decoding import built
from service.client.errors import UnexpectedAnswerError
from service.client.results import Readiness, Version

__all__ = ["ready", "version"]


def ready() -> Call[Readiness]:
    """Returns whether the service may get traffic; not ready is an answer, not an error, and is not asked again."""
    return Call("GET", "/readyz", _readiness, repeats="never", accepts=frozenset({503}))


def version() -> Call[Version]:
    """Returns the release and the version of the policy being served."""
    return Call("GET", "/version", _version)


def _readiness(body: object) -> Readiness:
    if not isinstance(body, dict) or "status" not in body:
        raise UnexpectedAnswerError("the answer says nothing of readiness; is this the service's URL?")
    return Readiness(ready=body["status"] == "ready", degraded=bool(body.get("degraded", False)))


def _version(body: object) -> Version:
    return built(Version, body)
