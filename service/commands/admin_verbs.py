"""`metarl-rec keys` and `metarl-rec tenants`: who may call a running service; with an admin's key in METARL_API_KEY."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from service.commands.options import console
from service.commands.talking import ApiKey, Json, Moment, Url, moment_of, plain, say, show_json, show_table, talking

__all__ = ["keys", "tenants"]

keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke the API keys of a running service.")
tenants = typer.Typer(no_args_is_help=True, help="Make, list and delete the tenants of a running service.")
Tenant = Annotated[str | None, typer.Option(help="Whose; the admin's own when absent.")]


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    role: Annotated[
        Literal["reader", "writer", "admin"],
        typer.Option(help="reader: recommendations; writer: feedback, users and items, too; admin: keys as well."),
    ],
    tenant: Tenant = None,
    rate: Annotated[float | None, typer.Option(help="Calls a second, on all replicas together.")] = None,
    burst: Annotated[int | None, typer.Option(min=1, help="Calls at once, with --rate.")] = None,
    expires_at: Moment = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once; the service keeps only a hash of it.

    Example: export METARL_API_KEY=$(metarl-rec keys create "web shop" --role writer)
    """
    moment = moment_of(expires_at)
    body = {"name": name, "role": role, "tenant": tenant, "rate_per_s": rate, "burst": burst}
    if moment is not None:
        body["expires_at"] = moment.isoformat()
    found = _sent("POST", "/v1/api-keys", url, api_key, body)
    if as_json:
        show_json(found)
    else:
        say(f"key {found['key_id']} of {found['tenant']}, {found['role']}; it is shown this once:")
        typer.echo(found["key"])


@keys.command("list")
def list_keys(tenant: Tenant = None, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """List a tenant's keys without their secrets, oldest first.

    Example: metarl-rec keys list --tenant shop-2
    """
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"cursor": None}
    while "cursor" in page:
        page = _sent("GET", "/v1/api-keys", url, api_key, tenant=tenant, cursor=page["cursor"], limit=1000)
        found += page["keys"]
    if as_json:
        show_json(found)
        return
    columns = ["key_id", "name", "role", "tenant", "created_at", "expires_at", "rate_per_s", "burst"]
    _show_told(columns, found, right=("rate_per_s", "burst"))


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="From `keys list`, or the part of the key behind mrk_.")],
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Refuse a key from now on, on other replicas within a few seconds.

    Example: metarl-rec keys revoke 019ab2c4d5e67f8091a2
    """
    _sent("DELETE", f"/v1/api-keys/{_segment(key_id)}", url, api_key)


@tenants.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(help="Small letters, digits and hyphens.")],
    empty: Annotated[bool, typer.Option("--empty", help="Begin without the checkpoint's items.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Make a tenant with users and items of its own; make keys for it next.

    Example: metarl-rec tenants create shop-2 --empty && metarl-rec keys create till --role writer --tenant shop-2
    """
    found = _sent("POST", "/v1/tenants", url, api_key, {"name": name, "checkpoint_items": not empty})
    _show(found, as_json)


@tenants.command("list")
def list_tenants(url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """List all tenants, and those whose data is still being deleted.

    Example: metarl-rec tenants list
    """
    found = _sent("GET", "/v1/tenants", url, api_key)["tenants"]
    if as_json:
        show_json(found)
        return
    _show_told(["name", "status", "checkpoint_items", "created_at"], found)


@tenants.command("delete")
def delete_tenant(
    name: Annotated[str, typer.Argument(help="Whose keys, users and items go.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Delete a tenant: its keys are refused at once, its users and items are erased in the background.

    Example: metarl-rec tenants delete shop-2 --yes
    """
    if not yes:
        typer.confirm(f"Delete {plain(name)} with all its keys, users and items?", abort=True, err=True)
    _show(_sent("DELETE", f"/v1/tenants/{_segment(name)}", url, api_key), as_json)


def _sent(
    method: str, path: str, url: str | None, api_key: str | None, body: dict[str, Any] | None = None, **params: Any
) -> Any:
    """Returns the answer to one call; a fault becomes one line and an exit code."""
    with talking(url, api_key) as client:
        from service.client import Call
        from service.client.call import encoded

        given = None if body is None else encoded({key: value for key, value in body.items() if value is not None})
        # What makes or deletes something is not sent again once the service may have done it.
        call: Call[Any] = Call(
            method, path, lambda found: found, given, repeats="always" if method == "GET" else "unsent"
        )
        return client.send(call.with_params(**params))


def _segment(value: str) -> str:
    return quote(value, safe="") or "%20"


def _show(tenant: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(tenant)
    else:
        console.print(f"{plain(tenant['name'])}: {tenant['status']}", markup=False, highlight=False)


def _show_told(columns: list[str], found: list[dict[str, Any]], right: tuple[str, ...] = ()) -> None:
    """Prints a table of what was told; a column that nobody has anything in is left out, times are whole minutes."""
    for each in found:
        for name in ("created_at", "expires_at"):
            if each.get(name) is not None:
                each[name] = f"{datetime.fromisoformat(each[name]).astimezone(UTC):%Y-%m-%d %H:%M}"
    kept = [name for name in columns if name == columns[0] or any(each.get(name) is not None for each in found)]
    show_table(kept, ([each.get(name) for name in kept] for each in found), right=right, whole=kept[:1])
