"""The regression network of the sine tasks, compiled: prediction, gradient and exact curvature product on flat weights.

1 input, two hidden layers of equal width H, 1 output. Weights lie in one vector of H * H + 4 H + 1 numbers:
w1 [H], b1 [H], w2 [H, H] (row = unit of the first layer), b2 [H], w3 [H], b3. Loss is the mean squared error.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import DTypeLike, NDArray

from metarl_rec.fastmath import FAST

__all__ = ["curvature_product", "initial_weights", "loss_gradient", "predict", "weight_count"]


def weight_count(hidden: int) -> int:
    """Returns how many weights a network of that width has."""
    return hidden * hidden + 4 * hidden + 1


def initial_weights(rng: np.random.Generator, hidden: int, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Returns random weights [P], every layer uniform within 1 / sqrt(inputs), as torch.nn.Linear draws them."""
    inner = 1.0 / math.sqrt(hidden)
    bounds = np.full(weight_count(hidden), inner)
    bounds[: 2 * hidden] = 1.0
    return rng.uniform(-bounds, bounds).astype(dtype)


@njit(cache=True, nogil=True, fastmath=FAST)
def _width(count: int) -> int:
    """Returns H of a network with `count` weights."""
    return round(math.sqrt(count + 3.0)) - 2


@njit(cache=True, nogil=True, fastmath=FAST)
def _activate(values: NDArray[Any], tanh: bool) -> None:
    """Applies tanh or the rectifier to values [n, H] in place."""
    rows, columns = values.shape
    zero = values.dtype.type(0.0)
    for i in range(rows):
        if tanh:
            for j in range(columns):
                values[i, j] = math.tanh(values[i, j])
        else:
            for j in range(columns):
                values[i, j] = max(values[i, j], zero)


@njit(cache=True, nogil=True, fastmath=FAST)
def _slope(value: float, tanh: bool) -> float:
    """Returns the activation's derivative where its output is `value`."""
    if tanh:
        return 1 - value * value
    return value * 0 + (1 if value > 0 else 0)


@njit(cache=True, nogil=True, fastmath=FAST)
def _forward(
    weights: NDArray[Any], x: NDArray[Any], tanh: bool, first: NDArray[Any], second: NDArray[Any], out: NDArray[Any]
) -> None:
    """Writes both hidden layers [n, H] and the output [n]."""
    h = first.shape[1]
    w1, b1 = weights[:h], weights[h : 2 * h]
    w2 = weights[2 * h : 2 * h + h * h].reshape(h, h)
    b2, w3 = weights[2 * h + h * h : 3 * h + h * h], weights[3 * h + h * h : 4 * h + h * h]
    for i in range(len(x)):
        for j in range(h):
            first[i, j] = x[i] * w1[j] + b1[j]
    _activate(first, tanh)
    for i in range(len(x)):
        for j in range(h):
            second[i, j] = b2[j]
        for k in range(h):
            value = first[i, k]
            for j in range(h):
                second[i, j] += value * w2[k, j]
    _activate(second, tanh)
    for i in range(len(x)):
        total = weights[-1]
        for j in range(h):
            total += second[i, j] * w3[j]
        out[i] = total


@njit(cache=True, nogil=True, fastmath=FAST)
def predict(weights: NDArray[Any], x: NDArray[Any], tanh: bool) -> NDArray[Any]:
    """Returns the network's output [n] at x [n]; `tanh` or else rectifiers."""
    h = _width(len(weights))
    first, second = np.empty((len(x), h), weights.dtype), np.empty((len(x), h), weights.dtype)
    out = np.empty(len(x), weights.dtype)
    _forward(weights, x, tanh, first, second, out)
    return out


