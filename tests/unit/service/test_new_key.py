"""Keys: unlike each other, told apart from anything else, their ids in the order of time."""

from __future__ import annotations

import hashlib
import re

from service.auth import new_key


def test_new_keys_are_unlike_and_their_hash_is_of_the_secret_alone() -> None:
    keys = [new_key() for _ in range(100)]
    assert len({key for key, _, _ in keys}) == len({key_id for _, key_id, _ in keys}) == 100
    for key, key_id, secret_hash in keys:
        parts = re.fullmatch(r"mrk_([0-9a-f]{20})_([A-Za-z0-9_-]{43})", key)
        assert parts is not None
        assert parts[1] == key_id
        assert hashlib.sha256(parts[2].encode()).hexdigest() == secret_hash
    # The first 12 digits are milliseconds: a page of keys begins with the oldest.
    times = [key_id[:12] for _, key_id, _ in keys]
    assert times == sorted(times)
