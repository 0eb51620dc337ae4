"""The verbs `recommend` and `feedback`: what a running service would show a user, and what the user did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from service.commands.event_files import Batch, Sent, send_file
from service.commands.options import console
from service.commands.talking import ApiKey, Attribute, Json, Url, attributes_of, plain, show_table, talking, told

if TYPE_CHECKING:
    from service.client import Client
    from service.client.results import FeedbackResult, Slate

__all__ = ["feedback", "recommend"]

_BATCH_BYTES = 768 * 1024


def recommend(
    user: Annotated[str, typer.Argument(help="The user's id; it need not be known.")],
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Items wanted.")] = 5,
    filter_: Annotated[
        str | None, typer.Option("--filter", help="Only items like this: '\"Drama\" in genres and year >= 1990'.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="ITEM", help="Not this; repeatable.")
    ] = None,
    attribute: Attribute = None,
    diversity: Annotated[
        float | None, typer.Option(min=0, max=1, help="0 by value alone, 1 by unlikeness alone.")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="The best items, without exploration.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show each item's attributes and why it is there.")
    ] = False,
    recommendation_id: Annotated[str | None, typer.Option("--id", help="The same id gives the same slate.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Ask a running service for a slate.

    Example: metarl-rec recommend ada -k 5 --filter 'year >= 1990' --explain

    The slate counts as shown. Attributes are the user's, for this request only.
    """
    from service.client import slates

    given = attributes_of(attribute)
    with talking(url, api_key) as client:
        call = slates.recommend(
            user,
            k=k,
            filter=filter_,
            exclude_item_ids=exclude,
            user_attributes=given or None,
            diversity=diversity,
            explore=not greedy,
            explain=explain,
            recommendation_id=recommendation_id,
        )
        told(client, call, as_json, _show_slate)


def _show_slate(slate: Slate) -> None:
    explained = any(item.reasons is not None for item in slate.items)
    columns = ["rank", "item", "score", "propensity", *(["attributes", "why"] if explained else [])]
    rows: list[list[object]] = []
    for item in slate.items:
        row: list[object] = [item.rank, item.item_id, item.score, item.propensity]
        if explained:
            why = [
                f"{reason.kind} {reason.contribution:+.3f}" + (f" ({reason.item_id})" if reason.item_id else "")
                for reason in item.reasons or ()
            ]
            row += [item.attributes, why]
        rows.append(row)
    show_table(columns, rows, right=("rank", "score", "propensity"))
    words = [f"{slate.user.status} user, {slate.user.transitions} transitions", f"policy {slate.policy.version[:12]}"]
    words.append(f"recommendation {slate.recommendation_id}")
    if slate.degraded:
        words.append(f"degraded: {slate.degraded}")
    console.print(plain("; ".join(words)), style="dim", markup=False, highlight=False, soft_wrap=True)


def feedback(
    user: Annotated[str | None, typer.Argument(help="Who did it.")] = None,
    item: Annotated[str | None, typer.Argument(help="To which item.")] = None,
    type_: Annotated[
        str | None,
        typer.Argument(
            metavar="TYPE", help="impression, click, like, dislike, skip, rating, purchase, dwell or custom."
        ),
    ] = None,
    value: Annotated[float | None, typer.Option(help="The rating of type rating; 0..1 of type custom.")] = None,
    recommendation: Annotated[str | None, typer.Option(metavar="ID", help="The slate that showed the item.")] = None,
    event_id: Annotated[str | None, typer.Option(help="Counts once; made up when absent.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Many events instead: one JSON object a line.", dir_okay=False)
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Tell a running service what users did; it has learned from it when this ends.

    Example: metarl-rec feedback ada 50 like

    Example: metarl-rec feedback --file events.jsonl, with lines like
    {"user_id": "ada", "item_id": "50", "type": "rating", "value": 5, "timestamp": "2026-11-23T20:00:00Z"}

    Lines without an event_id get one from their text and number: sending the same file again changes nothing.
    """
    from service.client import events
    from service.client.events import EventType

    single = (user, item, type_, value, recommendation, event_id)
    if file is not None and any(each is not None for each in single):
        raise typer.BadParameter("give either USER ITEM TYPE or --file")
    if file is not None:
        send_file(file, url, api_key, as_json, _check, _deliver, batch_bytes=_BATCH_BYTES)
        return
    if user is None or item is None or type_ is None:
        raise typer.BadParameter("give USER, ITEM and TYPE, or --file")
    if type_ not in get_args(EventType):
        raise typer.BadParameter(f"{plain(type_)!r} is not one of {', '.join(get_args(EventType))}", param_hint="TYPE")
    event = {"user_id": user, "item_id": item, "type": type_, "value": value, "recommendation_id": recommendation}
    event["event_id"] = event_id or events.new_event_id()
    with talking(url, api_key) as client:
        call = events.feedback({name: given for name, given in event.items() if given is not None})
        told(client, call, as_json, _show_feedback)


def _show_feedback(result: FeedbackResult) -> None:
    found = "counted before" if result.duplicates else "applied"
    states = [f"{user.user_id or 'the user'} is {user.status}, {user.transitions} transitions" for user in result.users]
    console.print(plain("; ".join([found, *states])), markup=False, highlight=False)


def _check(event: dict[str, Any]) -> None:
    from service.schemas import Event

    Event.model_validate_json(json.dumps(event))


def _deliver(client: Client, batch: Batch, sent: Sent) -> None:
    sent.add(batch.lines, client.feedback_batch(batch.events))
