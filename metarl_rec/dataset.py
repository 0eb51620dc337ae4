"""Ratings of items by users with the attributes of both, in memory, and the split of its users."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metarl_rec.errors import DataError

__all__ = [
    "MAX_ID_LENGTH",
    "MAX_RATING",
    "AttributeValue",
    "Dataset",
    "UserSplit",
    "id_fault",
    "sorted_ids",
    "split_users",
]

AttributeValue = str | float | list[str]
"""A category or text, a finite number, or a list of categories. An attribute is absent, never empty."""

MAX_ID_LENGTH = 256
MAX_RATING = 3.4028234663852886e38  # float32; beyond it a number would be stored as infinite
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_RESERVED = frozenset({"user_id", "item_id"})


@dataclass(frozen=True, eq=False)
class Dataset:
    """Ratings in their order of arrival. Ids ascend: by integer value where all are integers, else by code point.

    Attributes:
        name: letters, digits, dot, dash and underscore; it names files.
        user_ids: U ids.
        item_ids: n ids; an item without ratings is one nobody has rated yet.
        user_index: [R] int32, position in `user_ids` of each rating's user.
        item_index: [R] int32, position in `item_ids`; no (user, item) pair occurs twice.
        rating: [R] float32, finite.
        timestamp: [R] float64, seconds since 1970, finite; None where the source has no times.
        user_attributes: U dictionaries; one name has one type of value throughout.
        item_attributes: n dictionaries; likewise.

    Raises:
        DataError: at construction, where one of these does not hold.
    """

    name: str
    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    user_index: NDArray[np.int32]
    item_index: NDArray[np.int32]
    rating: NDArray[np.float32]
    timestamp: NDArray[np.float64] | None
    user_attributes: tuple[dict[str, AttributeValue], ...]
    item_attributes: tuple[dict[str, AttributeValue], ...]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise DataError(f"data set name {self.name!r} must be 1-64 letters, digits, dots, dashes or underscores")
        for kind, ids, index, rows in (
            ("user", self.user_ids, self.user_index, self.user_attributes),
            ("item", self.item_ids, self.item_index, self.item_attributes),
        ):
            _check_ids(kind, ids)
            _check_attributes(kind, ids, rows)
            if index.dtype != np.int32 or index.shape != self.rating.shape:
                raise DataError(f"{kind}_index must be int32 with one entry a rating, not {index.dtype} {index.shape}")
            if index.size and (index.min() < 0 or index.max() >= len(ids)):
                raise DataError(f"{kind}_index must lie in 0..{len(ids) - 1}")
        if self.rating.dtype != np.float32 or self.rating.ndim != 1 or not np.isfinite(self.rating).all():
            raise DataError("rating must be a finite float32 vector")
        times = self.timestamp
        if times is not None and (
            times.dtype != np.float64 or times.shape != self.rating.shape or not np.isfinite(times).all()
        ):
            raise DataError("timestamp must be None or a finite float64 vector with one entry a rating")
        pairs = self.user_index.astype(np.int64) * len(self.item_ids) + self.item_index
        if len(np.unique(pairs)) != len(pairs):
            raise DataError("a (user, item) pair is rated twice; `metarl-rec import` keeps the latest of each")

    @classmethod
    def from_records(
        cls,
        name: str,
        users: Sequence[str],
        items: Sequence[str],
        rating: Sequence[float] | NDArray[np.float32],
        timestamp: Sequence[float] | NDArray[np.float64] | None,
        user_attributes: Mapping[str, dict[str, AttributeValue]],
        item_attributes: Mapping[str, dict[str, AttributeValue]],
    ) -> Dataset:
        """Returns the data set of R ratings given by id; ids known from attributes alone are part of it too."""
        user_ids, item_ids = sorted_ids({*users, *user_attributes}), sorted_ids({*items, *item_attributes})
        user_at = {user: position for position, user in enumerate(user_ids)}
        item_at = {item: position for position, item in enumerate(item_ids)}
        return cls(
            name=name,
            user_ids=user_ids,
            item_ids=item_ids,
            user_index=np.array([user_at[user] for user in users], dtype=np.int32),
            item_index=np.array([item_at[item] for item in items], dtype=np.int32),
            rating=np.array(rating, dtype=np.float32),
            timestamp=None if timestamp is None else np.array(timestamp, dtype=np.float64),
            user_attributes=tuple(user_attributes.get(user, {}) for user in user_ids),
            item_attributes=tuple(item_attributes.get(item, {}) for item in item_ids),
        )

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over everything but the name: equal exactly where the content is equal."""
        text = json.dumps(
            [self.user_ids, self.item_ids, self.user_attributes, self.item_attributes],
            sort_keys=True,
            separators=(",", ":"),
        )
        out = hashlib.sha256(f"{len(self.rating)} {self.timestamp is not None} {len(text)}\n{text}".encode())
        for array, dtype in ((self.user_index, "<i4"), (self.item_index, "<i4"), (self.rating, "<f4")):
            out.update(array.astype(dtype).tobytes())
        if self.timestamp is not None:
            out.update(self.timestamp.astype("<f8").tobytes())
        return out.hexdigest()

    def reward_table(self, threshold: float = 4.0) -> NDArray[np.uint8]:
        """Returns [U, n] uint8: 1 where the user rated the item at `threshold` or above, else 0, unrated too."""
        out = np.zeros((len(self.user_ids), len(self.item_ids)), dtype=np.uint8)
        out[self.user_index, self.item_index] = self.rating >= threshold
        return out

    def rated_table(self) -> NDArray[np.bool_]:
        """Returns [U, n] bool: whether the user rated the item."""
        out = np.zeros((len(self.user_ids), len(self.item_ids)), dtype=np.bool_)
        out[self.user_index, self.item_index] = True
        return out

    def filter(self, min_positives: int = 0, min_ratings: int = 0, threshold: float = 4.0) -> Dataset:
        """Returns the data set of the users with enough ratings, and of the items that these users rated.

        Args:
            min_positives: least number of ratings at `threshold` or above.
            min_ratings: least number of ratings.
            threshold: rating from which on an item counts as liked.

        Raises:
            DataError: no user is left.
        """
        count = len(self.user_ids)
        positives = np.bincount(self.user_index[self.rating >= threshold], minlength=count)
        ratings = np.bincount(self.user_index, minlength=count)
        keep_user = (positives >= min_positives) & (ratings >= min_ratings)
        if not keep_user.any():
            raise DataError(
                f"no user of {self.name} has {min_positives} ratings >= {threshold:g} and {min_ratings} ratings in all "
                f"(the most are {positives.max(initial=0)} and {ratings.max(initial=0)}); ask for fewer"
            )
        keep_item = np.zeros(len(self.item_ids), dtype=np.bool_)
        keep_item[self.item_index[keep_user[self.user_index]]] = True
        return self._part(keep_user, keep_item)

    def only_items(self, keep: NDArray[np.bool_]) -> Dataset:
        """Returns the data set without the ratings and attributes of other items; all users stay.

        Args:
            keep: [n] bool.
        """
        return self._part(np.ones(len(self.user_ids), dtype=np.bool_), keep)

    def _part(self, users: NDArray[np.bool_], items: NDArray[np.bool_]) -> Dataset:
        rows = users[self.user_index] & items[self.item_index]
        # By id, as the order may change: ids that were text beside a dropped one may all be integers without it.
        return Dataset.from_records(
            self.name,
            [self.user_ids[u] for u in self.user_index[rows]],
            [self.item_ids[i] for i in self.item_index[rows]],
            self.rating[rows],
            None if self.timestamp is None else self.timestamp[rows],
            {self.user_ids[u]: self.user_attributes[u] for u in np.flatnonzero(users)},
            {self.item_ids[i]: self.item_attributes[i] for i in np.flatnonzero(items)},
        )


