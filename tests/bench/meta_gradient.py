"""What an outer update costs on the CPU and on a GPU: the exact second-order meta-gradient of N made-up users.

    python -m tests.bench.meta_gradient --out tests/bench/meta_gradient.json

Both devices differentiate the same tasks in turn; the report has every sample, their ratio, and how far the gradients
are apart. Without a GPU only the CPU's times are reported. Roll-outs, which are compiled for the CPU, are not in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metarl_rec.inner_loop import SupportBatch
from metarl_rec.inner_params import InnerParams
from metarl_rec.meta_params import MetaParams
from metarl_rec.outer_loop import TaskBatch, maml_gradient
from metarl_rec.provenance import machine
from metarl_rec.support import Support, shown_support

SIZES = ((39, 1_626), (39, 3_424), (256, 3_424), (256, 10_000), (1_024, 3_424))
DIM, SHOWN, SEED = 64, 20, 0


def made_up(users: int, items: int) -> TaskBatch:
    """Returns tasks of users with random tastes, each shown `SHOWN` random items."""
    rng = np.random.default_rng(SEED)
    features = (rng.standard_normal((items, DIM)) * 0.03).astype(np.float32)
    popularity = rng.uniform(0.0, 0.4, items).astype(np.float32)
    likes = np.clip(popularity + rng.standard_normal((users, DIM)) @ features.T, 0.0, 1.0).astype(np.float32)
    everything = np.ones(items, np.bool_)
    log_propensity = np.full(SHOWN, -np.log(items), np.float32)
    supports: list[Support] = []
    query = np.ones((users, items), np.bool_)
    for user in range(users):
        shown = rng.choice(items, SHOWN, replace=False).astype(np.int32)
        rewards = (rng.random(SHOWN) < likes[user, shown]).astype(np.float32)
        supports.append(shown_support(shown, rewards, log_propensity, everything))
        query[user, shown] = False
    return TaskBatch(
        support=SupportBatch.pack(supports, torch.from_numpy(features), torch.from_numpy(popularity)),
        shift=torch.zeros(users, DIM),
        rewards=torch.from_numpy(likes),
        query=torch.from_numpy(query),
    )


def measure(batch: TaskBatch, device: str, repeats: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Returns seconds of every gradient after two warm-ups, transfer to the device included, and the gradient."""
    inner = InnerParams()
    meta = MetaParams.start(DIM, inner, 1.2)
    seconds = []
    for attempt in range(repeats + 2):
        began = time.perf_counter()
        _, gradient = maml_gradient(
            meta, batch, inner, order="second", learn_features=True, device=torch.device(device)
        )  # The gradient comes back to the CPU, which waits for the device.
        if attempt >= 2:
            seconds.append(time.perf_counter() - began)
    return seconds, gradient


def apart(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Returns the largest difference of two gradients, relative to the largest entry of the first.

    Not tensor by tensor: where the first full step reaches the optimum, step sizes have a gradient of rounding errors.
    """
    largest, gap = (
        max(float(tensor.abs().max()) for tensor in tensors if tensor.numel())
        for tensors in (first.values(), [first[name] - second[name] for name in first])
    )
    return gap / largest


def main() -> None:
    """Measures every size and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=7, help="gradients timed of each size and device")
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="how many of the sizes, smallest first")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    rows: list[dict[str, Any]] = []
    for users, items in SIZES[: asked.sizes]:
        batch = made_up(users, items)
        row: dict[str, Any] = {"users": users, "items": items}
        gradients = {}
        for device in devices:
            row[device], gradients[device] = measure(batch, device, asked.repeats)
        text = ", ".join(f"{device} {1000 * statistics.median(row[device]):.1f} ms" for device in devices)
        if len(devices) == 2:
            row["speedup"] = statistics.median(row["cpu"]) / statistics.median(row["cuda"])
            row["apart"] = apart(gradients["cpu"], gradients["cuda"])
            text += f", {row['speedup']:.1f} times, gradients {row['apart']:.1e} apart"
        rows.append(row)
        print(f"{users:5d} users, {items:6d} items: {text}", flush=True)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    context = {"machine": machine(), "gpu": gpu, "threads": torch.get_num_threads(), "seed": SEED, "features": DIM}
    asked.out.write_text(json.dumps({**context, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
