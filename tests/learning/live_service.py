"""What adaptation does on a running service, through its REST API alone; every check prints its figures.

    metarl-rec quickstart                      # in one terminal
    python -m tests.learning.live_service      # in another; exits with 1 where a check fails

1. A new user's first slate carries the meta-policy's scores, and many draws agree with the propensities.
2. Three likes within one genre raise that genre's share in sampled slates, and the user is `adapted`.
3. The adapted user's draws agree with their propensities too.
"""

from __future__ import annotations

import argparse
import math
import secrets
import sys
from collections import Counter
from typing import Any

import httpx

SLATES = 200
DRAWS = 3000


class Live:
    """A running service."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=10)
        self.failed = False

    def slate(self, user_id: str, k: int, **options: Any) -> dict[str, Any]:
        """Returns one recommendation."""
        answer = self._http.post("/v1/recommendations", json={"user_id": user_id, "k": k, **options})
        body: dict[str, Any] = answer.raise_for_status().json()
        return body

    def like(self, user_id: str, item_id: str) -> None:
        """Sends a like that no recommendation led to."""
        event = {"event_id": secrets.token_hex(8), "user_id": user_id, "item_id": item_id, "type": "like"}
        self._http.post("/v1/feedback", json=event).raise_for_status()

    def popularity(self, item_id: str) -> float:
        """Returns an item's population value."""
        return float(self._http.get(f"/v1/items/{item_id}").raise_for_status().json()["popularity"])

    def check(self, what: str, holds: bool, figures: str) -> None:
        """Prints a check and remembers a failure."""
        self.failed |= not holds
        print(f"{'ok  ' if holds else 'FAIL'} {what}: {figures}")


def genre_shares(live: Live, user_id: str, genre: str) -> tuple[list[float], set[str]]:
    """Returns the share of a genre in each of SLATES slates of ten, and every item that they showed."""
    shares, shown = [], set()
    for _ in range(SLATES):
        items = live.slate(user_id, 10, explain=True)["items"]
        shares.append(sum(genre in item["attributes"].get("genres", []) for item in items) / len(items))
        shown |= {item["item_id"] for item in items}
    return shares, shown


def frequencies(live: Live, user_id: str) -> tuple[float, int]:
    """Returns the greatest |frequency - propensity| in standard errors over DRAWS draws, and how many items came up."""
    counts: Counter[str] = Counter()
    propensities: dict[str, float] = {}
    for _ in range(DRAWS):
        # Warmer than the default, at which two or three items take all draws and the check would be idle.
        item = live.slate(user_id, 1, exploration={"temperature": 0.05})["items"][0]
        counts[item["item_id"]] += 1
        propensities[item["item_id"]] = item["propensity"]
    gaps = []
    for item_id, count in counts.items():
        p = propensities[item_id]
        # Below five expected draws a normal standard error means nothing.
        if DRAWS * p >= 5 and DRAWS * (1 - p) >= 5:
            gaps.append(abs(count / DRAWS - p) / math.sqrt(p * (1 - p) / DRAWS))
    return max(gaps, default=0.0), len(counts)


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Returns mean and standard error."""
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def main() -> None:
    """Runs the checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--genre", default="Sci-Fi")
    arguments = parser.parse_args()
    live, user = Live(arguments.url), f"live-{secrets.token_hex(4)}"

    first = live.slate(user, 10)
    gap = max(abs(item["score"] - live.popularity(item["item_id"])) for item in first["items"])
    live.check(
        "first slate is the meta-policy's", gap < 2e-6 and first["user"]["status"] == "cold", f"score gap {gap:.1e}"
    )
    worst, distinct = frequencies(live, user)
    live.check("cold propensities", worst < 4, f"{DRAWS} draws, {distinct} items, worst {worst:.1f} standard errors")

    shares, shown = genre_shares(live, user, arguments.genre)
    before, before_error = mean_and_error(shares)
    pool = live.slate(user, 100, exploration={"enabled": False}, explain=True)["items"]
    members = [item["item_id"] for item in pool if arguments.genre in item["attributes"].get("genres", [])]
    # A liked item is not shown again. Liking items that no slate has shown keeps that from lowering the share.
    liked = [item_id for item_id in members if item_id not in shown][:3]
    for item_id in liked:
        live.like(user, item_id)
    status = live.slate(user, 1)["user"]
    live.check("user is adapted", status["status"] == "adapted" and status["transitions"] == 3, f"liked {liked}")
    after, after_error = mean_and_error(genre_shares(live, user, arguments.genre)[0])
    error = math.hypot(before_error, after_error)
    live.check(
        f"share of {arguments.genre} in {SLATES} slates rises",
        after - before > 2 * error,
        f"{before:.3f} -> {after:.3f}" + (f", {(after - before) / error:+.1f} standard errors" if error else ""),
    )
    worst, distinct = frequencies(live, user)
    live.check("adapted propensities", worst < 4, f"{DRAWS} draws, {distinct} items, worst {worst:.1f} standard errors")
    sys.exit(live.failed)


if __name__ == "__main__":
    main()
