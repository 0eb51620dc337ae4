"""/v1/api-keys and /v1/tenants: who may call, for admins of the service's own tenant."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.auth import Auth, new_key
from service.errors import ApiError, unavailable
from service.routes.body import parse, path_id, problems, takes
from service.schemas import KeyBody, KeyCreated, KeyPage, TenantBody, TenantPage, TenantResponse
from service.store.admin_store import KeyRecord, TenantRecord
from service.store.connection import StoreUnavailable

__all__ = ["router"]

router = APIRouter(tags=["administration"])
_KEY, _TENANT = TypeAdapter(KeyBody), TypeAdapter(TenantBody)
_TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@router.post(
    "/v1/api-keys",
    summary="Make an API key",
    status_code=201,
    openapi_extra=takes(KeyBody),
    responses={201: {"model": KeyCreated}, **problems(404, 413, 415, 422, 503)},
)
async def post_key(request: Request) -> Response:
    """Returns a new key; only its hash is kept, so this is the only time that it is told."""
    body, auth = await parse(request, _KEY), _auth(request)
    if body.expires_at is not None and body.expires_at.tzinfo is None:
        raise ApiError(422, "invalid_field", "expires_at: needs a time zone, for example 2027-01-01T00:00:00Z")
    tenant = body.tenant or auth.tenants.default.settings.tenant
    try:
        if tenant != auth.tenants.default.settings.tenant and await auth.store.tenant(tenant) is None:
            raise ApiError(404, "unknown_tenant", "tenant: there is none of this name; create it first")
        key, record = new_key(
            lambda key_id, secret_hash: KeyRecord(
                key_id=key_id,
                secret_hash=secret_hash,
                role=body.role,
                tenant=tenant,
                name=body.name,
                created_at=int(time.time()),
                expires_at=int(body.expires_at.timestamp()) if body.expires_at else None,
                rate_per_s=body.rate_per_s,
            )
        )
        await auth.store.put_key(record)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    auth.forget(record.key_id)
    return _json({**_key(record), "key": key}, 201)


@router.get("/v1/api-keys", summary="All API keys", responses={200: {"model": KeyPage}, **problems(503)})
async def get_keys(request: Request) -> Response:
    """Returns every key without its secret."""
    try:
        found = await _auth(request).store.keys()
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    return _json({"keys": [_key(record) for record in found]})


@router.delete("/v1/api-keys/{key_id}", summary="Revoke an API key", status_code=204, responses=problems(422, 503))
async def delete_key(key_id: str, request: Request) -> Response:
    """Refuses the key from now on, on other replicas within `METARL_KEY_CACHE_S`; repeating it is harmless."""
    auth, name = _auth(request), path_id("key_id", key_id)
    try:
        await auth.store.delete_key(name)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    auth.forget(name)
    return Response(status_code=204)


@router.post(
    "/v1/tenants",
    summary="Make a tenant",
    status_code=201,
    openapi_extra=takes(TenantBody),
    responses={201: {"model": TenantResponse}, **problems(409, 413, 415, 422, 503)},
)
async def post_tenant(request: Request) -> Response:
    """Makes a tenant: its users and items are its own, and only its keys see them."""
    body, auth = await parse(request, _TENANT), _auth(request)
    record = TenantRecord(name=body.name, checkpoint_items=body.checkpoint_items, created_at=int(time.time()))
    try:
        free = body.name != auth.tenants.default.settings.tenant and await auth.store.add_tenant(record)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    if not free:
        raise ApiError(409, "conflict", "name: there is a tenant of this name; choose another")
    return _json(_tenant(record), 201)


@router.get("/v1/tenants", summary="All tenants", responses={200: {"model": TenantPage}, **problems(503)})
async def get_tenants(request: Request) -> Response:
    """Returns every tenant but the service's own."""
    try:
        found = await _auth(request).store.tenants()
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    return _json({"tenants": [_tenant(record) for record in found]})


@router.delete("/v1/tenants/{name}", summary="Delete a tenant", status_code=204, responses=problems(422, 503))
async def delete_tenant(name: str, request: Request) -> Response:
    """Revokes the tenant's keys, then deletes its users and items; repeating it finishes what was interrupted."""
    auth, tenant = _auth(request), path_id("name", name)
    if tenant == auth.tenants.default.settings.tenant:
        raise ApiError(422, "invalid_field", "name: the service's own tenant cannot be deleted")
    if _TENANT_NAME.fullmatch(tenant) is None:
        raise ApiError(422, "invalid_field", "name: no tenant can have this name")
    try:
        for record in await auth.store.keys():
            if record.tenant == tenant:
                await auth.store.delete_key(record.key_id)
                auth.forget(record.key_id)
        await auth.store.delete_tenant(tenant)
        auth.tenants.forget(tenant)
        await auth.store.erase_tenant(tenant)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    return Response(status_code=204)


def _auth(request: Request) -> Auth:
    auth: Auth = request.app.state.auth
    return auth


def _key(record: KeyRecord) -> dict[str, Any]:
    found: dict[str, Any] = {
        "key_id": record.key_id,
        "name": record.name,
        "role": record.role,
        "tenant": record.tenant,
        "created_at": _time(record.created_at),
    }
    if record.expires_at is not None:
        found["expires_at"] = _time(record.expires_at)
    if record.rate_per_s is not None:
        found["rate_per_s"] = record.rate_per_s
    return found


def _tenant(record: TenantRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "checkpoint_items": record.checkpoint_items,
        "created_at": _time(record.created_at),
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _json(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")
