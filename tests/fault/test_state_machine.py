"""Any sequence of requests, restarts and kills: what was acknowledged is what is stored, and w follows from it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from metarl_rec.adaptation import adapt_user
from service.adapter import support_of
from service.store.codec import decode_state
from service.store.keys import UserKeys
from tests.running_service import Running, running
from tests.service_checkpoint import write_checkpoint

BUFFER = 6
# A breaker that tries again soon: the test waits for a killed Redis often.
SETTINGS: dict[str, Any] = {"buffer_size": BUFFER, "breaker_open_s": 0.05}
USERS = ("ada", "bob")
REWARDS = {"like": 1.0, "click": 1.0, "dislike": 0.0, "skip": 0.0}
TYPES = st.sampled_from([*REWARDS, "impression"])
ITEMS = st.integers(0, 11).map(lambda i: f"item{i}")


@dataclass
class Person:
    """What must be held of a user."""

    life: int = 0
    rows: dict[tuple[str | None, str], float] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    known: bool = False


@dataclass(frozen=True)
class Shown:
    """A slate that somebody was shown."""

    user: str
    life: int
    recommendation_id: str
    items: tuple[str, ...]


class Service(RuleBasedStateMachine):
    """The service beside a model of what it promises."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp(prefix="machine"))
        self.checkpoints = [write_checkpoint(self.directory / f"checkpoint{seed}", seed=seed) for seed in (0, 1)]
        self.people = {user: Person() for user in USERS}
        self.slates: list[Shown] = []
        self.count = 0
        self.serve(0)

    def serve(self, checkpoint: int) -> None:
        async def enter() -> Running:
            self.stack = AsyncExitStack()
            return await self.stack.enter_async_context(
                running(self.checkpoints[checkpoint], self.directory / "service", **SETTINGS)
            )

        self.app = self.loop.run_until_complete(enter())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run_until_complete(self.stack.aclose())
            self.loop.close()
            shutil.rmtree(self.directory)

    def send(self, event: dict[str, Any]) -> httpx.Response:
        """Sends one event, as often as it takes while Redis comes back."""
        for _ in range(500):
            response = self.loop.run_until_complete(self.app.post_feedback(**event))
            if response.status_code != 503:
                return response
            self.loop.run_until_complete(asyncio.sleep(0.02))
        raise AssertionError("Redis does not come back")

    def apply(self, event: dict[str, Any]) -> None:
        """Sends a new event that must be applied, and notes what follows from it."""
        answer = self.send(event)
        assert answer.status_code == 200, answer.text
        # 1 and 0, or 0 and 1 where a write went through although its answer was lost to a kill.
        assert answer.json()["applied"] + answer.json()["duplicates"] == 1
        person = self.people[event["user_id"]]
        person.events[event["event_id"]] = event
        person.known = True
        if event["type"] in REWARDS:
            key = (event.get("recommendation_id"), event["item_id"])
            person.rows.pop(key, None)
            person.rows[key] = REWARDS[event["type"]]
            while len(person.rows) > BUFFER:
                del person.rows[next(iter(person.rows))]
            person.seen.add(event["item_id"])

    def new_event(self, user: str, item: str, kind: str, **fields: Any) -> dict[str, Any]:
        self.count += 1
        return {"event_id": f"e{self.count}", "user_id": user, "item_id": item, "type": kind, **fields}

    @rule(user=st.sampled_from(USERS), k=st.integers(1, 4), sampled=st.booleans())
    def recommend(self, user: str, k: int, sampled: bool) -> None:
        offered = [{"item_id": f"item{i}"} for i in range(12)]
        fields = {"k": k, "exploration": {"enabled": sampled}} | ({} if sampled else {"candidates": offered})
        body = self.loop.run_until_complete(self.app.recommend(user, **fields))
        items = tuple(item["item_id"] for item in body["items"])
        person = self.people[user]
        assert not set(items) & person.seen
        if "degraded" not in body:
            assert body["user"]["transitions"] == len(person.rows)
            self.slates.append(Shown(user, person.life, body["recommendation_id"], items))

    @rule(user=st.sampled_from(USERS), item=ITEMS, kind=TYPES)
    def organic_event(self, user: str, item: str, kind: str) -> None:
        self.apply(self.new_event(user, item, kind))

    @precondition(lambda self: self.slates)
    @rule(data=st.data(), kind=TYPES)
    def event_on_a_slate(self, data: st.DataObject, kind: str) -> None:
        slate = data.draw(st.sampled_from(self.slates))
        if not slate.items:
            return
        item = data.draw(st.sampled_from(slate.items))
        event = self.new_event(slate.user, item, kind, recommendation_id=slate.recommendation_id)
        if slate.life == self.people[slate.user].life:
            self.apply(event)
        else:
            refused = self.send(event)
            assert (refused.status_code, refused.json()["code"]) == (404, "unknown_impression")

    @precondition(lambda self: any(person.events for person in self.people.values()))
    @rule(data=st.data(), changed=st.booleans())
    def event_again(self, data: st.DataObject, changed: bool) -> None:
        events = [event for person in self.people.values() for event in person.events.values()]
        event = data.draw(st.sampled_from(events))
        if changed:
            refused = self.send(event | {"type": "click" if event["type"] == "like" else "like"})
            assert (refused.status_code, refused.json()["code"]) == (422, "conflict")
        else:
            assert self.send(event).json()["duplicates"] == 1

    @precondition(lambda self: self.slates)
    @rule(data=st.data())
    def event_outside_its_slate(self, data: st.DataObject) -> None:
        slate = data.draw(st.sampled_from(self.slates))
        item = next(f"item{i}" for i in range(200) if f"item{i}" not in slate.items)
        refused = self.send(self.new_event(slate.user, item, "like", recommendation_id=slate.recommendation_id))
        assert refused.json()["code"] in ("not_in_slate", "unknown_impression")

    @rule(user=st.sampled_from(USERS))
    def delete(self, user: str) -> None:
        async def call() -> None:
            for _ in range(500):
                if (await self.app.client.delete(f"/v1/users/{user}")).status_code == 204:
                    return
                await asyncio.sleep(0.02)
            raise AssertionError("Redis does not come back")

        self.loop.run_until_complete(call())
        self.people[user] = Person(life=self.people[user].life + 1)

    @rule(checkpoint=st.integers(0, 1))
    def restart(self, checkpoint: int) -> None:
        self.loop.run_until_complete(self.stack.aclose())
        self.serve(checkpoint)

    @rule()
    def kill_redis(self) -> None:
        os.kill(int((self.directory / "service" / "redis" / "redis.pid").read_text()), signal.SIGKILL)

    @invariant()
    def what_was_acknowledged_is_what_is_stored(self) -> None:
        if hasattr(self, "app"):
            self.loop.run_until_complete(self.check())

    async def check(self) -> None:
        engine = self.app.engine
        for user, person in self.people.items():
            data = await self.stored(user)
            state = decode_state(data) if data is not None else None
            if not person.known:
                assert state is None or state.tombstone
                continue
            assert state is not None
            found = [(engine.catalogue.item_id(int(row["item"])), float(row["reward"])) for row in state.transitions]
            assert found == [(item, reward) for (_, item), reward in person.rows.items()]
            assert {engine.catalogue.item_id(int(number)) for number in state.seen} == person.seen
            if state.weights is not None and state.version == engine.checkpoint.version:
                again = adapt_user(
                    engine.catalogue.features,
                    engine.catalogue.popularity,
                    engine.checkpoint.initialization,
                    support_of(state, engine.catalogue, engine.checkpoint.inner.organic_weight),
                    engine.checkpoint.inner,
                )
                assert state.weights.tobytes() == again.weights.tobytes()

    async def stored(self, user: str) -> bytes | None:
        for _ in range(500):
            response = await self.app.client.get(f"/v1/users/{user}")
            if response.status_code != 503:
                break
            await asyncio.sleep(0.02)
        data: bytes | None = (await self.app.engine.users.read(UserKeys.of("default", user))).state
        return data


TestService = Service.TestCase
TestService.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
