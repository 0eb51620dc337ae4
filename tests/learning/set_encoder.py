"""A network that reads a history and proposes another w than the posterior mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.baselines.hierarchical_bayes import HierarchicalBayesPolicy
from metarl_rec.policies import Decision, View, choose
from metarl_rec.seeding import generator
from tests.learning.cross_fitted import Fold

__all__ = ["Proposing", "trained"]

_STEPS, _HIDDEN, _EPOCHS = 40, 64, 3
_EXPLORING = (0.0, 0.03, 0.06, 0.1)
"""Standard deviations (as a Gumbel scale) of what is added to values while histories are made."""


class _Network(torch.nn.Module):
    """From the posterior mean, the prior mean, time and hits to a shift of the first `width` weights.

    A posterior mean is a sum over the history's items, each mapped and weighted: what is learned here is what a
    linear reading of the set leaves. It starts at no shift.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.read = torch.nn.Linear(2 * width + 2, _HIDDEN)
        self.propose = torch.nn.Linear(_HIDDEN, width)
        torch.nn.init.zeros_(self.propose.weight)
        torch.nn.init.zeros_(self.propose.bias)

    def forward(self, means: torch.Tensor, starts: torch.Tensor, step: float, hits: torch.Tensor) -> torch.Tensor:
        """Returns the shift [N, width]."""
        told = torch.stack([torch.full_like(hits, step / _STEPS), hits / _STEPS], dim=1)
        shift: torch.Tensor = self.propose(
            torch.tanh(self.read(torch.cat([means[:, : self.width], starts[:, : self.width], told], dim=1)))
        )
        return shift


class Proposing(HierarchicalBayesPolicy):
    """Shows the best items under the posterior mean plus the network's shift; without a network it explores.

    Args:
        network: proposes the shift.
        exploring: what is added to values, in units of reward.
    """

    def __init__(self, *args: Any, network: _Network | None = None, exploring: float = 0.0) -> None:
        super().__init__(*args)
        self._network, self._exploring = network, exploring

    def begin(self, rng: np.random.Generator) -> None:
        super().begin(rng)
        self.hits = np.zeros(len(self._starts), np.float32)
        self.seen: list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]] = []

    def act(self, view: View) -> Decision:
        self.seen.append((self._mean.astype(np.float32), self.hits.copy(), view.candidates.copy()))
        values = self.values() + self._exploring * self._rng.gumbel(size=view.candidates.shape)
        decision = choose(values.astype(np.float32), view, None, self._rng)
        self._shown.append(decision.items)
        return decision

    def values(self) -> NDArray[np.float64]:
        values = super().values()
        if self._network is None:
            return values
        told = [torch.from_numpy(each.astype(np.float32)) for each in (self._mean, self._starts)]
        with torch.no_grad():
            shift = self._network(*told, float(len(self._shown)), torch.from_numpy(self.hits)).numpy()
        shifted: NDArray[np.float64] = values + shift @ self._features[:, : self._network.width].T
        return shifted

    def _condition(self, users: NDArray[np.int64], items: NDArray[np.int32], rewards: NDArray[np.float32]) -> None:
        super()._condition(users, items, rewards)
        self.hits[users] += rewards


def trained(folds: list[Fold], noise: float, width: int, rate: float) -> _Network:
    """Returns a network trained on the folds' people, each in their own fold's space, on histories of four policies.

    Loss: squared value error over what was not shown yet, weighted by the policy (temperature .05, as given), as in the
    outer loop.
    """
    torch.manual_seed(0)
    network = _Network(width)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    batches = [batch for fold in folds for exploring in _EXPLORING for batch in _histories(fold, noise, exploring)]
    rng = generator(0, "set encoder", width)
    for _ in range(_EPOCHS):
        for at in rng.permutation(len(batches)):
            features, base, told, rewards, left = batches[at]
            values = base + network(*told) @ features[:, :width].T
            chosen = torch.softmax((values.detach() / 0.05).masked_fill(~left, -torch.inf), dim=1)
            loss = (chosen * torch.square(rewards - values)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return network


def _histories(fold: Fold, noise: float, exploring: float) -> list[tuple[Any, ...]]:
    """Returns some moments of the fold's people playing: features, values, what is told, rewards, what is left."""
    space, starts = fold.space, fold.starts()
    policy = Proposing(space.features, space.popularity, starts, noise, exploring=exploring)
    fold.hits(policy)
    rewards = torch.from_numpy(fold.problem.rewards[fold.users].astype(np.float32))
    features = torch.from_numpy(space.features)
    out = []
    for step in (0, 1, 2, 3, 5, 8, 12, 16, 20, 25, 30, 35):
        means, hits, left = policy.seen[step]
        base = torch.from_numpy(space.popularity + means @ space.features.T)
        told = (torch.from_numpy(means), torch.from_numpy(starts), float(step), torch.from_numpy(hits))
        out.append((features, base, told, rewards, torch.from_numpy(left)))
    return out
