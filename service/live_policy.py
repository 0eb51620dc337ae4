"""A running service as a policy: simulated users ask it for slates and send it their feedback, over its REST API."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray

from metarl_rec.errors import ConfigError, DataError
from metarl_rec.policies import Decision, Feedback, View

__all__ = ["LivePolicy"]

_TIMEOUT_S = 30.0


class LivePolicy:
    """Plays N users through a service, many at a time.

    Every user gets an id of this run; `close` deletes them, so that a simulation leaves nothing behind.

    Args:
        url: where the service listens.
        item_ids: n ids, in the order of the simulation's item numbers.
        user_attributes: N dictionaries that go with every request, or None.
        concurrency: requests in flight at once, >= 1.
        api_key: sent as a bearer token where given.

    Raises:
        ConfigError: the service cannot be reached; it says so when `policy_version` is read or the play begins.
    """

    def __init__(
        self,
        url: str,
        item_ids: Sequence[str],
        user_attributes: Sequence[dict[str, Any]] | None = None,
        *,
        concurrency: int = 32,
        api_key: str | None = None,
    ) -> None:
        self._url = url
        self._item_ids = item_ids
        self._number = {item_id: number for number, item_id in enumerate(item_ids)}
        self._attributes = user_attributes
        self._run_id = secrets.token_hex(4)
        self._loop = asyncio.Runner()
        self._gate = asyncio.Semaphore(concurrency)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        self._http = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, limits=limits, headers=headers)
        self._slates: list[list[dict[str, Any] | None]] = []
        self._known: set[str] = set()
        self._answered: dict[int, set[int]] = {}

    def policy_version(self) -> str:
        """Returns the version of the policy that the service serves."""
        body = self._loop.run(self._call("GET", "/version"))
        return str(body["policy"])

    def begin(self, rng: np.random.Generator) -> None:
        """Starts with new users; the service draws with randomness of its own."""
        self._round = int(rng.integers(2**31))
        self._slates, self._answered = [], {}

    def act(self, view: View) -> Decision:
        """Asks for one slate for every user who is present."""
        rows = np.flatnonzero(view.present)
        self._known.update(self._user_id(int(row)) for row in rows)
        answers = self._loop.run(self._slates_of(rows, view))
        slates: list[dict[str, Any] | None] = [None] * len(view.present)
        items = np.zeros((len(view.present), view.slate_size), np.int32)
        log_propensities = np.zeros(items.shape, np.float32)
        for row, body in zip(rows, answers, strict=True):
            if len(body["items"]) != view.slate_size:
                raise DataError(
                    f"the service gave {len(body['items'])} items instead of {view.slate_size}: {body.get('degraded')}"
                )
            slates[row] = body
            for position, item in enumerate(body["items"]):
                if item["item_id"] not in self._number:
                    raise ConfigError(
                        f"the service shows item {item['item_id']!r}, which the simulated users do not know; "
                        "simulate with the data set that its checkpoint was trained on"
                    )
                items[row, position] = self._number[item["item_id"]]
                log_propensities[row, position] = np.log(max(item["propensity"], 1e-30))
        self._slates.append(slates)
        return Decision(items, log_propensities)

    def observe(self, feedback: Feedback) -> None:
        """Sends every answer that has arrived: a like for a reward, a dislike for none."""
        events = []
        for user, step, rewards in zip(feedback.users, feedback.steps, feedback.rewards, strict=True):
            slate = self._slates[step][user]
            if slate is None:
                continue
            numbers = (self._number[item["item_id"]] for item in slate["items"])
            self._answered.setdefault(int(user), set()).update(numbers)
            events.append(
                [
                    {
                        "event_id": f"{self._round}-{user}-{step}-{position}",
                        "user_id": self._user_id(int(user)),
                        "recommendation_id": slate["recommendation_id"],
                        "item_id": item["item_id"],
                        "type": "like" if reward > 0 else "dislike",
                    }
                    for position, (item, reward) in enumerate(zip(slate["items"], rewards, strict=True))
                ]
            )
        self._loop.run(self._send(events))

    def close(self, *, keep_users: bool = False) -> None:
        """Deletes the users of this run, unless they are to be kept, and closes the connections."""
        if not keep_users and self._known:
            self._loop.run(self._forget(sorted(self._known)))
        self._loop.run(self._http.aclose())
        self._loop.close()

    def _user_id(self, row: int) -> str:
        return f"simulated-{self._run_id}-{self._round}-{row}"

    async def _slates_of(self, rows: NDArray[np.int64], view: View) -> list[dict[str, Any]]:
        return await asyncio.gather(*(self._slate(int(row), view) for row in rows))

    async def _slate(self, row: int, view: View) -> dict[str, Any]:
        body: dict[str, Any] = {"user_id": self._user_id(row), "k": view.slate_size}
        if self._attributes is not None:
            body["user_attributes"] = self._attributes[row]
        # The service leaves out what has feedback; what was shown and is unanswered, or was never on offer, it can not
        # know. Such a request's propensities are over fewer items, and the service forms no ratio from them.
        closed = np.flatnonzero(~view.candidates[row])
        answered = self._answered.get(row, set())
        waiting = [self._item_ids[number] for number in closed if int(number) not in answered]
        if waiting:
            body["exclude_item_ids"] = waiting[:500]
        return await self._call("POST", "/v1/recommendations", body)

    async def _send(self, events: list[list[dict[str, Any]]]) -> None:
        answers = await asyncio.gather(*(self._call("POST", "/v1/feedback", {"events": batch}) for batch in events))
        for answer in answers:
            if answer["rejected"]:
                raise DataError(f"the service rejected feedback: {answer['rejected'][0]['code']}")

    async def _forget(self, user_ids: list[str]) -> None:
        paths = [f"/v1/users/{quote(user_id, safe='')}" for user_id in user_ids]
        await asyncio.gather(*(self._call("DELETE", path) for path in paths))

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        async with self._gate:
            try:
                answer = await self._http.request(method, path, json=body)
            except httpx.HTTPError as error:
                raise ConfigError(
                    f"{self._url}: {type(error).__name__} at {path}; is the service running? try `metarl-rec serve`"
                ) from None
        if answer.is_error:
            try:
                detail = answer.json().get("detail", "")
            except ValueError:
                detail = answer.text[:200]
            raise ConfigError(f"{self._url}{path} answered {answer.status_code}: {detail}")
        return answer.json() if answer.content else {}
