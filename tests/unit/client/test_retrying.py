"""What is sent again, when and how often: failures that a real service cannot be made to show in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from service.client import (
    ApiError,
    AsyncClient,
    Client,
    Event,
    Request,
    Retrying,
    TooManyRequestsError,
    UnavailableError,
    UnreachableError,
)

SLATE = {
    "recommendation_id": "r1",
    "policy": {"version": "v", "alias": "champion"},
    "user": {"status": "cold", "transitions": 0, "adapted_at": None},
    "items": [{"item_id": "50", "rank": 1, "score": 0.5, "propensity": 0.1}],
    "slate_propensity": 0.1,
    "ope_eligible": True,
    "expires_at": "2026-11-23T20:00:00Z",
}
DONE = {"applied": 1, "duplicates": 0, "rejected": [], "users": []}
Answer = httpx.Response | Exception


class Script(httpx.MockTransport):
    """Answers request after request from a list, and keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[httpx.Request] = []
        self._answers: Iterator[Answer] = iter(answers)
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the synchronous client would have slept."""
    slept: list[float] = []
    monkeypatch.setattr("service.client.blocking.time.sleep", slept.append)
    monkeypatch.setattr("service.client.retrying.random.random", lambda: 0.5)
    return slept


def problem(status: int, code: str, headers: dict[str, str] | None = None) -> httpx.Response:
    content = {"type": "t", "title": "t", "status": status, "detail": "what to do", "code": code, "request_id": "q1"}
    return httpx.Response(status, json=content, headers=headers)


def test_send_busy_service_is_asked_again_after_what_it_asks_for(pauses: list[float]) -> None:
    script = Script(problem(429, "busy", {"retry-after": "2"}), problem(503, "gone"), httpx.Response(200, json=DONE))
    result = Client(transport=script).feedback(Event("like", "50", "ada"))
    assert result.applied == 1
    # .1 s and .2 s are the ceilings of the first two pauses, of which the draw takes half.
    assert pauses == [2.05, 0.1]


def test_send_event_keeps_its_id_over_all_tries(pauses: list[float]) -> None:
    script = Script(httpx.ReadError("lost"), httpx.ReadTimeout("late"), httpx.Response(200, json=DONE))
    Client(transport=script).feedback({"type": "like", "item_id": "50", "user_id": "ada"})
    ids = {json.loads(request.content)["event_id"] for request in script.asked}
    assert len(script.asked) == 3
    assert len(ids) == 1
    assert len(ids.pop()) == 32


@pytest.mark.parametrize(
    ("call", "tries"),
    [
        (lambda client: client.recommend("ada"), 1),
        (lambda client: client.recommend("ada", recommendation_id="mine"), 2),
        (lambda client: client.recommend("ada", activate=False), 2),
        (lambda client: client.recommend_batch([Request("ada", activate=False), Request("bob")]), 1),
    ],
)
def test_recommend_lost_answer_is_asked_again_only_where_no_unseen_slate_would_count(
    pauses: list[float], call: Callable[[Client], object], tries: int
) -> None:
    script = Script(httpx.ReadError("lost"), httpx.Response(200, json=SLATE))
    client = Client(transport=script)
    if tries == 1:
        with pytest.raises(UnreachableError, match="ReadError"):
            call(client)
    else:
        call(client)
    assert len(script.asked) == tries


def test_recommend_refused_connection_is_tried_again(pauses: list[float]) -> None:
    script = Script(httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), httpx.Response(200, json=SLATE))
    assert Client(transport=script).recommend("ada").items[0].item_id == "50"


def test_send_gives_up_after_its_tries_and_says_what_came_last(pauses: list[float]) -> None:
    script = Script(*(problem(503, "store_unavailable", {"retry-after": "1"}) for _ in range(9)))
    with pytest.raises(UnavailableError) as caught:
        Client(transport=script, retrying=Retrying(tries=3)).users.get("ada")
    error = caught.value
    assert (error.status, error.code, error.detail) == (503, "store_unavailable", "what to do")
    assert (error.request_id, error.retry_after_s) == ("q1", 1.0)
    assert len(script.asked) == 3


def test_send_pause_beyond_the_deadline_is_not_slept(pauses: list[float]) -> None:
    script = Script(problem(429, "busy", {"retry-after": "60"}))
    with pytest.raises(TooManyRequestsError) as caught:
        Client(transport=script, timeout_s=5).users.get("ada")
    assert caught.value.retry_after_s == 60.0
    assert pauses == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_send_refusals_are_final(pauses: list[float], status: int) -> None:
    script = Script(problem(status, "no"))
    with pytest.raises(ApiError):
        Client(transport=script).users.get("ada")
    assert len(script.asked) == 1


def test_ready_is_asked_once_and_not_ready_is_an_answer(pauses: list[float]) -> None:
    script = Script(httpx.Response(503, json={"status": "not ready", "degraded": False}))
    assert not Client(transport=script).ready().ready
    with pytest.raises(UnreachableError):
        Client(transport=Script(httpx.ConnectError("refused"))).ready()


def test_delay_doubles_up_to_its_ceiling() -> None:
    retrying = Retrying(first_delay_s=0.1, max_delay_s=0.5)
    assert [retrying.delay_s(failures, None, 1.0) for failures in (1, 2, 3, 4)] == [0.1, 0.2, 0.4, 0.5]
    assert retrying.delay_s(1, 3.0, 0.0) == 3.0


@pytest.mark.anyio
async def test_async_client_tries_again_likewise_and_is_held_to_its_deadline() -> None:
    at_once = Retrying(first_delay_s=0)
    script = Script(httpx.ReadError("lost"), problem(429, "busy"), httpx.Response(200, json=DONE))
    async with AsyncClient(transport=script, retrying=at_once) as client:
        assert (await client.feedback(Event("like", "50", "ada"))).applied == 1

    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with AsyncClient(transport=httpx.MockTransport(never), timeout_s=0.05, retrying=at_once) as client:
        with pytest.raises(UnreachableError, match="no answer within the time-out"):
            await client.version()


@pytest.mark.anyio
async def test_async_client_describes_a_call_when_it_is_made_and_sends_it_when_awaited() -> None:
    script = Script(*(httpx.Response(200, json=DONE) for _ in range(2)))
    async with AsyncClient(transport=script) as client:
        calls = [client.feedback_batch(Event("like", item, "ada") for _ in "x") for item in ("1", "2")]
        assert script.asked == []
        await asyncio.gather(*calls)
    assert [json.loads(request.content)["events"][0]["item_id"] for request in script.asked] == ["1", "2"]
