"""Both forms of the client against the real service: the asynchronous one in this process, the other over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from service.client import (
    ApiError,
    AsyncClient,
    Client,
    ConflictError,
    Event,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    Request,
    UnauthorizedError,
    UnreachableError,
)
from service.client.results import Slate
from tests.running_service import Running, running
from tests.service_checkpoint import N_ITEMS, genre_of
from tests.service_process import ServiceProcess, free_port

ODD_IDS = ["a/b", "..", ".", "ü %41?#", "x" * 256]


@pytest.fixture
async def client(app: Running) -> AsyncIterator[AsyncClient]:
    """An asynchronous client of the application in this process."""
    async with AsyncClient("http://service", transport=httpx.ASGITransport(app.app), timeout_s=60) as client:
        yield client


@pytest.fixture(scope="module")
def served(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service process for the tests of this module."""
    data = tmp_path_factory.mktemp("client") / "data"
    with ServiceProcess(checkpoint_dir, data, redis_timeout_s=5) as service:
        yield service


@pytest.fixture
def sync(served: ServiceProcess) -> Iterator[Client]:
    """A synchronous client of the service process."""
    with Client(f"http://127.0.0.1:{served.port}", timeout_s=60) as client:
        yield client


@pytest.mark.anyio
async def test_recommend_rules_hold_and_feedback_is_part_of_the_next_slate(client: AsyncClient) -> None:
    slate = await client.recommend(
        "ada",
        k=6,
        filter='"drama" in genres or "horror" in genres',
        boosts={'"horror" in genres': 0.1},
        pins={2: "item0"},
        caps={"genres": 3},
        exclude_item_ids=["item2"],
        diversity=0.1,
        explain=True,
    )
    assert slate.items[1].item_id == "item0"
    assert slate.items[1].propensity == 1.0
    assert {genre_of(item.item_id) for item in slate.items} == {"action", "drama", "horror"}
    assert slate.items[0].reasons
    assert (slate.items[0].attributes or {})["genres"] == [genre_of(slate.items[0].item_id)]
    assert slate.expires_at > datetime.now(UTC)
    liked = slate.items[0].item_id
    result = await client.feedback(Event("like", liked, "ada", slate.recommendation_id))
    assert (result.applied, result.users[0].status, result.users[0].transitions) == (1, "adapted", 1)
    after = await client.recommend("ada", k=50, explore=False)
    assert (after.user.status, after.user.transitions) == ("adapted", 1)
    assert after.user.adapted_at is not None
    assert liked not in {item.item_id for item in after.items}
    assert not after.ope_eligible


@pytest.mark.anyio
async def test_recommend_same_id_gives_the_same_slate_and_another_request_conflicts(client: AsyncClient) -> None:
    first = await client.recommend("ada", k=3, recommendation_id="mine")
    assert await client.recommend("ada", k=3, recommendation_id="mine") == first
    with pytest.raises(ConflictError):
        await client.recommend("ada", k=4, recommendation_id="mine")


@pytest.mark.anyio
async def test_recommend_batch_and_activation_of_what_was_prefetched(client: AsyncClient) -> None:
    requests = [Request("ada", k=2, activate=False), Request("bob", filter="(")]
    slate, refused = await client.recommend_batch(requests)
    assert isinstance(slate, Slate)
    assert isinstance(refused, InvalidRequestError)
    assert refused.detail.startswith("filter")
    await client.activate(slate.recommendation_id)
    await client.recommend("eve", k=2, activate=False, recommendation_id="hers")
    await client.activate("hers", user_id="eve")
    with pytest.raises(InvalidRequestError, match="user_id"):
        await client.activate("hers")
    with pytest.raises(NotFoundError):
        await client.activate("never", user_id="eve")


