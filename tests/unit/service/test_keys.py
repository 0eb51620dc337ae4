"""Redis keys: ids reach Redis only hashed, a user's keys share one slot, and a recommendation id names its user."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.keys import ItemKeys, UserKeys, new_recommendation_id, user_of_recommendation

ids = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=256)


def tag(key: str) -> str:
    """Returns the hash tag of a key as Redis Cluster cuts it out."""
    found = re.search(r"\{([^}]+)\}", key)
    assert found is not None
    return found.group(1)


@given(ids)
def test_keys_of_any_user_share_one_slot_and_are_plain_text(user_id: str) -> None:
    keys = UserKeys.of("default", user_id)
    names = [keys.state, keys.events, keys.impressions, keys.impression("r" + user_id)]
    assert len(set(names)) == 4
    assert len({tag(name) for name in names}) == 1
    assert all(re.fullmatch(r"metarl:\{default:\d{1,4}\}:[ueix](:[0-9a-f]{32}){1,2}", name) for name in names)


@given(ids, ids)
def test_keys_of_two_users_or_two_tenants_differ(a: str, b: str) -> None:
    assert (UserKeys.of("default", a).state == UserKeys.of("default", b).state) == (a == b)
    assert UserKeys.of("default", a).state != UserKeys.of("other", a).state


@given(ids)
def test_recommendation_id_names_its_user_and_not_the_user_id(user_id: str) -> None:
    keys = UserKeys.of("default", user_id)
    made = new_recommendation_id(keys)
    assert user_of_recommendation("default", made) == keys
    assert made != new_recommendation_id(keys)


@pytest.mark.parametrize(
    "name", ["", "mine", "r1-x-y", "r1-" + "g" * 32 + "-ab", "r2-" + "a" * 32 + "-ab", "r1-" + "a" * 32]
)
def test_foreign_recommendation_id_names_nobody(name: str) -> None:
    assert user_of_recommendation("default", name) is None


def test_item_keys_share_one_slot() -> None:
    keys = ItemKeys("shop-1")
    names = [keys.records, keys.numbers, keys.next_number, keys.changes, keys.log]
    assert len(set(names)) == 5
    assert {tag(name) for name in names} == {"shop-1"}
