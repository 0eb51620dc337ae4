"""/v1/tenants: separate users and items in one service; for admins of the service's own tenant."""

from __future__ import annotations

import logging
import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.erasing import write_window_s
from service.errors import ApiError, unavailable
from service.routes.body import json_answer, parse, path_id, problems, takes
from service.routes.guard import GuardedRoute, administration_of, caller_of
from service.schemas import TenantBody, TenantPage, TenantResponse
from service.store.connection import StoreUnavailable
from service.store.keys import new_namespace
from service.store.tenant_store import TenantRecord
from service.times import rfc3339

__all__ = ["router"]

router = APIRouter(tags=["administration"], route_class=GuardedRoute)
_log = logging.getLogger("metarl.admin")
_BODY = TypeAdapter(TenantBody)


@router.post(
    "/v1/tenants",
    summary="Make a tenant",
    status_code=201,
    openapi_extra=takes(TenantBody),
    responses={201: {"model": TenantResponse}, **problems(409, 413, 415, 422, 503)},
)
async def post_tenant(request: Request) -> Response:
    """Makes a tenant: its users and items are its own, and only its keys see them. Make keys for it next."""
    body, administration = await parse(request, _BODY), administration_of(request)
    settings = administration.tenants.default.settings
    if body.name == settings.tenant:
        raise _taken()
    record = TenantRecord(
        name=body.name,
        namespace=new_namespace(body.name),
        checkpoint_items=body.checkpoint_items,
        created_at=int(time.time()),
    )
    try:
        added = await administration.tenants.store.add(record, settings.max_tenants)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    if added == "taken":
        raise _taken()
    if added == "too_many":
        detail = f"there are {settings.max_tenants} tenants already; delete one, or raise METARL_MAX_TENANTS everywhere"
        raise ApiError(409, "too_many_tenants", detail)
    _log.info("tenant made", extra=_who(request, record.namespace))
    return json_answer(_described(record), 201)


@router.get("/v1/tenants", summary="All tenants", responses={200: {"model": TenantPage}, **problems(503)})
async def get_tenants(request: Request) -> Response:
    """Returns the service's own tenant first, then the others by name, then those whose data is still being deleted."""
    tenants = administration_of(request).tenants
    try:
        records, going = await tenants.store.tenants(), await tenants.store.erasures()
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    own = {"name": tenants.default.settings.tenant, "status": "active", "checkpoint_items": True}
    deleting = [{"name": name.rpartition(".")[0], "status": "deleting"} for name in sorted(going)]
    return json_answer({"tenants": [own, *map(_described, records), *deleting]})


@router.delete(
    "/v1/tenants/{name}",
    summary="Delete a tenant",
    status_code=202,
    responses={202: {"model": TenantResponse}, **problems(404, 409, 422, 503)},
)
async def delete_tenant(name: str, request: Request) -> Response:
    """Refuses the tenant's keys from now on, on other replicas within METARL_KEY_CACHE_S, and erases what was its own.

    The erasing goes on in the background, through restarts; `GET /v1/tenants` says `deleting` until nothing is left.
    A tenant that is made meanwhile under the same name begins empty.
    """
    name, administration = path_id("name", name), administration_of(request)
    tenants = administration.tenants
    if name == tenants.default.settings.tenant:
        raise ApiError(409, "conflict", "name: the service's own tenant cannot be deleted")
    try:
        record = await tenants.store.tenant(name)
        gone_at = time.time() + write_window_s(tenants.default.settings)
        key_ids = None if record is None else await tenants.store.delete(record, gone_at)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    if record is None or key_ids is None:
        raise ApiError(404, "unknown_tenant", "name: there is no such tenant; GET /v1/tenants lists them")
    administration.auth.forget(key_ids)
    await tenants.forget(record.namespace)
    administration.erasing.wake()
    _log.info("tenant deleted", extra=_who(request, record.namespace) | {"api_keys": len(key_ids)})
    return json_answer({"name": record.name, "status": "deleting"}, 202)


def _described(record: TenantRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "status": "active",
        "checkpoint_items": record.checkpoint_items,
        "created_at": rfc3339(record.created_at),
    }


def _who(request: Request, namespace: str) -> dict[str, Any]:
    by = caller_of(request).key_id or "anybody"
    return {"request_id": request.state.request_id, "by": by, "tenant": namespace}


def _taken() -> ApiError:
    return ApiError(409, "conflict", "name: there is a tenant of this name; choose another")