@pytest.mark.anyio
async def test_feedback_batch_tells_each_event_and_a_repeat_counts_once(client: AsyncClient) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=30)
    events = [
        Event("like", "item1", "ada"),
        Event("rating", "item5", "ada", value=5),
        Event("like", "nothing", "ada"),
        Event("like", "item2", "ada", timestamp=long_ago),
    ]
    result = await client.feedback_batch(events)
    assert result.applied == 2
    assert [(each.index, each.code) for each in result.rejected] == [(2, "unknown_item"), (3, "late")]
    assert (await client.feedback_batch(events)).duplicates == 2
    with pytest.raises(NotFoundError) as caught:
        await client.feedback(Event("like", "nothing", "ada"))
    assert caught.value.code == "unknown_item"
    assert caught.value.request_id


@pytest.mark.anyio
async def test_users_attributes_and_erasure(client: AsyncClient) -> None:
    assert (await client.users.put("ada", {"age": 31, "gender": "F"})).attributes == {"age": 31, "gender": "F"}
    assert (await client.users.get("ada")).transitions == 0
    with pytest.raises(InvalidRequestError, match="declares"):
        await client.users.put("ada", {"shoe_size": 41})
    await client.users.delete("ada")
    await client.users.delete("ada")
    with pytest.raises(NotFoundError):
        await client.users.get("ada")


@pytest.mark.anyio
async def test_users_history_explanation_merge_and_reset(client: AsyncClient) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=400)
    history = [Event("rating", "item0", value=5, timestamp=long_ago), {"type": "dislike", "item_id": "item1"}]
    told = await client.users.warm_up("ada", history)
    assert (told.applied, told.users[0].status, told.users[0].transitions) == (2, "adapted", 2)
    assert (await client.users.patch("ada", {"age": 40})).attributes == {"age": 40}
    assert (await client.users.patch("ada", {"age": None})).attributes == {}
    explained = await client.users.explain("ada", k=3)
    assert [item.rank for item in explained.items] == [1, 2, 3]
    assert {each.item_id for each in explained.transitions} == {"item0", "item1"}
    assert len(explained.transitions[0].effects) == 3
    lines = await client.users.export("ada")
    assert [line["kind"] for line in lines[:3]] == ["user", "transition", "transition"]
    await client.feedback(Event("like", "item4", "guest"))
    assert (await client.users.merge("ada", "guest")).transitions == 3
    assert (await client.users.merge("ada", "guest")).transitions == 3
    with pytest.raises(NotFoundError):
        await client.users.merge("bob", "guest")
    assert (await client.users.reset("ada")).transitions == 0
    assert (await client.users.reset("ada", attributes=True)).attributes == {}


@pytest.mark.anyio
@pytest.mark.parametrize("user_id", ODD_IDS)
async def test_ids_of_any_characters_reach_their_user_and_no_other(client: AsyncClient, user_id: str) -> None:
    await client.users.put(user_id, {"age": 20})
    assert (await client.users.get(user_id)).user_id == user_id
    await client.items.put(user_id, {"genres": ["drama"]})
    assert (await client.items.get(user_id)).item_id == user_id
    await client.items.delete(user_id)
    with pytest.raises(NotFoundError):
        await client.items.get(user_id)


@pytest.mark.anyio
async def test_items_put_patch_similar_list_and_delete(client: AsyncClient) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    new = await client.items.put("new", {"genres": ["drama"], "price": 9.5}, expires_at=soon)
    assert new.not_learned_from == ("price",)
    assert new.expires_at is not None
    assert abs(new.expires_at - soon) < timedelta(seconds=1)
    patched = await client.items.patch("new", {"price": None, "badge": "hot"}, available=False)
    assert (patched.attributes, patched.available) == ({"genres": ["drama"], "badge": "hot"}, False)
    assert patched.expires_at == new.expires_at
    assert (await client.items.patch("new", clear=["expires_at"])).expires_at is None
    similar = await client.items.similar("new", k=3, filter='not ("horror" in genres)')
    assert [genre_of(item.item_id) for item in similar] == ["drama"] * 3
    assert similar[0].similarity >= similar[2].similarity
    listed = [item.item_id async for item in client.items.list(page_size=37)]
    assert len(listed) == N_ITEMS + 1
    assert listed[-1] == "new"
    dramas = [item async for item in client.items.list(filter='"drama" in genres')]
    assert len(dramas) == N_ITEMS / 4 + 1
    await client.items.delete("new")
    with pytest.raises(NotFoundError):
        await client.items.patch("new", available=True)


