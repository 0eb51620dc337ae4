"""The application: routes, error mapping, and a lifespan that is ready only when everything is warm."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from metarl_rec import __version__
from metarl_rec.checkpoint import load_checkpoint
from metarl_rec.errors import MetarlError
from service.administration import Administration
from service.catalogue import LiveCatalogue
from service.documentation import page
from service.documentation.document import openapi_document
from service.documentation.guide import DESCRIPTION
from service.embedded_redis import DataDirectoryLock, EmbeddedRedis
from service.engine import Engine
from service.errors import ApiError, problem
from service.metrics import Metrics
from service.middleware import Boundary
from service.routes import feedback, items, keys, operations, recommendations, tenants, users
from service.settings import Settings
from service.store.connection import Connection, StoreUnavailable
from service.store.item_store import ItemStore
from service.store.user_store import UserStore
from service.warmup import warm

__all__ = ["ROUTERS", "create_app"]

ROUTERS = (
    recommendations.router,
    feedback.router,
    users.router,
    items.router,
    keys.router,
    tenants.router,
    operations.router,
)
"""Every route, in the order of the documentation."""

_log = logging.getLogger("metarl.service")


def create_app(settings: Settings, *, clock: Callable[[], float] | None = None) -> ASGIApp:
    """Returns the ASGI application; nothing is loaded before its lifespan starts.

    Args:
        settings: the configuration.
        clock: seconds, monotonic; for rate limits and for how long an API key is known. When absent, Redis' for the
            former and the process's for the latter.

    Raises:
        CheckpointError: in the lifespan, where the checkpoint cannot be served.
        ConfigError: in the lifespan, where the data directory is in use or the embedded Redis does not start.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine, release = await _start(settings, metrics)
        app.state.engine = engine
        app.state.administration = Administration.started(engine, clock)
        if settings.auth_required and settings.admin_key is None:
            _log.warning("callers need keys, and METARL_ADMIN_KEY is not set: only keys that were made before will do")
        app.state.ready = True
        try:
            yield
        finally:
            app.state.ready = False
            await app.state.administration.close()
            await engine.redis.close()
            await release()

    app = FastAPI(
        title="metarl-rec",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
    )
    app.state.ready = False
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(page.router)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _parameter_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _internal_error)
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    return Boundary(app, settings, metrics)


async def _start(settings: Settings, metrics: Metrics) -> tuple[Engine, Any]:
    """Returns the warm engine, and what gives the data directory and the embedded Redis back."""
    try:
        checkpoint = load_checkpoint(settings.checkpoint_dir)
    except MetarlError:
        metrics.policy_loads.labels("refused").inc()
        raise
    metrics.policy_loads.labels("loaded").inc()
    metrics.policy_info.labels("champion", checkpoint.version).set(1)
    lock = DataDirectoryLock(settings.data_dir)
    embedded: EmbeddedRedis | None = None
    try:
        if settings.redis_url is None:
            embedded = EmbeddedRedis(settings.data_dir)
            await embedded.start()
        url = settings.redis_url.get_secret_value() if settings.redis_url else embedded.url if embedded else ""
        redis = Connection(url, settings, metrics)
        engine = Engine(
            settings=settings,
            metrics=metrics,
            checkpoint=checkpoint,
            # Until Redis has told the items' numbers, the checkpoint's own order serves the meta-policy.
            catalogue=LiveCatalogue(checkpoint, range(len(checkpoint.items))),
            redis=redis,
            users=UserStore(redis, settings, settings.tenant),
            items=ItemStore(redis, settings.tenant),
            rng=np.random.default_rng(settings.seed),
        )
        try:
            await engine.sync_items()
            if embedded is None:
                await _warn_without_append_only(engine)
        except StoreUnavailable:
            _log_away()
        warm(engine)
    except BaseException:
        if embedded is not None:
            await embedded.stop()
        lock.release()
        raise
    # What start-up made lives as long as the process: the collector need not walk it again and again.
    gc.collect()
    gc.freeze()

    async def release() -> None:
        if embedded is not None:
            await embedded.stop()
        lock.release()

    return engine, release


async def _warn_without_append_only(engine: Engine) -> None:
    if not await engine.redis.append_only():
        _log.warning(
            "this Redis keeps no append-only file: acknowledged feedback can be lost; "
            "set appendonly yes and appendfsync always"
        )


def _log_away() -> None:
    _log.warning("Redis is away: serving the meta-policy, refusing feedback")


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - what it is registered for
    return problem(error.status, error.code, error.detail, request.state.request_id, error.headers)


async def _parameter_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    first = error.errors()[0]
    detail = f"{first['loc'][-1]}: {first['msg']}; see /docs"
    return problem(422, "invalid_parameter", detail, request.state.request_id)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    code = {404: "unknown_path", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    detail = {404: "no such path; see /docs", 405: "this path has no such method; see /docs"}.get(
        error.status_code, "the request cannot be served"
    )
    return problem(error.status_code, code, detail, request.state.request_id, error.headers)


async def _internal_error(request: Request, error: Exception) -> Response:
    detail = "something went wrong on our side; the request id finds it in the log"
    return problem(500, "internal", detail, request.state.request_id)
