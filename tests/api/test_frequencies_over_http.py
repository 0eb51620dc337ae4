"""What a client can check from outside: how often items come agrees with the propensities that the answers state."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.running_service import Running

pytestmark = pytest.mark.anyio

DRAWS = 1500


async def test_frequencies_of_an_adapted_users_answers_agree_with_their_propensities(app: Running) -> None:
    for i in range(3):
        await app.like("ada", f"item{4 * i}", f"e{i}")
    offered = [{"item_id": f"item{i}"} for i in range(20, 26)]
    first: Counter[str] = Counter()
    stated: dict[str, set[float]] = {}
    for _ in range(DRAWS):
        body = await app.recommend("ada", k=2, candidates=offered)
        a, b = body["items"]
        assert body["slate_propensity"] == pytest.approx(a["propensity"] * b["propensity"], rel=1e-9)
        first[a["item_id"]] += 1
        stated.setdefault(a["item_id"], set()).add(a["propensity"])
    assert all(len(values) == 1 for values in stated.values())
    propensities = {item: values.pop() for item, values in stated.items()}
    assert sum(propensities.values()) <= 1 + 1e-9
    for item, p in propensities.items():
        assert abs(first[item] - DRAWS * p) <= 4 * (DRAWS * p * (1 - p)) ** 0.5
    # The genre that was liked leads: item20 and item24 have it.
    assert max(propensities, key=lambda item: propensities[item]) in ("item20", "item24")