@pytest.mark.anyio
async def test_items_bulk_takes_iterables_of_both_kinds_and_numbers_lines(client: AsyncClient) -> None:
    result = await client.items.bulk({"item_id": f"b{n}", "attributes": {"price": float(n)}} for n in range(2500))
    assert (result.applied, result.rejected) == (2500, 0)

    async def some() -> AsyncIterator[dict[str, object]]:
        yield {"item_id": "c", "available": False}
        yield {"item_id": "d", "attributes": {"price": float("nan")}}
        yield {"item_id": ""}

    result = await client.items.bulk(some())
    assert (result.applied, [each.line for each in result.rejections]) == (1, [2, 3])


@pytest.mark.anyio
async def test_ready_and_version(client: AsyncClient, app: Running) -> None:
    assert await client.version() is not None
    assert (await client.version()).policy == app.engine.checkpoint.version
    assert (await client.ready()).ready


@pytest.mark.anyio
async def test_keys_refusals_have_types_and_repeat_no_key(checkpoint_dir: Path, tmp_path: Path) -> None:
    admin_key = "a" * 40
    async with running(checkpoint_dir, tmp_path / "guarded", auth="required", admin_key=admin_key) as guarded:
        transport = httpx.ASGITransport(guarded.app)
        async with AsyncClient("http://service", api_key=admin_key, transport=transport) as admin:
            assert (await admin.recommend("ada", k=1)).items
        made = await guarded.client.post(
            "/v1/api-keys", json={"name": "shop", "role": "reader"}, headers={"X-API-Key": admin_key}
        )
        key = made.json()["key"]
        async with AsyncClient("http://service", api_key=key, transport=transport) as reader:
            assert (await reader.recommend("ada", k=1)).items
            with pytest.raises(ForbiddenError) as forbidden:
                await reader.items.delete("item1")
        async with AsyncClient("http://service", api_key=key[:-1] + "~", transport=transport) as stranger:
            with pytest.raises(UnauthorizedError) as unauthorized:
                await stranger.recommend("ada")
        for error in (forbidden.value, unauthorized.value):
            assert key[:-1] not in str(error)


def test_sync_client_speaks_to_a_process(sync: Client) -> None:
    assert sync.ready().ready
    slate = sync.recommend("ada", k=2)
    assert sync.feedback(Event("click", slate.items[0].item_id, recommendation_id=slate.recommendation_id)).applied == 1
    assert sync.users.get("ada").status == "adapted"
    assert sync.feedback_batch([Event("like", "item7", "ada")]).applied == 1
    assert isinstance(sync.recommend_batch([Request("ada", k=1)])[0], Slate)
    sync.users.delete("ada")
    listed = [item.item_id for item in sync.items.list(page_size=64, filter='"drama" in genres')]
    assert len(listed) == len(set(listed)) == N_ITEMS / 4


def test_sync_bulk_lines_of_a_file_count_from_its_beginning(sync: Client, tmp_path: Path) -> None:
    path = tmp_path / "items.ndjson"
    good = [b'{"item_id": "l%d"}\n' % number for number in range(20_500)]
    path.write_bytes(b"".join([*good[:15_000], b"{broken\n", b"\n", *good[15_000:]]))
    sent: list[int] = []
    with path.open("rb") as lines:
        result = sync.items.bulk_lines(lines, sent.append)
    assert (result.applied, [each.line for each in result.rejections]) == (20_500, [15_001])
    assert len(sent) == 3
    assert sum(sent) == path.stat().st_size


def test_sync_client_nobody_there_says_so_and_how_to_start_one() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(UnreachableError, match="metarl-rec serve"):
        client.ready()


def test_sync_client_another_program_there_is_an_unexpected_answer(sync: Client, served: ServiceProcess) -> None:
    with Client(f"http://127.0.0.1:{served.port}/elsewhere") as client, pytest.raises(ApiError) as caught:
        client.recommend("ada")
    assert caught.value.status == 404
