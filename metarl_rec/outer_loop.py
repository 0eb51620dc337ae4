"""The outer loop's updates: MAML with exact second order, FOMAML, and Reptile, as pure functions.

References: Finn et al., "Model-Agnostic Meta-Learning", 2017, arXiv:1703.03400, alg. 1; Nichol et al., "On First-Order
Meta-Learning Algorithms", 2018, arXiv:1803.02999, alg. 2; Li et al., "Meta-SGD", 2017, arXiv:1707.09835 (step sizes).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from metarl_rec.inner_loop import Order, SupportBatch, adapt
from metarl_rec.inner_params import InnerParams
from metarl_rec.meta_params import MetaParams

__all__ = ["TaskBatch", "maml_gradient", "outer_loss", "query_logits", "reptile_update", "starts"]

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class TaskBatch:
    """N tasks with what adapts (support) and what judges (query).

    Attributes:
        support: the transitions to adapt on.
        shift: [N, D] float, attribute shift of each user's w0, before the gain.
        rewards: [N, n] float, expected reward of every item for every user.
        query: [N, n] bool, items not shown yet: the adapted policy is judged on these.
        session: what is needed besides in worlds whose rewards depend on what was shown before, else None.
    """

    support: SupportBatch
    shift: Tensor
    rewards: Tensor
    query: Tensor
    session: SessionBatch | None = None

    def to(self, device: torch.device) -> TaskBatch:
        """Returns the same tasks on a device."""
        return TaskBatch(
            support=self.support.to(device),
            shift=self.shift.to(device),
            rewards=self.rewards.to(device),
            query=self.query.to(device),
            session=None if self.session is None else self.session.to(device),
        )


@dataclass(frozen=True, slots=True)
class SessionBatch:
    """The state in which each of N tasks is judged, and what was done there.

    Attributes:
        exposure: [N, M, T] float, memories of topics shown.
        topics: [n, T] float.
        actions: [N] int64, the item that the judged policy drew in that state.
        future: [N] float, gamma times the advantage of what followed (`credit.future_advantages`).
    """

    exposure: Tensor
    topics: Tensor
    actions: Tensor
    future: Tensor

    def to(self, device: torch.device) -> SessionBatch:
        """Returns the same states on a device."""
        return SessionBatch(**{each.name: getattr(self, each.name).to(device) for each in fields(self)})


def starts(meta: MetaParams, shift: Tensor) -> Tensor:
    """Returns w0 [N, D] = initialization + g * shift."""
    return meta.initialization + meta.attribute_gain * shift


def query_logits(weights: Tensor, batch: TaskBatch, temperature: float, fatigue: Tensor | None = None) -> Tensor:
    """Returns the judged policy's logits [N, n], v / tau less fatigue, over the query items.

    Arguments as `outer_loss`.
    """
    scores = batch.support.popularity + weights @ batch.support.features.T
    if batch.session is not None and fatigue is not None:
        scores = scores - torch.einsum("m,nmt,it->ni", fatigue, batch.session.exposure, batch.session.topics)
    return (scores / temperature).masked_fill(~batch.query, torch.finfo(scores.dtype).min / 4)


def outer_loss(
    weights: Tensor,
    batch: TaskBatch,
    temperature: float,
    value_coef: float,
    fatigue: Tensor | None = None,
    judged: Tensor | None = None,
) -> Tensor:
    """Returns each task's query loss [N]: minus expected reward, plus the squared value error, both under the policy.

    The policy's share of each item in the value error counts as given: a 0/1 reward is farthest from its expectation
    where it is most uncertain, so a policy that could lower the error by its choice would show what nobody likes.

    In a session the policy minds fatigue, and the loss takes off log pi(a) gamma (G - V): the gradient of the expected
    return is that of the expected reward, which is known for every item, plus the score function's for what follows.

    Args:
        weights: [N, D], adapted fast weights.
        batch: the tasks.
        temperature: tau of the judged policy softmax(v / tau) over the query items.
        value_coef: weight of the value error.
        fatigue: [M], h; read in sessions.
        judged: [N, n], share of each item in the value error, as a finite-difference check needs; the policy's own,
            without gradient, when absent.

    Reference: Sutton et al., "Policy Gradient Methods for Reinforcement Learning with Function Approximation", 1999,
        theorem 1, with the immediate part summed over all actions (Asadi et al., 2017, arXiv:1709.00503).
    """
    values = batch.support.popularity + weights @ batch.support.features.T
    logits = query_logits(weights, batch, temperature, fatigue)
    policy = torch.softmax(logits, dim=1)
    share = policy.detach() if judged is None else judged
    reward = (policy * batch.rewards).sum(dim=1)
    error = (share * (batch.rewards - values).square()).sum(dim=1)
    loss = value_coef * error - reward
    session = batch.session
    if session is None:
        return loss
    log_pi = torch.log_softmax(logits, dim=1).gather(1, session.actions.unsqueeze(1)).squeeze(1)
    return loss - log_pi * session.future


def maml_gradient(
    meta: MetaParams,
    batch: TaskBatch,
    base: InnerParams,
    *,
    order: Order | None,
    temperature: float = 0.05,
    value_coef: float = 4.0,
    bound: Tensor | None = None,
    judged: Tensor | None = None,
    learn_features: bool = False,
    device: torch.device = _CPU,
) -> tuple[float, dict[str, Tensor]]:
    """Returns the mean query loss after adaptation and its gradient by the name of every meta-parameter.

    Args:
        meta: where to differentiate.
        batch: tasks; their data, roll-outs included, count as given.
        base: inner settings that are not learned.
        order: "second" is MAML, "first" FOMAML; None judges the initialization as it is, which is joint training.
        temperature: see `outer_loss`.
        value_coef: see `outer_loss`.
        bound: [N], fixes the step-size bound, as a finite-difference check needs.
        judged: see `outer_loss`.
        learn_features: whether the features' scale, and their shift where there is one, get a gradient; it costs a
            third more time.
        device: where to differentiate; what is returned lies where `meta` does.
    """
    leaves = {name: tensor.requires_grad_() for name, tensor in meta.to(device).tensors().items()}
    learner = MetaParams(**leaves)
    batch = batch.to(device)
    features = learner.features(batch.support.features)
    features = features if learn_features else features.detach()
    batch = replace(batch, support=replace(batch.support, features=features))
    weights = starts(learner, batch.shift)
    if order is not None:
        weights = adapt(weights, batch.support, learner.inner(base), order=order, bound=bound)
    loss = outer_loss(weights, batch, temperature, value_coef, learner.fatigue(base), judged).mean()
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    named = zip(leaves, gradients, strict=True)
    return loss.item(), {
        name: (torch.zeros_like(leaves[name]) if g is None else g).to(meta.initialization.device) for name, g in named
    }


def reptile_update(
    meta: MetaParams, batch: TaskBatch, base: InnerParams, rate: float, device: torch.device = _CPU
) -> MetaParams:
    """Returns meta-parameters whose initialization moved towards the adapted weights: phi + rate * mean(w_K - w_0).

    Args:
        meta: where to start.
        batch: tasks; only their supports and shifts are read.
        base: inner settings that are not learned.
        rate: outer step size in (0, 1].
        device: where to adapt; what is returned lies where `meta` does.
    """
    with torch.no_grad():
        learner, batch = meta.to(device), batch.to(device)
        begin = starts(learner, batch.shift)
        support = replace(batch.support, features=learner.features(batch.support.features))
        moved = adapt(begin, support, learner.inner(base), order="first")
        step = rate * (moved - begin).mean(dim=0)
        return replace(meta, initialization=meta.initialization + step.to(meta.initialization.device))