@njit(cache=True, nogil=True, fastmath=FAST)
def loss_gradient(weights: NDArray[Any], x: NDArray[Any], y: NDArray[Any], tanh: bool, grad: NDArray[Any]) -> float:
    """Returns the mean squared error of x, y [n] and writes its gradient [P]."""
    n, h = len(x), _width(len(weights))
    first, second = np.empty((n, h), weights.dtype), np.empty((n, h), weights.dtype)
    out, delta = np.empty(n, weights.dtype), np.empty(h, weights.dtype)
    _forward(weights, x, tanh, first, second, out)
    w2 = weights[2 * h : 2 * h + h * h].reshape(h, h)
    w3 = weights[3 * h + h * h : 4 * h + h * h]
    grad[:] = 0
    g1, gb1, gw2 = grad[:h], grad[h : 2 * h], grad[2 * h : 2 * h + h * h].reshape(h, h)
    gb2, g3 = grad[2 * h + h * h : 3 * h + h * h], grad[3 * h + h * h : 4 * h + h * h]
    scale = weights.dtype.type(2.0 / n)
    loss = 0.0
    for i in range(n):
        residual = out[i] - y[i]
        loss += residual * residual
        slope = scale * residual
        grad[-1] += slope
        for j in range(h):
            g3[j] += slope * second[i, j]
            delta[j] = slope * w3[j] * _slope(second[i, j], tanh)
            gb2[j] += delta[j]
        for k in range(h):
            value, total = first[i, k], weights.dtype.type(0.0)
            for j in range(h):
                gw2[k, j] += value * delta[j]
                total += w2[k, j] * delta[j]
            total *= _slope(value, tanh)
            g1[k] += x[i] * total
            gb1[k] += total
    return loss / n


@njit(cache=True, nogil=True, fastmath=FAST)
def curvature_product(
    weights: NDArray[Any], x: NDArray[Any], y: NDArray[Any], tanh: bool, vector: NDArray[Any], out: NDArray[Any]
) -> None:
    """Writes H v [P], the Hessian of the mean squared error of x, y [n] times a vector [P].

    Every quantity of the gradient is differentiated along v (`r_` below), so no Hessian is formed. Rectifiers have
    slope 0 at 0 and no second derivative.

    Reference: Pearlmutter, 1994, Fast exact multiplication by the Hessian, section 4 (the R operator).
    """
    n, h = len(x), _width(len(weights))
    first, second = np.empty((n, h), weights.dtype), np.empty((n, h), weights.dtype)
    value, delta, r_delta = np.empty(n, weights.dtype), np.empty(h, weights.dtype), np.empty(h, weights.dtype)
    r_first, r_second = np.empty(h, weights.dtype), np.empty(h, weights.dtype)
    _forward(weights, x, tanh, first, second, value)
    a, b, c, d = 2 * h, 2 * h + h * h, 3 * h + h * h, 4 * h + h * h
    w2, w3 = weights[a:b].reshape(h, h), weights[c:d]
    v1, vb1, v2, vb2, v3 = vector[:h], vector[h:a], vector[a:b].reshape(h, h), vector[b:c], vector[c:d]
    out[:] = 0
    o1, ob1, o2, ob2, o3 = out[:h], out[h:a], out[a:b].reshape(h, h), out[b:c], out[c:d]
    scale = weights.dtype.type(2.0 / n)
    curve = weights.dtype.type(2.0 if tanh else 0.0)
    for i in range(n):
        for j in range(h):
            r_first[j] = _slope(first[i, j], tanh) * (x[i] * v1[j] + vb1[j])
            r_second[j] = vb2[j]
        for k in range(h):
            now, moved = first[i, k], r_first[k]
            for j in range(h):
                r_second[j] += moved * w2[k, j] + now * v2[k, j]
        r_value = vector[-1]
        for j in range(h):
            r_second[j] *= _slope(second[i, j], tanh)
            r_value += r_second[j] * w3[j] + second[i, j] * v3[j]
        slope, r_slope = scale * (value[i] - y[i]), scale * r_value
        out[-1] += r_slope
        for j in range(h):
            o3[j] += r_slope * second[i, j] + slope * r_second[j]
            steep = _slope(second[i, j], tanh)
            delta[j] = slope * w3[j] * steep
            r_delta[j] = (r_slope * w3[j] + slope * v3[j]) * steep - slope * w3[j] * curve * second[i, j] * r_second[j]
            ob2[j] += r_delta[j]
        for k in range(h):
            now, moved = first[i, k], r_first[k]
            total, r_total = weights.dtype.type(0.0), weights.dtype.type(0.0)
            for j in range(h):
                o2[k, j] += moved * delta[j] + now * r_delta[j]
                total += w2[k, j] * delta[j]
                r_total += v2[k, j] * delta[j] + w2[k, j] * r_delta[j]
            r_total = r_total * _slope(now, tanh) - total * curve * now * moved
            o1[k] += x[i] * r_total
            ob1[k] += r_total
