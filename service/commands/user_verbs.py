"""`metarl-rec users`: what a running service holds of its users."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.event_files import Batch, Sent, send_file
from service.commands.options import console
from service.commands.talking import (
    ApiKey,
    Attribute,
    Json,
    Url,
    attributes_of,
    plain,
    say,
    show_json,
    show_table,
    talking,
    told,
)

if TYPE_CHECKING:
    from service.client import Client
    from service.client.results import Explanation, User

__all__ = ["users"]

users = typer.Typer(no_args_is_help=True, help="See and change what a running service holds of its users.")
UserId = Annotated[str, typer.Argument(metavar="USER", help="The user's id.")]
# The service's limit of a body is 64 KiB on this route.
_BATCH_BYTES = 60 * 1024


@users.command()
def get(user: UserId, url: Url = None, api_key: ApiKey = None, as_json: Json = False) -> None:
    """Show what is held of a user.

    Example: metarl-rec users get ada
    """
    from service.client import users as calls

    with talking(url, api_key) as client:
        told(client, calls.get(user), as_json, _show)


@users.command()
def put(
    user: UserId, attribute: Attribute = None, url: Url = None, api_key: ApiKey = None, as_json: Json = False
) -> None:
    """Replace a user's attributes; they set the starting point of the personal policy at once.

    Example: metarl-rec users put ada -a age=31 -a gender=F
    """
    from service.client import users as calls

    given = attributes_of(attribute)
    with talking(url, api_key) as client:
        told(client, calls.put(user, given), as_json, _show)


@users.command()
def patch(
    user: UserId, attribute: Attribute = None, url: Url = None, api_key: ApiKey = None, as_json: Json = False
) -> None:
    """Change some of a user's attributes and leave the rest.

    Example: metarl-rec users patch ada -a age=32 -a gender=null
    """
    from service.client import users as calls

    given = attributes_of(attribute)
    with talking(url, api_key) as client:
        told(client, calls.patch(user, given), as_json, _show)


@users.command()
def delete(user: UserId, url: Url = None, api_key: ApiKey = None) -> None:
    """Forget a user: transitions, weights, attributes, slates; repeating it is harmless.

    Example: metarl-rec users delete ada
    """
    with talking(url, api_key) as client:
        client.users.delete(user)


@users.command("warm-up")
def warm_up(
    file: Annotated[Path, typer.Argument(help="Events of the past, one JSON object a line.", dir_okay=False)],
    user: Annotated[str | None, typer.Option(help="Whose they are, where lines have no user_id.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Tell the history of any number of users, oldest first; each is personal at once, without a training job.

    Example: metarl-rec users warm-up history.jsonl, with lines like
    {"user_id": "ada", "item_id": "50", "type": "rating", "value": 5, "timestamp": "2025-05-01T10:00:00Z"}

    Lines without an event_id get one from their text and number: sending the same file again changes nothing.
    """

    def check(event: dict[str, Any]) -> None:
        from service.schemas import Event

        if user is not None:
            event.setdefault("user_id", user)
        Event.model_validate_json(json.dumps(event))

    send_file(file, url, api_key, as_json, check, _warm_up, batch_bytes=_BATCH_BYTES)


def _warm_up(client: Client, batch: Batch, sent: Sent) -> None:
    by_user: dict[str | None, list[int]] = {}
    for at, event in enumerate(batch.events):
        by_user.setdefault(event.pop("user_id", None), []).append(at)
    for user_id, rows in by_user.items():
        lines = [batch.lines[at] for at in rows]
        if user_id is None:
            for line in lines:
                sent.reject(line, "invalid_field", "user_id: give it on the line, or with --user")
            continue
        events = [
            {name: value for name, value in batch.events[at].items() if name != "recommendation_id"} for at in rows
        ]
        sent.add(lines, client.users.warm_up(user_id, events))


@users.command()
def reset(
    user: UserId,
    attributes: Annotated[bool, typer.Option("--attributes", help="Forget the attributes, too.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Take a user back to the meta-policy: everything learned goes.

    Example: metarl-rec users reset ada
    """
    from service.client import users as calls

    with talking(url, api_key) as client:
        told(client, calls.reset(user, attributes=attributes), as_json, _show)


@users.command()
def merge(
    user: UserId,
    source: Annotated[str, typer.Argument(help="Who is merged into USER and then deleted.")],
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Merge another user into this one, for example an anonymous session into a login.

    Example: metarl-rec users merge ada session-8f3a
    """
    from service.client import users as calls

    with talking(url, api_key) as client:
        told(client, calls.merge(user, source), as_json, _show)


@users.command()
def export(user: UserId, url: Url = None, api_key: ApiKey = None) -> None:
    """Print everything held of a user as JSON Lines.

    Example: metarl-rec users export ada > ada.jsonl
    """
    with talking(url, api_key) as client:
        for line in client.users.export(user):
            show_json(line)


@users.command()
def explain(
    user: UserId,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Items to explain.")] = 5,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Show why a user's list is what it is: ranks with and without adaptation, and the effect of each transition.

    Example: metarl-rec users explain ada -k 5
    """
    from service.client import users as calls

    with talking(url, api_key) as client:
        told(client, calls.explain(user, k=k), as_json, _show_explanation)


def _show(user: User) -> None:
    say_if = f", last update {plain(user.updated_at)}" if user.updated_at else ""
    line = (
        f"{user.user_id}: {user.status}, {user.transitions} transitions, {user.kl_nats:.3f} nats from the meta-policy"
    )
    console.print(plain(line + say_if), markup=False, highlight=False, soft_wrap=True)
    if user.attributes:
        show_table(("attribute", "value"), user.attributes.items())


def _show_explanation(found: Explanation) -> None:
    columns = ("rank", "item", "score", "rank before", "score before")
    rows = ([item.rank, item.item_id, item.score, item.meta_rank, item.meta_score] for item in found.items)
    show_table(columns, rows, right=("rank", "score", "rank before", "score before"))
    if not found.transitions:
        say("nothing was learned of this user yet")
        return
    ids = [item.item_id for item in found.items]
    heads = ["learned from", "reward", "when (UTC)", *(f"on {item_id}" for item_id in ids)]
    moved = (
        [each.item_id, each.reward, f"{each.at:%Y-%m-%d %H:%M}", *(f"{effect:+.4f}" for effect in each.effects)]
        for each in found.transitions[:20]
    )
    show_table(heads, moved, right=heads[3:])
