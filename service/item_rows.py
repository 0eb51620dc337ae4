"""What is known of every item as numbers: arrays that grow together, one row an item, and which rows are on offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["ItemRows"]

_RESERVED: Final = 4096
"""Rows to begin with: below the size at which the kernel hands out memory in huge pages."""


class ItemRows:
    """Arrays by item number; whole arrays are private, their first `size` rows are what there is.

    Args:
        dim: number D of features.
        topics: number T of topics.
    """

    def __init__(self, dim: int, topics: int) -> None:
        self.size = 0
        self._arrays: dict[str, NDArray[Any]] = {
            "features": np.zeros((_RESERVED, dim), np.float32),
            "lengths": np.zeros(_RESERVED, np.float32),
            "popularity": np.zeros(_RESERVED, np.float32),
            "topics": np.zeros((_RESERVED, topics), np.float32),
            "available": np.zeros(_RESERVED, np.bool_),
            "published": np.zeros(_RESERVED, np.float64),
            "expires": np.zeros(_RESERVED, np.float64),
            "trained": np.zeros(_RESERVED, np.bool_),
            "used": np.zeros(_RESERVED, np.bool_),
        }
        self._shared: set[str] = set()
        self._offer: tuple[float, float, NDArray[np.bool_]] | None = None

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Returns an array's rows [size, ...]; writing to them writes to the array."""
        return self._arrays[name][: self.size]

    @property
    def size_bytes(self) -> int:
        """Memory of the rows that there are."""
        return sum(self[name].nbytes for name in self._arrays)

    def extend(self, size: int) -> None:
        """Makes room for so many rows; new ones are zero."""
        for name, old in self._arrays.items():
            if size > len(old):
                # Zeros that nobody has written to take no memory yet.
                self._arrays[name] = np.zeros((max(size, len(old) * 3 // 2), *old.shape[1:]), old.dtype)
                self._arrays[name][: self.size] = old[: self.size]
                self._shared.discard(name)
        self.size = max(self.size, size)

    def share(self, features: NDArray[np.float32], popularity: NDArray[np.float32]) -> None:
        """Begins with rows [n, D] and [n] that others read as well; they are copied before the first write.

        So tenants that serve a checkpoint's items alone have its features together.
        """
        self.extend(len(features))
        self._arrays |= {"features": features, "popularity": popularity}
        self._shared = {"features", "popularity"}
        self["lengths"][:] = np.linalg.norm(features, axis=1)

    def put(self, at: NDArray[np.int64], records: Sequence[Mapping[str, Any]]) -> None:
        """Sets from when to when items may be shown, by their records, and that they are there.

        Args:
            at: [m] item numbers.
            records: [m]; `available`, and `published_at` and `expires_at` in seconds since 1970 or None.
        """
        self["used"][at] = True
        self["available"][at] = [record["available"] for record in records]
        self["published"][at] = [_time(record.get("published_at"), -np.inf) for record in records]
        self["expires"][at] = [_time(record.get("expires_at"), np.inf) for record in records]
        self._offer = None

    def remove(self, at: NDArray[np.int64]) -> None:
        """Takes items away; what was trained for them stays, should they come back."""
        self["used"][at] = self["available"][at] = False
        self._offer = None

    def encode(self, at: NDArray[np.int64], features: NDArray[np.float32], popularity: NDArray[np.float32]) -> None:
        """Sets features [m, D] and popularity [m] of items."""
        for name in self._shared:
            self._arrays[name] = self._arrays[name].copy()
        self._shared.clear()
        self["features"][at], self["popularity"][at] = features, popularity
        self["lengths"][at] = np.linalg.norm(features, axis=1)

    def on_offer(self, now: float) -> NDArray[np.bool_]:
        """Returns the items [n] bool that may be shown: available, published and not expired. Read-only.

        It is computed again only after a change, or once the next item's time has come.

        Args:
            now: seconds since 1970.
        """
        if self._offer is None or not self._offer[0] <= now < self._offer[1]:
            available, published, expires = self["available"], self["published"], self["expires"]
            mask = available & (published <= now) & (now < expires)
            mask.flags.writeable = False
            later = min(
                float(times.min(initial=np.inf, where=available & (times > now))) for times in (published, expires)
            )
            self._offer = (now, later, mask)
        return self._offer[2]


def _time(value: float | None, absent: float) -> float:
    return absent if value is None else value
