"""The synchronous client: every method is a described call that is sent, again where that is harmless, and read."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import httpx

from service.client import events, items, operations, slates, users
from service.client.bulk import Load, item_line
from service.client.call import Call
from service.client.connection import Connection
from service.client.results import BulkResult, Item, ItemPage
from service.client.retrying import Outcome, Retrying

__all__ = ["Client", "with_self"]

P = ParamSpec("P")
T = TypeVar("T")


class _Sender(Protocol):
    def send(self, call: Call[T]) -> T: ...


def with_self(method: Callable[..., Any], describe: Callable[..., Any]) -> None:
    """Gives a method the documentation and signature of the call that it sends, for `help` and editors."""
    functools.update_wrapper(method, describe)
    signature = inspect.signature(describe)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    returned = str(signature.return_annotation).removeprefix("Call[").removesuffix("]")
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[itself, *signature.parameters.values()], return_annotation=returned
    )


def _now(describe: Callable[P, Call[T]]) -> Callable[Concatenate[_Sender, P], T]:
    def method(self: _Sender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.send(describe(*args, **kwargs))

    with_self(method, describe)
    return method


class _Part:
    """Calls about one kind of thing."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def send(self, call: Call[T]) -> T:
        return self._client.send(call)


class Users(_Part):
    """Calls about a user."""

    get = _now(users.get)
    put = _now(users.put)
    patch = _now(users.patch)
    delete = _now(users.delete)
    warm_up = _now(users.warm_up)
    reset = _now(users.reset)
    merge = _now(users.merge)
    export = _now(users.export)
    explain = _now(users.explain)


class Items(_Part):
    """Calls about items."""

    get = _now(items.get)
    put = _now(items.put)
    patch = _now(items.patch)
    delete = _now(items.delete)
    similar = _now(items.similar)

    def list(self, *, filter: str | None = None, page_size: int = 1000) -> Iterator[Item]:
        """Yields all items in the order in which they became known, or those that a filter lets pass."""
        call: Call[ItemPage] | None = items.listed(filter=filter, page_size=page_size)
        while call is not None:
            page = self.send(call)
            yield from page.items
            call = items.after(call, page)

    def bulk(self, items: Iterable[Mapping[str, Any]]) -> BulkResult:
        """Adds or replaces any number of items; each is a mapping with item_id and what `put` takes."""
        return self.bulk_lines(item_line(item) for item in items)

    def bulk_lines(self, lines: Iterable[bytes], report: Callable[[int], None] | None = None) -> BulkResult:
        """Adds or replaces the items of NDJSON lines, for example of an open binary file; `report` gets bytes sent."""
        load = Load()
        for chunk in load.chunks(lines):
            load.add(chunk, self.send(chunk.call))
            if report is not None:
                report(chunk.size_bytes)
        return load.result


class Client:
    """Calls the service; one instance keeps its connections and may be used by many threads.

    >>> with Client("http://127.0.0.1:8000") as client:                                        # doctest: +SKIP
    ...     slate = client.recommend("ada", k=5)
    ...     client.feedback(Event("like", slate.items[0].item_id, "ada", slate.recommendation_id))

    Args:
        base_url: where the service is; METARL_URL, or this machine's port 8000, when absent.
        api_key: METARL_API_KEY when absent; it goes into no message.
        timeout_s: of a call with all its tries and pauses. Each wait for the network is held to what is left.
        connect_timeout_s: of making a connection.
        retrying: how often a call is tried; only where repeating is harmless.
        max_connections: open at once.
        transport: replaces the network, for tests.

    Raises:
        ValueError: the URL or the key cannot be one.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = 10.0,
        connect_timeout_s: float = 2.0,
        retrying: Retrying | None = None,
        max_connections: int = 100,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection.of(base_url, api_key, timeout_s, connect_timeout_s, retrying, max_connections)
        self._http = httpx.Client(transport=transport, **self._connection.httpx_options())
        self.users = Users(self)
        self.items = Items(self)

    recommend = _now(slates.recommend)
    recommend_batch = _now(slates.recommend_batch)
    activate = _now(slates.activate)
    feedback = _now(events.feedback)
    feedback_batch = _now(events.feedback_batch)
    ready = _now(operations.ready)
    version = _now(operations.version)

    def send(self, call: Call[T]) -> T:
        """Sends a described call and returns its result.

        Raises:
            ClientError: no answer came, or the service refused the call.
        """
        tries = self._connection.tries(call)
        while True:
            outcome = self._try(call, tries.left_s)
            pause_s = tries.pause_after(outcome)
            if pause_s is None:
                return self._connection.result(call, outcome)
            time.sleep(pause_s)

    def _try(self, call: Call[Any], left_s: float) -> Outcome:
        try:
            return self._http.request(**self._connection.request_options(call, left_s))
        except httpx.TransportError as error:
            return error

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the connections."""
        self.close()

    def __repr__(self) -> str:
        """Returns where it points; never the key."""
        return f"Client({str(self._connection.url)!r})"
