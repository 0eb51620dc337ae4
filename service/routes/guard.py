"""The check before every route: a route of this class is reached by callers who may, with their tenant's engine."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from service.administration import Administration
from service.auth import Caller
from service.roles import need_of

__all__ = ["GuardedRoute", "administration_of", "caller_of"]


class GuardedRoute(APIRoute):
    """A route whose callers are checked before anything of the request is read but its headers.

    It stands behind the matching of paths, so no second reading of a path can disagree with the first.

    Raises:
        LookupError: `roles.NEEDS` does not say who may call it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the handler behind the check."""
        handle = super().get_route_handler()
        (need,) = {need_of(method, self.path_format) for method in self.methods or ()}

        async def guarded(request: Request) -> Response:
            admitted = await administration_of(request).auth.admit(need, request.scope["headers"])
            state = request.scope["state"]
            state |= {"caller": admitted.caller, "engine": admitted.engine, "headers": admitted.headers}
            return await handle(request)

        return guarded


def administration_of(request: Request) -> Administration:
    """Returns keys and tenants of this application."""
    administration: Administration = request.app.state.administration
    return administration


def caller_of(request: Request) -> Caller:
    """Returns who makes a request that was let through."""
    caller: Caller = request.state.caller
    return caller
