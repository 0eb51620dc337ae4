"""What a large catalogue costs: bulk load over HTTP, a replica's start, memory, filters, likeness, scoring.

    python -m tests.bench.catalogue_load --items 100000 --out tests/bench/catalogue_load_100k.json

The service and its Redis are real processes with their default settings, on the machine's own disk. While the load
runs, another client asks for slates every 50 ms, and again without a load before it, to compare with. The figures of
single steps are taken in this process, on the same items.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from metarl_rec.attributes import AttributeEncoder
from metarl_rec.checkpoint import Checkpoint, ItemRecord, save_checkpoint
from metarl_rec.inner_params import InnerParams
from metarl_rec.kernels import score_items
from metarl_rec.prior import LinearEncoder
from metarl_rec.provenance import machine
from service.catalogue import LiveCatalogue, item_record
from tests.service_process import ServiceProcess

DIM, TRAINED, LINES = 64, 2000, 50_000
GENRES = tuple(f"genre {i}" for i in range(20))
COUNTRIES = tuple(f"country {i}" for i in range(50))
FILTERS = {
    "one word of a list": '"genre 3" in genres',
    "a number": "year >= 1990",
    "one of a million texts": 'title = "Item number 77"',
    "three tests": '"genre 3" in genres and year >= 1990 and not country in ["country 1", "country 2"]',
    "everything but": "not exists(country)",
}


def attributes(number: int) -> dict[str, Any]:
    """Returns an item's attributes: two genres, a year, a country, and a title of its own."""
    genres = sorted({GENRES[number % 20], GENRES[number * 7 // 3 % 20]})
    year = 1930 + number * 13 % 96
    return {"genres": genres, "year": year, "country": COUNTRIES[number % 50], "title": f"Item number {number}"}


def checkpoint() -> Checkpoint:
    """Returns a checkpoint of 2,000 items and 64 features."""
    rng = np.random.default_rng(0)
    items = tuple(ItemRecord(f"trained{i}", attributes(i)) for i in range(TRAINED))
    encoder, users = AttributeEncoder.fit([item.attributes for item in items]), AttributeEncoder()

    def linear(inputs: int, outputs: int) -> LinearEncoder:
        weight = 0.1 * rng.normal(size=(inputs, outputs))
        return LinearEncoder(*(part.astype(np.float32) for part in (np.zeros(inputs), weight, np.zeros(outputs))))

    return Checkpoint(
        version="",
        items=items,
        features=(0.1 * rng.normal(size=(TRAINED, DIM))).astype(np.float32),
        popularity=rng.uniform(0.2, 0.5, TRAINED).astype(np.float32),
        initialization=(0.1 * rng.normal(size=DIM)).astype(np.float32),
        item_encoder=linear(encoder.width, DIM + 1),
        user_encoder=linear(users.width, DIM),
        item_attributes=encoder,
        user_attributes=users,
        inner=InnerParams(),
        lineage={},
        metrics={},
    )


def bodies(items: int) -> Iterator[bytes]:
    """Yields NDJSON bodies of up to 50,000 lines."""
    for start in range(0, items, LINES):
        lines = [
            json.dumps({"item_id": f"new{i}", "attributes": attributes(i)})
            for i in range(start, min(start + LINES, items))
        ]
        yield "\n".join(lines).encode()


def milliseconds(call: Callable[[], object], times: int = 5) -> list[float]:
    """Returns how long each of some calls took."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def resident_mb(pid: int) -> float:
    """Returns a process's resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Probe:
    """A client that asks for a slate every 50 ms until it is told to stop."""

    def __init__(self, url: str) -> None:
        self.taken_ms: list[float] = []
        self.outcomes: dict[str, int] = {}
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._stop.wait(0.05):
                began = time.perf_counter()
                response = client.post("/v1/recommendations", json={"user_id": "ada"})
                self.taken_ms.append(1000 * (time.perf_counter() - began))
                outcome = response.json().get("degraded", "ok") if response.status_code == 200 else "failed"
                self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def report(self) -> dict[str, Any]:
        """Returns quantiles of what it waited, in milliseconds, and what it got."""
        cuts = np.quantile(self.taken_ms, [0.5, 0.99, 1.0]) if self.taken_ms else [0.0] * 3
        return dict(zip(("p50_ms", "p99_ms", "max_ms"), map(float, cuts), strict=True)) | {"outcomes": self.outcomes}


def over_http(items: int, directory: Path) -> dict[str, Any]:
    """Returns what a real service shows from outside."""
    save_checkpoint(checkpoint(), directory / "checkpoint")
    service = ServiceProcess(directory / "checkpoint", directory / "data")
    url = f"http://127.0.0.1:{service.port}"
    report: dict[str, Any] = {}
    with service:
        empty_mb, redis_mb = resident_mb(service.pid), resident_mb(service.redis_pid)
        with Probe(url) as quiet:
            time.sleep(5)
        with Probe(url) as busy:
            seconds = []
            for body in bodies(items):
                began = time.perf_counter()
                answer = httpx.post(f"{url}/v1/items/bulk", content=body, timeout=600).json()
                seconds.append(time.perf_counter() - began)
                assert answer.get("applied") == body.count(b"\n") + 1, answer
        report["load"] = {
            "seconds": sum(seconds), "items_per_second": items / sum(seconds), "samples_s": seconds,
            "slates_without_a_load": quiet.report(), "slates_during_the_load": busy.report(),
        }  # fmt: skip
        service.stop()
        began = time.perf_counter()
        service.start()
        report["restart_s"] = time.perf_counter() - began
        report["memory"] = {
            "service_mb": resident_mb(service.pid), "service_without_items_mb": empty_mb,
            "redis_mb": resident_mb(service.redis_pid), "redis_without_items_mb": redis_mb,
            "service_bytes_per_item": 2**20 * (resident_mb(service.pid) - empty_mb) / items,
        }  # fmt: skip
        client = service.client
        ask: dict[str, Callable[[], httpx.Response]] = {
            "slate": lambda: client.post("/v1/recommendations", json={"user_id": "ada"}),
            "slate with a filter": lambda: client.post(
                "/v1/recommendations", json={"user_id": "ada", "filter": FILTERS["three tests"]}
            ),
            "put": lambda: client.put("/v1/items/new1", json={"attributes": attributes(1)}),
            "page of 100": lambda: client.get("/v1/items"),
            "page of 100 with a filter": lambda: client.get("/v1/items", params={"filter": FILTERS["three tests"]}),
            "similar": lambda: client.get("/v1/items/new1/similar"),
        }
        for call in ask.values():
            assert call().status_code == 200
        report["requests_ms"] = {name: milliseconds(call, 15) for name, call in ask.items()}
    return report


def in_process(items: int) -> dict[str, Any]:
    """Returns what the steps take by themselves."""
    made, step = checkpoint(), 1000
    catalogue = LiveCatalogue(made, range(TRAINED))
    pages = []
    for start in range(0, items, step):
        page = [
            (TRAINED + i, item_record({"item_id": f"new{i}", "attributes": attributes(i), "available": True}))
            for i in range(start, min(start + step, items))
        ]
        pages += milliseconds(lambda: catalogue.apply(catalogue.changes + 1, page), 1)  # noqa: B023 - called at once
    report: dict[str, Any] = {"apply_1000_ms": pages, "size_bytes": catalogue.size_bytes}
    report["filters"] = {}
    for name, text in FILTERS.items():
        first = []
        for turn in range(5):
            touched = item_record({"item_id": "new0", "attributes": attributes(turn), "available": True})
            catalogue.apply(catalogue.changes + 1, [(TRAINED, touched)])
            first += milliseconds(lambda: catalogue.select(text), 1)  # noqa: B023 - called at once
        again = milliseconds(lambda: catalogue.select(text))  # noqa: B023 - called at once
        share = float(catalogue.select(text).mean())
        report["filters"][name] = {"text": text, "share": share, "first_ms": first, "again_ms": again}
    report["on_offer_ms"] = milliseconds(lambda: catalogue.on_offer(0.0), 1)
    report["on_offer_again_ms"] = milliseconds(lambda: catalogue.on_offer(0.0))
    values = np.empty(len(catalogue.popularity), np.float32)
    weights = made.initialization
    score_items(catalogue.features, catalogue.popularity, weights, values)
    report["score_ms"] = milliseconds(lambda: score_items(catalogue.features, catalogue.popularity, weights, values))
    report["values_of_4096_ms"] = milliseconds(
        lambda: [catalogue.values(number, "genres") for number in range(TRAINED, TRAINED + 4096)]
    )
    return report


def main() -> None:
    """Takes all figures, prints the chief ones and writes the samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        outside = over_http(asked.items, Path(directory))
    report = {"machine": machine(), "items": asked.items, "dim": DIM, "http": outside, "steps": in_process(asked.items)}
    load, memory, steps = outside["load"], outside["memory"], report["steps"]
    print(f"load: {load['seconds']:.1f} s, {load['items_per_second']:,.0f} items a second")
    print(f"slates meanwhile: {load['slates_during_the_load']}, without: {load['slates_without_a_load']}")
    print(f"restart: {outside['restart_s']:.1f} s; {memory}; {steps['size_bytes']}")
    for name, taken in outside["requests_ms"].items():
        print(f"{name}: {statistics.median(taken):.1f} ms")
    for name, found in steps["filters"].items():
        print(f"filter {name}: {statistics.median(found['first_ms']):.2f} ms, again {min(found['again_ms']):.4f} ms")
    for name in ("apply_1000_ms", "on_offer_ms", "score_ms", "values_of_4096_ms"):
        print(f"{name}: median {statistics.median(steps[name]):.2f}, greatest {max(steps[name]):.2f}")
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
