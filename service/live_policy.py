"""A running service as a policy: simulated users ask it for slates and send it their feedback, over its REST API."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np

from metarl_rec.errors import ConfigError, DataError
from metarl_rec.policies import Decision, Feedback, View
from service.client import AsyncClient, ClientError, Event
from service.client.results import Slate

__all__ = ["LivePolicy"]

T = TypeVar("T")

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
        ConfigError: the URL or key cannot be one, or, in every method, the service cannot be reached or refuses a call.
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
        self._item_ids = item_ids
        self._number = {item_id: number for number, item_id in enumerate(item_ids)}
        self._attributes = user_attributes
        self._run_id = secrets.token_hex(4)
        self._loop = asyncio.Runner()
        self._gate = asyncio.Semaphore(concurrency)
        try:
            self._client = AsyncClient(url, api_key=api_key, timeout_s=_TIMEOUT_S, max_connections=concurrency)
        except ValueError as error:
            raise ConfigError(f"--url: {error}") from None
        self._slates: list[list[Slate | None]] = []
        self._known: set[str] = set()
        self._answered: dict[int, set[int]] = {}

    def policy_version(self) -> str:
        """Returns the version of the policy that the service serves."""
        return self._run([self._client.version()])[0].policy

    def begin(self, rng: np.random.Generator) -> None:
        """Starts with new users; the service draws with randomness of its own."""
        self._round = int(rng.integers(2**31))
        self._slates, self._answered = [], {}

    def act(self, view: View) -> Decision:
        """Asks for one slate for every user who is present."""
        rows = np.flatnonzero(view.present)
        self._known.update(self._user_id(int(row)) for row in rows)
        answers = self._run([self._slate(int(row), view) for row in rows])
        slates: list[Slate | None] = [None] * len(view.present)
        items = np.zeros((len(view.present), view.slate_size), np.int32)
        log_propensities = np.zeros(items.shape, np.float32)
        for row, slate in zip(rows, answers, strict=True):
            if len(slate.items) != view.slate_size:
                raise DataError(
                    f"the service gave {len(slate.items)} items instead of {view.slate_size}: {slate.degraded}"
                )
            slates[row] = slate
            for position, item in enumerate(slate.items):
                if item.item_id not in self._number:
                    raise ConfigError(
                        f"the service shows item {item.item_id!r}, which the simulated users do not know; "
                        "simulate with the data set that its checkpoint was trained on"
                    )
                items[row, position] = self._number[item.item_id]
                log_propensities[row, position] = np.log(max(item.propensity, 1e-30))
        self._slates.append(slates)
        return Decision(items, log_propensities)

    def observe(self, feedback: Feedback) -> None:
        """Sends every answer that has arrived: a like for a reward, a dislike for none."""
        calls = []
        for user, step, rewards in zip(feedback.users, feedback.steps, feedback.rewards, strict=True):
            slate = self._slates[step][user]
            if slate is None:
                continue
            self._answered.setdefault(int(user), set()).update(self._number[item.item_id] for item in slate.items)
            calls.append(
                self._client.feedback_batch(
                    Event(
                        "like" if reward > 0 else "dislike",
                        item.item_id,
                        self._user_id(int(user)),
                        slate.recommendation_id,
                        event_id=f"{self._round}-{user}-{step}-{position}",
                    )
                    for position, (item, reward) in enumerate(zip(slate.items, rewards, strict=True))
                )
            )
        for result in self._run(calls):
            if result.rejected:
                raise DataError(f"the service rejected feedback: {result.rejected[0].code}")

    def close(self, *, keep_users: bool = False) -> None:
        """Deletes the users of this run, unless they are to be kept, and closes the connections."""
        if not keep_users and self._known:
            self._run([self._client.users.delete(user_id) for user_id in sorted(self._known)])
        self._loop.run(self._client.close())
        self._loop.close()

    def _user_id(self, row: int) -> str:
        return f"simulated-{self._run_id}-{self._round}-{row}"

    def _slate(self, row: int, view: View) -> Coroutine[Any, Any, Slate]:
        # The service leaves out what has feedback; what was shown and is unanswered, or was never on offer, it can not
        # know. Such a request's propensities are over fewer items, and the service forms no ratio from them.
        closed = np.flatnonzero(~view.candidates[row])
        answered = self._answered.get(row, set())
        waiting = [self._item_ids[number] for number in closed if int(number) not in answered]
        return self._client.recommend(
            self._user_id(row),
            k=view.slate_size,
            user_attributes=None if self._attributes is None else self._attributes[row],
            exclude_item_ids=waiting[:500] or None,
        )

    def _run(self, calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Returns the results of calls that run side by side, as many at once as the gate lets through."""

        async def one(call: Coroutine[Any, Any, T]) -> T:
            async with self._gate:
                return await call

        async def all_of_them() -> list[T]:
            return await asyncio.gather(*(one(call) for call in calls))

        try:
            return self._loop.run(all_of_them())
        except ClientError as error:
            raise ConfigError(str(error)) from None
