"""`metarl-rec items`: the catalogue of a running service."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.options import console
from service.commands.talking import (
    ApiKey,
    Attribute,
    Json,
    Moment,
    Url,
    attributes_of,
    file_progress,
    moment_of,
    plain,
    say,
    show_json,
    show_table,
    talking,
    told,
)

if TYPE_CHECKING:
    from service.client.results import BulkResult, Item, SimilarItem

__all__ = ["items"]

items = typer.Typer(no_args_is_help=True, help="See and change the items of a running service.")
ItemId = Annotated[str, typer.Argument(metavar="ITEM", help="The item's id.")]
Filter = Annotated[
    str | None, typer.Option("--filter", help="Only items like this: '\"Drama\" in genres and year >= 1990'.")
]
_SHOWN = 20


@items.command()
def get(item: ItemId, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show an item.

    Example: metarl-rec items get 50
    """
    from service.client import items as calls

    with talking(url, api_key) as client:
        told(client, calls.get(item), as_json, _show)


@items.command()
def put(
    item: ItemId,
    attribute: Attribute = None,
    available: Annotated[bool, typer.Option("--available/--unavailable", help="Whether it may be shown.")] = True,
    published_at: Moment = None,
    expires_at: Moment = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Add or replace an item; a new one is recommendable at once.

    Example: metarl-rec items put m1 -a 'genres=["Drama"]' -a price=9.5 --expires-at 2027-01-01T00:00:00Z
    """
    from service.client import items as calls

    given, published, expires = attributes_of(attribute), moment_of(published_at), moment_of(expires_at)
    with talking(url, api_key) as client:
        call = calls.put(item, given, available=available, published_at=published, expires_at=expires)
        told(client, call, as_json, _show)


@items.command()
def patch(
    item: ItemId,
    attribute: Attribute = None,
    available: Annotated[
        bool | None, typer.Option("--available/--unavailable", help="Whether it may be shown.")
    ] = None,
    published_at: Moment = None,
    expires_at: Moment = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Change parts of an item and leave the rest.

    Example: metarl-rec items patch m1 --unavailable -a badge=null
    """
    from service.client import items as calls

    given, published, expires = attributes_of(attribute), moment_of(published_at), moment_of(expires_at)
    with talking(url, api_key) as client:
        call = calls.patch(item, given, available=available, published_at=published, expires_at=expires)
        told(client, call, as_json, _show)


@items.command()
def delete(item: ItemId, url: Url = None, api_key: ApiKey = None) -> None:
    """Take an item out of everything; repeating it is harmless.

    Example: metarl-rec items delete m1
    """
    with talking(url, api_key) as client:
        client.items.delete(item)


@items.command("list")
def list_(
    filter_: Filter = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Items at most; else 20, or all of them with --json.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """List items in the order in which they became known; with --json one a line.

    Example: metarl-rec items list --filter 'price < 10' --limit 50
    """
    from service.client import as_json as raw
    from service.client import items as calls

    with talking(url, api_key) as client:
        if not as_json:
            most = limit or _SHOWN
            found = list(itertools.islice(client.items.list(filter=filter_, page_size=min(most, 1000)), most))
            _table(found)
            if limit is None and len(found) == _SHOWN:
                say(f"the first {_SHOWN}; give --limit to see more")
            return
        left, call = limit, calls.listed(filter=filter_)
        while True:
            page = client.send(raw(call))
            for item in page["items"][:left]:
                show_json(item)
            left = None if left is None else left - len(page["items"])
            if page.get("cursor") is None or (left is not None and left <= 0):
                return
            call = call.with_params(cursor=page["cursor"])


@items.command()
def similar(
    item: ItemId,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Items wanted.")] = 10,
    filter_: Filter = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Show the items that the same people like.

    Example: metarl-rec items similar 50 -k 5
    """
    from service.client import items as calls

    def show(found: tuple[SimilarItem, ...]) -> None:
        rows = ([each.item_id, each.similarity, each.attributes] for each in found)
        show_table(("item", "similarity", "attributes"), rows, right=("similarity",))

    with talking(url, api_key) as client:
        told(client, calls.similar(item, k=k, filter=filter_), as_json, show)


@items.command()
def bulk(
    file: Annotated[
        Path, typer.Argument(help="JSON Lines: item_id, attributes, available, ... on each.", dir_okay=False)
    ],
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Add or replace many items; every line is applied or told why not, and repeating it is harmless.

    Example: metarl-rec items bulk items.jsonl, with lines like
    {"item_id": "m1", "attributes": {"genres": ["Drama"]}}
    """
    done = 0
    with talking(url, api_key) as client, file.open("rb") as lines, file_progress(file) as advance:

        def report(size_bytes: int) -> None:
            nonlocal done
            done += size_bytes
            advance(done)

        result = client.items.bulk_lines(lines, report)
    if as_json:
        rejections = [{"line": each.line, "code": each.code, "detail": each.detail} for each in result.rejections]
        show_json({"applied": result.applied, "rejected": result.rejected, "rejections": rejections})
    else:
        _show_bulk(file, result)
    if result.rejected:
        raise typer.Exit(1)


def _show_bulk(file: Path, result: BulkResult) -> None:
    for each in result.rejections[:_SHOWN]:
        console.print(plain(f"{file}, line {each.line}: {each.detail}"), markup=False, highlight=False, soft_wrap=True)
    console.print(f"{result.applied:,} applied, {result.rejected:,} rejected", highlight=False)


def _show(item: Item) -> None:
    _table([item])
    if item.not_learned_from:
        say(f"not learned from, but good for filters: {', '.join(item.not_learned_from)}")


def _table(found: list[Item]) -> None:
    columns = ["item", "available", "popularity", "attributes", "published", "expires"]
    rows = [
        [
            each.item_id,
            "yes" if each.available else "no",
            each.popularity,
            each.attributes,
            each.published_at,
            each.expires_at,
        ]
        for each in found
    ]
    # Columns of times only where there is one.
    kept = [at for at in range(6) if at < 4 or any(row[at] is not None for row in rows)]
    show_table([columns[at] for at in kept], ([row[at] for at in kept] for row in rows), right=("popularity",))
