"""The sine network in torch, on the same flat weights, as the reference of the compiled one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HIDDEN = 6


def torch_loss(weights: Tensor, x: Tensor, y: Tensor, tanh: bool, hidden: int = HIDDEN) -> Tensor:
    w1, b1, w2, b2, w3, b3 = weights.split([hidden, hidden, hidden * hidden, hidden, hidden, 1])
    act = torch.tanh if tanh else torch.relu
    first = act(x[:, None] * w1 + b1)
    second = act(first @ w2.reshape(hidden, hidden) + b2)
    return ((second @ w3 + b3 - y) ** 2).mean()


def points(seed: int, count: int, dtype: Any = np.float64) -> tuple[NDArray[Any], NDArray[Any]]:
    x = np.random.default_rng(seed).uniform(-5.0, 5.0, count)
    return x.astype(dtype), (2.0 * np.sin(x - 1.0)).astype(dtype)