@dataclass(frozen=True, slots=True)
class UserSplit:
    """Disjoint users, as positions in `Dataset.user_ids`, in an order that carries no information.

    Attributes:
        train: [85 %] int64.
        validation: [5 %] int64.
        test: [10 %] int64.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_users(n_users: int, seed: int) -> UserSplit:
    """Returns split number `seed` of users 0..n_users - 1, 85/5/10.

    The draws are fixed (`numpy.random.default_rng(seed).permutation`), so that figures of one split can be compared.

    Reference: proportions of Zou et al., "Neural Interactive Collaborative Filtering", SIGIR 2020, arXiv:2007.02095.
    """
    order = np.random.default_rng(seed).permutation(n_users)
    first, second = int(0.85 * n_users), int(0.9 * n_users)
    return UserSplit(order[:first], order[first:second], order[second:])


def sorted_ids(ids: Iterable[str]) -> tuple[str, ...]:
    """Returns the distinct ids, ascending by integer value where all are integers, else by code point."""
    distinct = set(ids)
    if all(_INTEGER.fullmatch(each) and len(each) <= MAX_ID_LENGTH for each in distinct):
        return tuple(sorted(distinct, key=lambda each: (int(each), each)))
    return tuple(sorted(distinct))


def id_fault(value: str) -> str | None:
    """Returns what makes `value` unfit as a user's or item's id, or None."""
    if not value or value.isspace():
        return "missing id"
    if len(value) > MAX_ID_LENGTH:
        return f"id of {len(value)} characters, at most {MAX_ID_LENGTH} are allowed"
    if value.isascii() and value.isprintable():
        return None
    categories = {unicodedata.category(character) for character in value}
    if "Cs" in categories:
        return "id is not valid UTF-8"
    return "control character in id" if "Cc" in categories else None


def _check_ids(kind: str, ids: tuple[str, ...]) -> None:
    for each in ids:
        if fault := id_fault(each):
            raise DataError(f"{kind} id {each[:40]!r}: {fault}")
    if ids != sorted_ids(ids):
        raise DataError(f"{kind}_ids must be distinct and ascending; build the data set with Dataset.from_records")


def _check_attributes(kind: str, ids: tuple[str, ...], rows: tuple[dict[str, AttributeValue], ...]) -> None:
    if len(rows) != len(ids):
        raise DataError(f"{len(rows)} rows of {kind} attributes for {len(ids)} {kind}s; give one row each")
    types: dict[str, type] = {}
    for each, row in zip(ids, rows, strict=True):
        for name, value in row.items():
            if not _is_text(name) or name in _RESERVED:
                raise DataError(f"attribute name {name!r} of {kind} {each} is empty, reserved or not valid Unicode")
            if not _is_attribute(value):
                raise DataError(
                    f"attribute {name} of {kind} {each} must be a non-empty string, a finite float or a non-empty list "
                    "of non-empty strings; leave it out where it is not known"
                )
            if types.setdefault(name, type(value)) is not type(value):
                raise DataError(f"attribute {name} of {kind} {each} is a {type(value).__name__}, elsewhere it is not")


def _is_text(value: object) -> bool:
    if type(value) is not str or not value:
        return False
    return value.isascii() or not any(0xD800 <= ord(character) <= 0xDFFF for character in value)


def _is_attribute(value: object) -> bool:
    # Exact types: numpy's scalars are subclasses, and would be written and digested as something else.
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is list:
        return bool(value) and all(_is_text(entry) for entry in value)
    return _is_text(value)
