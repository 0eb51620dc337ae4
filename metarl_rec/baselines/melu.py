"""MeLU: a network of user and item attributes whose decision layers are adapted to each user by first-order MAML."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from metarl_rec.policies import Decision, Feedback, View, choose
from metarl_rec.seeding import generator

__all__ = ["MeLU", "MeLUPolicy", "train_melu"]

_WIDTH = 32
_LOCAL_STEPS = 3
_LOCAL_RATE = 0.1
Fast = tuple[Tensor, Tensor, Tensor, Tensor]


class MeLU(nn.Module):
    """Embeddings of user and item attributes, and two decision layers.

    Args:
        user_width: Z, entries of a user's attribute vector.
        item_width: entries of an item's vector.
    """

    def __init__(self, user_width: int, item_width: int) -> None:
        super().__init__()
        self.user = nn.Linear(user_width, _WIDTH)
        self.item = nn.Linear(item_width, _WIDTH)
        self.hidden = nn.Linear(2 * _WIDTH, _WIDTH)
        self.out = nn.Linear(_WIDTH, 1)

    def decision(self, users: int) -> Fast:
        """Returns the decision layers' parameters, one copy a user: [N, ...]."""
        parts = (self.hidden.weight, self.hidden.bias, self.out.weight, self.out.bias)
        a, b, c, d = (part.unsqueeze(0).expand(users, *part.shape) for part in parts)
        return a, b, c, d

    def embed(self, user_vectors: Tensor, item_vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Returns embeddings of users [N, H] and items [n, H]."""
        return torch.relu(self.user(user_vectors)), torch.relu(self.item(item_vectors))

    @staticmethod
    def decide(fast: Fast, user: Tensor, item: Tensor) -> Tensor:
        """Returns predicted rewards [N, B] of items [N, B, H] (or [1, B, H]) for users [N, H]."""
        half = user.shape[1]
        weight, bias, out_weight, out_bias = fast
        # The first layer on [user, item] is a sum: the items' part is one product for all users that share weights.
        shared = torch.bmm(weight[:, :, :half], user.unsqueeze(2)).squeeze(2) + bias
        items = item.expand(len(user), -1, -1)
        hidden = torch.relu(torch.baddbmm(shared.unsqueeze(1), items, weight[:, :, half:].transpose(1, 2)))
        return torch.bmm(hidden, out_weight.transpose(1, 2)).squeeze(2) + out_bias

    def adapt(self, user: Tensor, item: Tensor, rewards: Tensor, known: Tensor, *, detach: bool) -> Fast:
        """Returns decision layers after the local steps on transitions [N, B].

        Args:
            user: [N, H] embeddings.
            item: [N, B, H] embeddings.
            rewards: [N, B].
            known: [N, B] bool.
            detach: cut the graph at the copies, for use; in training gradients reach the shared layers (first order).
        """
        fast = self.decision(len(user))
        if detach:
            fast = tuple(part.detach() for part in fast)  # type: ignore[assignment]
        weight = known.double() / known.double().sum(dim=1, keepdim=True).clamp_min(1.0)
        for _ in range(_LOCAL_STEPS):
            leaves = [part.detach().requires_grad_() for part in fast]
            with torch.enable_grad():
                predicted = self.decide((leaves[0], leaves[1], leaves[2], leaves[3]), user.detach(), item.detach())
                loss = (weight * (predicted - rewards).square()).sum()
                gradients = torch.autograd.grad(loss, leaves)
            a, b, c, d = (part - _LOCAL_RATE * gradient for part, gradient in zip(fast, gradients, strict=True))
            fast = (a, b, c, d)
        return fast


def train_melu(
    rewards: NDArray[np.uint8],
    user_vectors: NDArray[np.float32],
    item_vectors: NDArray[np.float32],
    users: NDArray[np.int64],
    *,
    seed: int,
    iterations: Sequence[int] = (200,),
    batch: int = 32,
    size: int = 40,
) -> dict[int, MeLU]:
    """Returns the network after as many updates of first-order meta-training on `users` as are asked for.

    Rewards are the protocol's own. Every task's support and query are half positives, half other items, so that there
    is something to learn from; as in the protocol no item comes twice, so what is asked for is never what was told.

    Args:
        rewards: [U, n] uint8.
        user_vectors: [U, Z].
        item_vectors: [n, A].
        users: [N], the meta-train users.
        seed: decides weights and draws.
        iterations: numbers of outer updates after which the network is returned as it is then.
        batch: tasks an update.
        size: items in a query, and most in a support; fewer where there are not twice as many.

    Reference: Lee et al., "MeLU: Meta-Learned User Preference Estimator for Cold-Start Recommendation", KDD 2019,
        arXiv:1908.00413, alg. 1.
    """
    draw = generator(seed, "MeLU")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(draw.integers(2**31)))
        # Double precision: sums in single precision differ with the arrays' place in memory, and training amplifies it.
        net = MeLU(user_vectors.shape[1], item_vectors.shape[1]).double()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    people, things = torch.from_numpy(user_vectors).double(), torch.from_numpy(item_vectors).double()
    size = min(size, len(item_vectors) // 2)
    nets: dict[int, MeLU] = {}
    for done in range(1, max(iterations) + 1):
        chosen = draw.choice(users, min(batch, len(users)), replace=False)
        items = np.stack([_drawn(rewards[user], size, draw) for user in chosen], axis=1)
        support, query = torch.from_numpy(items).unbind()
        told, asked = torch.from_numpy(rewards[chosen[:, None], items].astype(np.float64)).unbind()
        # Histories of every length up to the support's: trained on long ones alone, it falls for the first reactions.
        known = draw.random(told.shape).argsort(axis=1) < draw.integers(size + 1, size=len(chosen))[:, None]
        user, item = net.embed(people[chosen], things)
        fast = net.adapt(user, item[support], told, torch.from_numpy(known), detach=False)
        loss = (net.decide(fast, user, item[query]) - asked).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if done in iterations:
            nets[done] = deepcopy(net).eval()
    return nets


def _drawn(rewards: NDArray[np.uint8], size: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """Returns support and query [2, size] of a user with rewards [n], no item twice.

    Positives fill half of each, or as much as there are of them, shared evenly; the rest is drawn from what is left.
    """
    liked = draw.permutation(np.flatnonzero(rewards))[:size]
    left = np.ones(len(rewards), np.bool_)
    left[liked] = False
    others = draw.choice(np.flatnonzero(left), 2 * size - len(liked), replace=False)
    return np.asarray(np.concatenate([liked, others]).reshape(size, 2).T)


class MeLUPolicy:
    """Shows the items that the network, adapted to each user's history, predicts to be liked most.

    Args:
        net: a trained network.
        user_vectors: [N, Z] float32.
        item_vectors: [n, A] float32.
    """

    def __init__(self, net: MeLU, user_vectors: NDArray[np.float32], item_vectors: NDArray[np.float32]) -> None:
        self._net = net
        with torch.no_grad():
            self._user, self._item = net.embed(
                torch.from_numpy(user_vectors).double(), torch.from_numpy(item_vectors).double()
            )

    def begin(self, rng: np.random.Generator) -> None:
        """Forgets every history."""
        users = len(self._user)
        self._rng = rng
        self._shown, self._rewards = np.zeros((users, 0), np.int64), np.zeros((users, 0), np.float64)
        self._known = np.zeros((users, 0), np.bool_)
        self._fast = self._net.adapt(self._user, self._history(), *self._answers(), detach=True)

    def act(self, view: View) -> Decision:
        """Takes the best predictions."""
        with torch.no_grad():
            values = self._net.decide(self._fast, self._user, self._item.unsqueeze(0))
        decision = choose(functional.hardtanh(values, -1e6, 1e6).float().numpy(), view, None, self._rng)
        blank: NDArray[Any] = np.zeros(decision.items.shape)
        self._shown = np.hstack([self._shown, decision.items.astype(np.int64)])
        self._rewards = np.hstack([self._rewards, blank.astype(np.float64)])
        self._known = np.hstack([self._known, blank.astype(np.bool_)])
        return decision

    def observe(self, feedback: Feedback) -> None:
        """Adapts everybody on all that is known."""
        if len(feedback.users) == 0:
            return
        width = feedback.rewards.shape[1]
        rows, columns = feedback.users[:, None], feedback.steps[:, None] * width + np.arange(width)
        self._rewards[rows, columns], self._known[rows, columns] = feedback.rewards, True
        self._fast = self._net.adapt(self._user, self._history(), *self._answers(), detach=True)

    def _history(self) -> Tensor:
        return self._item[torch.from_numpy(self._shown)]

    def _answers(self) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self._rewards), torch.from_numpy(self._known)
