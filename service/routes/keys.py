"""/v1/api-keys: who may call; every tenant's admins see to its own."""

from __future__ import annotations

import logging
import re
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from service.auth import Caller, new_key
from service.errors import ApiError, unavailable
from service.routes.body import json_answer, parse, path_id, problems, takes
from service.routes.guard import GuardedRoute, administration_of, caller_of
from service.schemas import KeyBody, KeyCreated, KeyPage
from service.store.connection import StoreUnavailable
from service.store.key_store import MAX_KEYS, KeyRecord
from service.times import rfc3339

__all__ = ["router"]

router = APIRouter(tags=["administration"], route_class=GuardedRoute)
_log = logging.getLogger("metarl.admin")
_BODY = TypeAdapter(KeyBody)
Cursor = Annotated[str | None, Query(max_length=64, description="From the page before; absent for the first.")]
_KEY_ID = re.compile(r"[0-9a-f]{20}")


@router.post(
    "/v1/api-keys",
    summary="Make an API key",
    status_code=201,
    openapi_extra=takes(KeyBody),
    responses={201: {"model": KeyCreated}, **problems(404, 409, 413, 415, 422, 503)},
)
async def post_key(request: Request) -> Response:
    """Returns a new key; only its hash is kept, so this is the only time that it is told.

    Only keys of the service's own tenant may make keys for other tenants, or give them another rate than the default.
    """
    body, caller = await parse(request, _BODY), caller_of(request)
    if body.rate_per_s is not None and not caller.operator:
        raise ApiError(403, "forbidden", "rate_per_s: only keys of the service's own tenant may set it; leave it out")
    key, key_id, secret_hash = new_key()
    try:
        tenant, namespace = await _tenant(request, body.tenant)
        record = KeyRecord(
            key_id=key_id,
            secret_hash=secret_hash,
            role=body.role,
            tenant=tenant,
            namespace=namespace,
            name=body.name,
            created_at=int(time.time()),
            expires_at=int(body.expires_at.timestamp()) if body.expires_at is not None else None,
            rate_per_s=body.rate_per_s,
            burst=body.burst,
        )
        administration = administration_of(request)
        added = await administration.keys.add(record, administration.tenants.default.settings.tenant)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    if added == "unknown_tenant":
        raise _unknown_tenant()
    if added == "too_many":
        raise ApiError(409, "too_many_keys", f"a tenant may have {MAX_KEYS} keys; revoke some first")
    _log.info("api key made", extra=_who(request, caller, record.tenant, key_id) | {"role": record.role})
    return json_answer({**_described(record), "key": key}, 201)


@router.get(
    "/v1/api-keys", summary="A tenant's API keys", responses={200: {"model": KeyPage}, **problems(404, 422, 503)}
)
async def get_keys(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000, description="Keys of a page, at most.")] = 100,
    cursor: Cursor = None,
    tenant: Annotated[str | None, Query(max_length=63, description="Whose keys; the caller's own when absent.")] = None,
) -> Response:
    """Returns a page of keys without their secrets, oldest first; expired ones stay until they are revoked."""
    if cursor is not None and _KEY_ID.fullmatch(cursor) is None:
        raise ApiError(422, "invalid_field", "cursor: take it from the page before, or leave it out")
    try:
        _, namespace = await _tenant(request, tenant)
        found = await administration_of(request).keys.page(namespace, cursor or "", limit + 1)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    page: dict[str, Any] = {"keys": [_described(record) for record in found[:limit]]}
    if len(found) > limit:
        page["cursor"] = found[limit - 1].key_id
    return json_answer(page)


@router.delete("/v1/api-keys/{key_id}", summary="Revoke an API key", status_code=204, responses=problems(404, 422, 503))
async def delete_key(key_id: str, request: Request) -> Response:
    """Refuses the key from now on, on other replicas within METARL_KEY_CACHE_S."""
    caller, name, administration = caller_of(request), path_id("key_id", key_id), administration_of(request)
    try:
        namespace = caller.namespace
        if caller.operator and (record := await administration.keys.key(name)) is not None:
            namespace = record.namespace
        revoked = await administration.keys.revoke(namespace, name)
    except StoreUnavailable as error:
        raise unavailable(error.kind) from None
    if not revoked:
        raise ApiError(404, "unknown_key", "key_id: there is no such key; GET /v1/api-keys lists them")
    administration.auth.forget([name])
    _log.info("api key revoked", extra=_who(request, caller, None, name))
    return Response(status_code=204)


async def _tenant(request: Request, name: str | None) -> tuple[str, str]:
    """Returns name and namespace of the tenant that a caller means.

    Raises:
        ApiError: 403 where it is another than the caller's and may not be; 404 where there is none of this name.
    """
    caller = caller_of(request)
    if name is None or name == caller.tenant:
        return caller.tenant, caller.namespace
    if not caller.operator:
        # The same answer whether or not there is such a tenant.
        raise ApiError(403, "forbidden", "tenant: only keys of the service's own tenant may name another")
    record = await administration_of(request).tenants.store.tenant(name)
    if record is None:
        raise _unknown_tenant()
    return record.name, record.namespace


def _described(record: KeyRecord) -> dict[str, Any]:
    found = record.model_dump(exclude={"secret_hash", "namespace"}, exclude_none=True)
    for name in ("created_at", "expires_at"):
        if name in found:
            found[name] = rfc3339(found[name])
    return found


def _who(request: Request, caller: Caller, tenant: str | None, key_id: str) -> dict[str, Any]:
    """Returns what a log line tells of a change: ids alone."""
    by = caller.key_id or "anybody"
    return {"request_id": request.state.request_id, "by": by, "tenant": tenant or caller.tenant, "key_id": key_id}


def _unknown_tenant() -> ApiError:
    return ApiError(404, "unknown_tenant", "tenant: there is none of this name; create it first")
