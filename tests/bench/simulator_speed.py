"""User-steps per second beside RecoGym and RecSim, and the cost of a user-step as the batch grows; one core.

    python -m venv peers && peers/bin/pip install -r tests/bench/peers/requirements.txt
    peers/bin/pip install --no-deps -r tests/bench/peers/requirements-no-deps.txt
    python -m tests.bench.simulator_speed --peers peers/bin/python --out tests/bench/simulator_speed.json

Every row pairs a public simulator with a world of ours of the same catalogue size, slate size and kind of response,
both played with random slates. They take turns within one run, on one core, and CPU seconds are counted. A user-step is
one slate shown to one user.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from metarl_rec.provenance import machine
from simulator import (
    BatchEnv,
    Drift,
    DwellTime,
    Dynamics,
    LatentFactorUsers,
    Leaving,
    MultinomialLogit,
    Satiation,
    Topics,
)

WORKER = Path(__file__).parent / "peers" / "worker.py"
USERS = 16_384
BATCHES = (1_024, 4_096, 16_384, 65_536)
HORIZON = 50


def catalogue(items: int, dim: int) -> tuple[torch.Tensor, torch.Tensor, Topics]:
    """Returns features, popularity and topics of a made-up catalogue."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(items, dim, generator=generator) * 0.5
    topics = torch.eye(8)[torch.randint(8, (items,), generator=generator)]
    return features, torch.full((items,), 0.2), Topics(topics)


def world(kind: str, users: int, items: int) -> tuple[BatchEnv, int]:
    """Returns an environment that answers as the peer of the same row does, and its slate size."""
    features, popularity, topics = catalogue(items, 5 if kind == "recogym" else 8)
    population = LatentFactorUsers.calibrated(features, popularity, users, seed=1)
    common: dict[str, Any] = {"form": "session", "horizon": HORIZON, "discount": 0.9, "repeats": True, "seed": 1}
    match kind:
        case "recogym":
            options: dict[str, Any] = {"slate_size": 1, "dynamics": Dynamics(drift=Drift(0.1))}
        case "recsim-interest-evolution":
            moving = Dynamics(topics=topics, satiation=Satiation(), drift=Drift(0.1), leaving=Leaving(boredom=1.0))
            options = {"slate_size": 2, "choice": MultinomialLogit(), "dynamics": moving}
        case "recsim-interest-exploration":
            options = {"slate_size": 2, "choice": MultinomialLogit()}
        case _:
            tiring = Dynamics(topics=topics, satiation=Satiation())
            options = {"slate_size": 2, "choice": MultinomialLogit(), "dynamics": tiring, "dwell": DwellTime()}
    return BatchEnv(population, torch.arange(users), **common, **options), options["slate_size"]


RESPONSES = {
    "recogym": ("Bernoulli click of a drifting latent-factor user", "binary logit, taste drift"),
    "recsim-interest-evolution": (
        "multinomial proportional choice, drifting interests, time budget",
        "multinomial logit with no choice, satiation, drift, boredom, leaving",
    ),
    "recsim-interest-exploration": ("multinomial logit with no click", "multinomial logit with no choice"),
    "recsim-long-term-satisfaction": (
        "log-normal engagement scaled by a latent satisfaction",
        "multinomial logit with no choice, satiation, log-normal dwell time",
    ),
}


def player(env: BatchEnv, users: int, items: int, slate: int) -> Callable[[], int]:
    """Returns a function that plays one step of random slates and returns how many users were there."""
    generator = torch.Generator().manual_seed(2)
    firsts = [torch.randint(items, (users, 1), generator=generator) for _ in range(8)]
    slates = [(first + torch.arange(slate)) % items for first in firsts]
    at = 0

    def step() -> int:
        nonlocal at
        at += 1
        _, response = env.step(slates[at % len(slates)])
        ended = (response.terminated | response.truncated).nonzero().squeeze(1)
        if len(ended):
            # The next user takes the place of one whose session has ended, as in the peers.
            env.replace(ended, (ended + at) % users)
        return int(response.present.sum())

    env.reset()
    return step


def ours(kind: str, items: int, seconds: float, users: int = USERS) -> float:
    """Returns our user-steps per CPU second."""
    env, slate = world(kind, users, items)
    step = player(env, users, items, slate)
    for _ in range(3):
        step()
    done, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        done += step()
    return done / (time.process_time() - began)


def theirs(python: Path, kind: str, items: int, users: int, seconds: float) -> dict[str, Any]:
    """Returns a peer's report."""
    command = [str(python), str(WORKER), kind, "--seconds", str(seconds), "--items", str(items)]
    if users > 1:
        command += ["--users", str(users)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return report


def main() -> None:
    """Runs the comparison and the scaling, prints both tables and writes the raw samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True, help="Python of the peers' environment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows: list[tuple[str, int, int]] = [("recogym", 10, 1), ("recogym", 1000, 1)]
    rows += [(kind, 10, users) for kind in list(RESPONSES)[1:] for users in (1, 100)]
    samples: dict[tuple[str, int, int], list[tuple[float, float]]] = {row: [] for row in rows}
    for _ in range(asked.rounds):
        for kind, items, users in rows:
            peer = theirs(asked.peers, kind, items, users, asked.seconds)
            own = ours(kind, items, asked.seconds)
            samples[kind, items, users].append((own, peer["user_steps_per_second"]))
    table = []
    for (kind, items, users), pairs in samples.items():
        ratio = statistics.median(own / peer for own, peer in pairs)
        table.append(
            {
                "peer": kind + (f", {users} users at once" if users > 1 else ""),
                "items": items,
                "their_response": RESPONSES[kind][0],
                "our_response": RESPONSES[kind][1],
                "ours": statistics.median(own for own, _ in pairs),
                "theirs": statistics.median(peer for _, peer in pairs),
                "ratio": ratio,
                "samples": pairs,
            }
        )
        own, peer = table[-1]["ours"], table[-1]["theirs"]
        print(f"{table[-1]['peer']:52s} {items:5d} items {own:12,.0f} {peer:9,.0f} x{ratio:,.0f}")
    scaling: dict[int, list[float]] = {users: [] for users in BATCHES}
    for _ in range(asked.rounds):
        for users in BATCHES:
            scaling[users].append(1e9 / ours("recsim-interest-evolution", 1000, asked.seconds, users))
    medians = {users: statistics.median(values) for users, values in scaling.items()}
    for users, nanoseconds in medians.items():
        print(f"{users:6d} users: {nanoseconds:.0f} ns a user-step")
    growth = statistics.median(b / a for a, b in zip(scaling[BATCHES[0]], scaling[BATCHES[-1]], strict=True))
    print(f"cost at {BATCHES[-1]} users over cost at {BATCHES[0]}: {growth:.2f}")
    if asked.out:
        payload = {"machine": machine(), "users": USERS, "rows": table, "scaling_ns": scaling, "growth": growth}
        asked.out.write_text(json.dumps(payload, indent=1) + "\n")


if __name__ == "__main__":
    main()
