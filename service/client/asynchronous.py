"""The asynchronous client: the same described calls, awaited; for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import httpx

from service.client import events, items, operations, slates, users
from service.client.blocking import with_self
from service.client.bulk import Chunk, Load, item_line
from service.client.call import Call
from service.client.connection import Connection
from service.client.results import BulkResult, Item, ItemPage
from service.client.retrying import Outcome, Retrying

__all__ = ["AsyncClient"]

P = ParamSpec("P")
T = TypeVar("T")


class _Sender(Protocol):
    def send(self, call: Call[T]) -> Coroutine[Any, Any, T]: ...


def _later(describe: Callable[P, Call[T]]) -> Callable[Concatenate[_Sender, P], Coroutine[Any, Any, T]]:
    def method(self: _Sender, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        # Described now, sent when awaited: an argument that is an iterator means what it means here.
        return self.send(describe(*args, **kwargs))

    with_self(method, describe)
    return method


class _Part:
    """Calls about one kind of thing."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def send(self, call: Call[T]) -> T:
        return await self._client.send(call)


class Users(_Part):
    """Calls about a user."""

    get = _later(users.get)
    put = _later(users.put)
    patch = _later(users.patch)
    delete = _later(users.delete)
    warm_up = _later(users.warm_up)
    reset = _later(users.reset)
    merge = _later(users.merge)
    export = _later(users.export)
    explain = _later(users.explain)


class Items(_Part):
    """Calls about items."""

    get = _later(items.get)
    put = _later(items.put)
    patch = _later(items.patch)
    delete = _later(items.delete)
    similar = _later(items.similar)

    async def list(self, *, filter: str | None = None, page_size: int = 1000) -> AsyncIterator[Item]:
        """Yields all items in the order in which they became known, or those that a filter lets pass."""
        call: Call[ItemPage] | None = items.listed(filter=filter, page_size=page_size)
        while call is not None:
            page = await self.send(call)
            for item in page.items:
                yield item
            call = items.after(call, page)

    async def bulk(self, items: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]) -> BulkResult:
        """Adds or replaces any number of items; each is a mapping with item_id and what `put` takes."""
        load = Load()
        if isinstance(items, AsyncIterable):
            async for item in items:
                await self._send_chunks(load, load.take(item_line(item)))
        else:
            for item in items:
                await self._send_chunks(load, load.take(item_line(item)))
        await self._send_chunks(load, load.rest())
        return load.result

    async def _send_chunks(self, load: Load, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            load.add(chunk, await self.send(chunk.call))


class AsyncClient:
    """Calls the service; one instance keeps its connections and serves any number of tasks of one event loop.

    Args and errors are those of `Client`; `timeout_s` bounds a call exactly.
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = Connection.of(base_url, api_key, timeout_s, connect_timeout_s, retrying, max_connections)
        self._http = httpx.AsyncClient(transport=transport, **self._connection.httpx_options())
        self.users = Users(self)
        self.items = Items(self)

    recommend = _later(slates.recommend)
    recommend_batch = _later(slates.recommend_batch)
    activate = _later(slates.activate)
    feedback = _later(events.feedback)
    feedback_batch = _later(events.feedback_batch)
    ready = _later(operations.ready)
    version = _later(operations.version)

    async def send(self, call: Call[T]) -> T:
        """Sends a described call and returns its result.

        Raises:
            ClientError: no answer came, or the service refused the call.
        """
        tries = self._connection.tries(call)
        while True:
            outcome = await self._try(call, tries.left_s)
            pause_s = tries.pause_after(outcome)
            if pause_s is None:
                return self._connection.result(call, outcome)
            await asyncio.sleep(pause_s)

    async def _try(self, call: Call[Any], left_s: float) -> Outcome:
        try:
            async with asyncio.timeout(left_s):
                return await self._http.request(**self._connection.request_options(call, left_s))
        except TimeoutError:
            return httpx.ReadTimeout("the call's time is over")
        except httpx.TransportError as error:
            return error

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        """Returns itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the connections."""
        await self.close()

    def __repr__(self) -> str:
        """Returns where it points; never the key."""
        return f"AsyncClient({str(self._connection.url)!r})"
