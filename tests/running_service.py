"""The real application in this process: its lifespan by the ASGI protocol, its requests through httpx."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from service.administration import Administration
from service.engine import Engine
from service.main import create_app
from service.settings import load_settings

__all__ = ["Running", "running"]


@dataclass
class Running:
    """A started application.

    Attributes:
        client: speaks HTTP to it.
        app: the ASGI application.
        engine: the working parts of its own tenant.
        administration: keys and tenants.
    """

    client: httpx.AsyncClient
    app: Any
    engine: Engine
    administration: Administration

    async def recommend(self, user_id: str, **fields: Any) -> dict[str, Any]:
        """Returns the body of a recommendation that must succeed."""
        response = await self.client.post("/v1/recommendations", json={"user_id": user_id, **fields})
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def post_feedback(self, **fields: Any) -> httpx.Response:
        """Sends one event."""
        return await self.client.post("/v1/feedback", json=fields)

    async def like(self, user_id: str, item_id: str, event_id: str, **fields: Any) -> dict[str, Any]:
        """Sends a like that must be accepted."""
        event = {"event_id": event_id, "user_id": user_id, "item_id": item_id, "type": "like", **fields}
        response = await self.post_feedback(**event)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def user(self, user_id: str) -> dict[str, Any]:
        """Returns what is held of a user who must exist."""
        response = await self.client.get(f"/v1/users/{quote(user_id, safe='')}")
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def metric(self, name: str, **labels: str) -> float:
        """Returns a sample's value; 0 for one that does not exist."""
        return self.engine.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running(
    checkpoint_dir: Path, data_dir: Path, *, clock: Callable[[], float] | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """Starts the application and stops it at the end.

    The time-out towards Redis is long: these tests are about answers, not about a machine that has other things to do.
    """
    given = {"redis_timeout_s": 10.0, "redis_connect_timeout_s": 10.0, "seed": 0, **settings}
    app: Any = create_app(load_settings(checkpoint_dir=checkpoint_dir, data_dir=data_dir, **given), clock=clock)
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    told = asyncio.create_task(outbox.get())
    await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
    if told.done() and told.result()["type"] != "lifespan.startup.complete":
        await task
    if not told.done():
        told.cancel()
        await task
    try:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
            yield Running(client, app, app._app.state.engine, app._app.state.administration)
    finally:
        await inbox.put({"type": "lifespan.shutdown"})
        await task
    assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
