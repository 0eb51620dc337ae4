"""The inner loop, differentiable: K epochs of PPO with a value loss and a proximal pull to the initialization.

The loss of one task, minimized over the fast weights w that actor and critic share:

    sum_j d_j omega_j (y_j - v_j)^2 / 2  +  |w - w0|^2 / 2
      - c_p sum_j d_j min(rho_j A_j, clip(rho_j, 1 +- eps) A_j)  -  c_e H(pi_w)

    w <- w - eta_k P grad,   P = (I + sum_j d_j omega_j f_j f_j')^-1

with d_j = b_j exp(-lambda (number of later transitions)), b_j the transition's weight, lambda the forgetting; at the
end a step back towards w0, the caution.

The features are whitened by the prior, so the pull is the negative log-density of w ~ N(w0, I), and without the last
two terms the minimum is the hierarchical-Bayes posterior mean, which one epoch of step size 1 reaches. P is the
posterior covariance of w; a scalar 1 / lambda_max in its place is there for comparison.
`kernels.adapt_one` is the compiled twin.

Reference: Schulman et al., 2017, arXiv:1707.06347, eq. 9; Finn et al., 2017, arXiv:1703.03400, eq. 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metarl_rec.losses import advantages, clipped_surrogate, entropy, log_policy, transition_precision
from metarl_rec.meta_params import InnerTensors
from metarl_rec.support import Support

__all__ = ["Order", "SupportBatch", "adapt", "curvature_bound", "inner_loss", "preconditioner"]

Order = Literal["second", "first"]
_POWER_ITERATIONS = 3


@dataclass(frozen=True, slots=True)
class SupportBatch:
    """N tasks' supports, padded to B transitions and U touched items.

    Attributes:
        features: [n, D] float.
        popularity: [n] float.
        items: [N, B] int64.
        rewards: [N, B] float.
        log_propensities: [N, B] float.
        weight: [N, B] float, as in `Support`; 0 for padding.
        valid: [N, B] bool, False for padding.
        usable: [N, B] bool, as in `Support`; False for padding.
        continues: [N, B] bool.
        rest: [N, n] bool.
        touched: [N, U] int64.
        allowed: [N, B, U] bool.
    """

    features: Tensor
    popularity: Tensor
    items: Tensor
    rewards: Tensor
    log_propensities: Tensor
    weight: Tensor
    valid: Tensor
    usable: Tensor
    continues: Tensor
    rest: Tensor
    touched: Tensor
    allowed: Tensor

    @classmethod
    def pack(cls, supports: Sequence[Support], features: Tensor, popularity: Tensor) -> SupportBatch:
        """Returns the supports padded to the longest, in the dtype of `features`."""
        count = max((len(s.items) for s in supports), default=0) or 1
        width = max((len(s.touched) for s in supports), default=0) or 1
        size = len(supports)
        numbers: dict[str, NDArray[Any]] = {
            "items": np.zeros((size, count), np.int64),
            "rewards": np.zeros((size, count)),
            "log_propensities": np.zeros((size, count)),
            "weight": np.zeros((size, count)),
        }
        flags: dict[str, NDArray[Any]] = {
            name: np.zeros((size, count), bool) for name in ("valid", "usable", "continues")
        }
        touched = np.zeros((size, width), np.int64)
        allowed = np.zeros((size, count, width), bool)
        for row, support in enumerate(supports):
            length = len(support.items)
            for name, table in numbers.items():
                table[row, :length] = getattr(support, name)
            flags["valid"][row, :length] = True
            flags["usable"][row, :length] = support.usable
            flags["continues"][row, :length] = support.continues
            touched[row, : len(support.touched)] = support.touched
            allowed[row, :length, : len(support.touched)] = support.allowed
        floats = {
            name: torch.from_numpy(numbers[name]).to(features.dtype)
            for name in ("rewards", "log_propensities", "weight")
        }
        return cls(
            features=features,
            popularity=popularity,
            items=torch.from_numpy(numbers["items"]),
            **floats,
            **{name: torch.from_numpy(flag) for name, flag in flags.items()},
            rest=torch.from_numpy(np.stack([s.rest for s in supports])),
            touched=torch.from_numpy(touched),
            allowed=torch.from_numpy(allowed),
        )

    def to(self, device: torch.device) -> SupportBatch:
        """Returns the same transitions on a device."""
        return SupportBatch(**{each.name: getattr(self, each.name).to(device) for each in fields(self)})

    def recency(self, forgetting: Tensor) -> Tensor:
        """Returns d [N, B] = b exp(-lambda (number of later transitions)); 0 for padding."""
        later = self.valid.sum(dim=1, keepdim=True) - 1 - torch.arange(self.valid.shape[1], device=self.valid.device)
        return torch.exp(-forgetting * later.clamp_min(0)) * self.weight

    def precision(self, inner: InnerTensors) -> Tensor:
        """Returns d omega [N, B]; 0 for padding."""
        omega = transition_precision(inner.value_weight, self.rewards, self.popularity[self.items])
        return omega * self.recency(inner.forgetting)


def preconditioner(
    rows: Tensor, omega: Tensor, kind: Literal["posterior", "scalar"], bound: Tensor | None = None
) -> Callable[[Tensor], Tensor]:
    """Returns the map from a gradient [N, D] to P times it; by Woodbury's identity P = I - S'(I + S S')^-1 S.

    Args:
        rows: [N, B, D], features of the shown items.
        omega: [N, B], precision; 0 for padding.
        kind: see `InnerParams.preconditioner`; the scalar gets no gradient.
        bound: [N], the scalar's lambda_max; computed when absent.
    """
    if kind == "scalar":
        largest = curvature_bound(rows, omega) if bound is None else bound
        return lambda gradient: gradient / largest.unsqueeze(1)
    # The root has no finite derivative at 0, where padding stands.
    counts = omega > 0
    root = torch.where(counts, torch.where(counts, omega, torch.ones_like(omega)).sqrt(), torch.zeros_like(omega))
    scaled = root.unsqueeze(2) * rows
    factor = torch.linalg.cholesky(torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device) + scaled @ scaled.mT)

    def apply(gradient: Tensor) -> Tensor:
        inside = torch.einsum("nbd,nd->nb", scaled, gradient).unsqueeze(2)
        return gradient - torch.einsum("nbd,nb->nd", scaled, torch.cholesky_solve(inside, factor).squeeze(2))

    return apply


def curvature_bound(rows: Tensor, omega: Tensor) -> Tensor:
    """Returns L [N] = lambda_max(I + sum_j omega_j f_j f_j') by power iteration; no gradient flows through it.

    Args:
        rows: [N, B, D], features of the shown items.
        omega: [N, B], precision; 0 for padding.
    """
    with torch.no_grad():
        weighted = omega * rows.square().sum(dim=2)
        heaviest = weighted.argmax(dim=1)
        x = rows[torch.arange(len(rows), device=rows.device), heaviest]
        x = x / x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
        length = torch.ones_like(omega[:, 0])
        for _ in range(_POWER_ITERATIONS):
            dots = omega * torch.einsum("nbd,nd->nb", rows, x)
            y = x + torch.einsum("nb,nbd->nd", dots, rows)
            length = y.norm(dim=1)
            x = y / length.clamp_min(torch.finfo(rows.dtype).tiny).unsqueeze(1)
        return torch.where(weighted.amax(dim=1) > 0, length, torch.ones_like(length))


def inner_loss(weights: Tensor, critic: Tensor, start: Tensor, batch: SupportBatch, inner: InnerTensors) -> Tensor:
    """Returns the loss [N] of every task; its gradient with respect to `weights` is what an epoch follows.

    Args:
        weights: [N, D], the fast weights.
        critic: [N, D], the weights whose values give the advantages; equal to `weights`, and a separate argument
            because PPO holds advantages fixed within an epoch.
        start: [N, D], w0 of each task.
        batch: the transitions.
        inner: settings.
    """
    rows = batch.features[batch.items]
    base = batch.popularity[batch.items]
    errors = (batch.rewards - base - torch.einsum("nbd,nd->nb", rows, weights)) * batch.valid
    omega = batch.precision(inner)
    loss = (omega * errors.square()).sum(dim=1) / 2 + (weights - start).square().sum(dim=1) / 2
    values = batch.popularity + weights @ batch.features.T
    if bool(inner.policy_coef != 0):
        residuals = (batch.rewards - base - torch.einsum("nbd,nd->nb", rows, critic)) * batch.valid
        advantage = advantages(residuals, batch.continues, inner.discount)
        log_pi = log_policy(values, batch.items, batch.rest, batch.touched, batch.allowed, inner.temperature)
        # Unusable entries are replaced before the ratio: their "own" candidate set may be empty.
        log_ratio = torch.where(batch.usable, log_pi - batch.log_propensities, torch.zeros_like(log_pi))
        surrogate = clipped_surrogate(log_ratio, advantage, inner.clip)
        surrogate = torch.where(batch.usable, surrogate, torch.zeros_like(surrogate))
        loss = loss - inner.policy_coef * (batch.recency(inner.forgetting) * surrogate).sum(dim=1)
    if bool(inner.entropy_coef != 0):
        loss = loss - inner.entropy_coef * entropy(values, batch.rest, inner.temperature)
    return loss


def adapt(
    start: Tensor,
    batch: SupportBatch,
    inner: InnerTensors,
    *,
    order: Order = "second",
    bound: Tensor | None = None,
) -> Tensor:
    """Returns every task's fast weights [N, D] after K epochs from `start`.

    Args:
        start: [N, D], w0 of each task.
        batch: the transitions.
        inner: settings; gradients flow into them.
        order: "second" keeps the whole graph, so that the meta-gradient is exact (MAML); "first" treats each epoch's
            gradient as if it did not depend on the weights or the initialization (FOMAML).
        bound: [N], see `preconditioner`.
    """
    precondition = preconditioner(batch.features[batch.items], batch.precision(inner), inner.preconditioner, bound)
    record = torch.is_grad_enabled()
    weights = start
    # A user without transitions stays where every user starts, entropy bonus or not.
    moves = batch.valid.any(dim=1).to(start.dtype)
    anchor = start if order == "second" else start.detach()
    for step in inner.step_sizes:
        critic = weights if order == "second" else weights.detach()
        # A node of its own, so that the epoch's gradient leaves the advantages' weights out.
        actor = critic.clone() if critic.requires_grad else critic.detach().requires_grad_()
        with torch.enable_grad():
            loss = inner_loss(actor, critic, anchor, batch, inner).sum()
            (gradient,) = torch.autograd.grad(loss, actor, create_graph=record)
        weights = weights - (step * moves).unsqueeze(1) * precondition(gradient)
    count = batch.valid.sum(dim=1, keepdim=True).to(start.dtype)
    return start + count / (count + inner.caution).clamp_min(1.0) * (weights - start)
