"""Who plays: every policy of a comparison by name, its own settings tuned on people of the split who are not tested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.baselines import HierarchicalBayesPolicy, LogisticUCBPolicy
from metarl_rec.baselines.melu import MeLU, MeLUPolicy, train_melu
from metarl_rec.cold_start import cold_start_rewards
from metarl_rec.config import RunConfig
from metarl_rec.embeddings import item_embeddings
from metarl_rec.inner_params import InnerParams
from metarl_rec.meta_params import MetaParams
from metarl_rec.policies import FixedPolicy, OnlinePolicy, RandomPolicy
from metarl_rec.prior import fit_prior
from metarl_rec.problem import Problem
from metarl_rec.protocol import ADAPTED, NOISE_GRID, POLICIES, PUBLISHED_FORMS
from metarl_rec.seeding import generator
from metarl_rec.tasks import TaskSpace, fit_task_space

__all__ = ["Lineup"]

Maker = Callable[[NDArray[np.float32]], OnlinePolicy]
Judges = list[tuple[TaskSpace, NDArray[np.int64]]]
_CAUTION = 2.0
_UCB_DIM = 32
_NO_FATIGUE = (0.0, 0.0, 0.0)
_BONUSES = (0.05, 0.2, 0.5)
_SCALES = (0.025, 0.05, 0.1, 0.2, 0.4)
_LOGIT_SCALES = (0.5, 1.0, 2.0, 4.0)
_FORGETTING = (0.0, 0.01, 0.03, 0.1)
_THOMPSON_NOISE = (0.01, 0.02, 0.05, 0.1, 0.2)
_PPO_SCALES = (0.1, 0.2, 0.4, 1.0, 2.0, 4.0, 8.0)
_MELU_ITERATIONS = (200, 600, 1200, 2400)


class Lineup:
    """The policies of one split.

    What a baseline needs beside the split's parts (another prior, a trained network, a width) is made when it is first
    asked for, on meta-train users, and chosen by reward in the cold-start protocol. Those who choose are validation
    users, and for the hierarchical-Bayes family, which is what ours has to match, everybody who judges meta-training:
    cross-fitted train users besides (`train.jury_users`), each in a space that has not seen them.

    Args:
        problem: one split's fitted parts.
        meta: meta-parameters of ours.
        config: settings.
    """

    def __init__(self, problem: Problem, meta: MetaParams, config: RunConfig) -> None:
        self.problem, self.meta, self.config = problem, meta, config
        self._chosen: dict[str, Any] = {}

    def policy(self, name: str, user_vectors: NDArray[np.float32], oracle: OnlinePolicy) -> OnlinePolicy:
        """Returns a policy for N users.

        Args:
            name: one of `protocol.POLICIES` or `protocol.PUBLISHED_FORMS`.
            user_vectors: [N, Z] float32, encoded attributes; `unknown` has those of nobody in particular.
            oracle: the policy that knows the answers, for its name.

        Raises:
            KeyError: no such policy.
        """
        if name == "oracle":
            return oracle
        return self._makers[name](user_vectors)

    def unknown(self, users: int) -> NDArray[np.float32]:
        """Returns the attribute vectors [N, Z] of users of whom nothing is known: their w0 is not shifted."""
        mean = self.problem.space.user_encoder.mean
        return np.broadcast_to(mean, (users, len(mean))).astype(np.float32)

    def choices(self) -> dict[str, Any]:
        """Returns what was tuned so far, by policy."""
        return dict(self._chosen)

    @cached_property
    def _makers(self) -> dict[str, Maker]:
        problem, topics = self.problem, self.problem.topics
        space = self.meta.scaled(problem.space)
        inner = self.meta.inner_params(self.config.inner)

        def adapted(vectors: NDArray[np.float32], inner: InnerParams = inner, *, greedy: bool = False) -> OnlinePolicy:
            starts = self._starts(vectors)
            return AdaptedPolicy(space.features, space.popularity, starts, inner, greedy=greedy, topics=topics)

        makers: dict[str, Maker] = {
            "random": lambda vectors: RandomPolicy(),
            "popularity": lambda vectors: FixedPolicy(np.tile(space.popularity, (len(vectors), 1))),
            "LinUCB": self._lin_ucb,
            "logistic UCB": self._logistic_ucb,
            "BPR fold-in": self._fold_in,
            "MeLU": self._melu,
            "PPO from scratch": self._scratch,
            "PPO, joint pre-training": self._joint,
            "meta-policy": lambda vectors: FixedPolicy(
                space.popularity + self._starts(vectors) @ space.features.T, inner.temperature
            ),
            "meta-policy, greedy": lambda vectors: FixedPolicy(
                space.popularity + self._starts(vectors) @ space.features.T
            ),
            "HB linear, SVD 10": partial(self._plain_hb, 10),
            "HB linear, SVD 20": partial(self._plain_hb, 20),
            "HB linear, no user attributes": lambda vectors: self._hb(
                "HB linear, no user attributes", vectors, NOISE_GRID, _noisy, known=False
            ),
            "HB linear, no item attributes": lambda vectors: self._hb(
                "HB linear, no item attributes", vectors, NOISE_GRID, _noisy, self._without_items
            ),
            "HB linear, UCB": lambda vectors: self._hb(
                "HB linear, UCB", vectors, _BONUSES, lambda bonus: {"noise": self._noise, "bonus": bonus}
            ),
            "HB linear, Thompson": lambda vectors: self._hb(
                "HB linear, Thompson", vectors, _THOMPSON_NOISE, lambda noise: {"noise": noise, "thompson": True}
            ),
            "HB linear, forgetting": lambda vectors: self._hb(
                "HB linear, forgetting", vectors, _FORGETTING, lambda q: {"noise": self._noise, "forgetting": q}
            ),
            "HB linear, greedy": lambda vectors: self._hb("HB linear, greedy", vectors, NOISE_GRID, _noisy),
            ADAPTED: adapted,
            "adapted, value term only": partial(adapted, inner=inner.model_copy(update={"policy_coef": 0.0})),
            "adapted, cautious": partial(adapted, inner=inner.model_copy(update={"caution": _CAUTION})),
            "adapted, greedy": partial(adapted, greedy=True),
        }
        missing = {*POLICIES, *PUBLISHED_FORMS} - {*makers, "oracle"}
        if missing:
            raise RuntimeError(f"no maker for {missing} on {problem.dataset.name}")
        return makers

    def _starts(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.problem.space.starts(vectors, self.meta.initialization.numpy(), float(self.meta.attribute_gain))

    def _prior_means(self, vectors: NDArray[np.float32], space: TaskSpace) -> NDArray[np.float32]:
        """Returns the baselines' prior means: they know user attributes, too, with the gain before meta-training."""
        return space.prior_means(vectors, self.config.prior.attribute_gain)

    def _hb(
        self,
        name: str,
        vectors: NDArray[np.float32],
        grid: Sequence[float],
        options: Callable[[float], dict[str, Any]],
        judges: Judges | None = None,
        *,
        known: bool = True,
    ) -> OnlinePolicy:
        """Returns the member of the family whose `options` of a choice of the grid do best for those who judge.

        Without `known` it starts everybody where it starts those of whom it knows nothing.
        """
        judges = judges or self._judges

        def make(space: TaskSpace, vectors: NDArray[np.float32], choice: float) -> OnlinePolicy:
            means = self._prior_means(vectors if known else self.unknown(len(vectors)), space)
            return HierarchicalBayesPolicy(space.features, space.popularity, means, **options(choice))

        def score(choice: float) -> float:
            return sum(
                self._reward(make(space, self.problem.user_vectors[users], choice), users) for space, users in judges
            )

        if name not in self._chosen:
            self._chosen[name] = max(grid, key=score)
        return make(judges[-1][0], vectors, self._chosen[name])

    @cached_property
    def _noise(self) -> float:
        """The greedy one's."""
        self._makers["HB linear, greedy"](self.unknown(1))
        return float(self._chosen["HB linear, greedy"])

    @cached_property
    def _judges(self) -> Judges:
        """Who judges meta-training, validation users last, each in a space that has not seen them."""
        problem = self.problem
        return [*problem.jury(self.config.train.jury_users), (problem.space, problem.split.validation)]

    def _plain_hb(self, rank: int, vectors: NDArray[np.float32]) -> OnlinePolicy:
        """The twenty-line bandit: the strongest directions as they are, noise .15, nothing tuned."""
        table = self.problem.rewards[self.problem.split.train]
        prior = fit_prior(table, self.problem.embeddings.whole, shrinkage=0.0, max_rank=rank)
        means = np.zeros((len(vectors), prior.features.shape[1]), np.float32)
        return HierarchicalBayesPolicy(prior.features, prior.popularity, means, 0.15)

    def _lin_ucb(self, vectors: NDArray[np.float32]) -> OnlinePolicy:
        """Per-user ridge regression on the item's embedding, its popularity and a constant, with a bonus."""
        mu = self.problem.space.popularity
        rows = np.column_stack([self._plain[:, :_UCB_DIM], mu / max(float(mu.max()), 1e-6), np.ones_like(mu)]).astype(
            np.float32
        )

        def make(choice: tuple[float, float], vectors: NDArray[np.float32]) -> OnlinePolicy:
            scale, bonus = choice
            means = np.zeros((len(vectors), rows.shape[1]), np.float32)
            return HierarchicalBayesPolicy(scale * rows, np.zeros_like(mu), means, 0.2, bonus=bonus)

        grid = [(scale, bonus) for scale in _SCALES for bonus in (0.0, *_BONUSES)]
        return make(self._tuned("LinUCB", grid, make), vectors)

    def _logistic_ucb(self, vectors: NDArray[np.float32]) -> OnlinePolicy:
        mu = self.problem.space.popularity

        def make(choice: tuple[float, float], vectors: NDArray[np.float32]) -> OnlinePolicy:
            return LogisticUCBPolicy(self._plain[:, :_UCB_DIM], mu, len(vectors), *choice)

        grid = [(scale, bonus) for scale in _LOGIT_SCALES for bonus in (0.0, *_BONUSES)]
        return make(self._tuned("logistic UCB", grid, make), vectors)

    def _fold_in(self, vectors: NDArray[np.float32]) -> OnlinePolicy:
        """RecBole's BPR embedding, a new user's vector by ridge regression on their rewards, beside popularity."""
        mu = self.problem.space.popularity

        def make(scale: float, vectors: NDArray[np.float32]) -> OnlinePolicy:
            means = np.zeros((len(vectors), self._bpr.shape[1]), np.float32)
            return HierarchicalBayesPolicy(np.float32(scale) * self._bpr, mu, means, 0.2)

        return make(self._tuned("BPR fold-in", _SCALES, make), vectors)

    def _scratch(self, vectors: NDArray[np.float32]) -> OnlinePolicy:
        """The same PPO without what meta-learning gives: no population values, no whitened features."""
        # Small random weights, the usual start of a policy head: values of a hundredth, so logits of about one.
        return self._ppo("PPO from scratch", vectors, np.zeros_like(self.problem.space.popularity), 0.01)

    def _joint(self, vectors: NDArray[np.float32]) -> OnlinePolicy:
        """One policy for everybody, trained on all meta-train users together, is their mean reward per item."""
        return self._ppo("PPO, joint pre-training", vectors, self.problem.space.popularity, 0.0)

    def _ppo(self, name: str, vectors: NDArray[np.float32], values: NDArray[np.float32], spread: float) -> OnlinePolicy:
        inner = self.config.inner.model_copy(update={"fatigue": _NO_FATIGUE})

        def make(scale: float, vectors: NDArray[np.float32]) -> OnlinePolicy:
            draw = generator(self.config.seed, "scratch").standard_normal((len(vectors), self._plain.shape[1]))
            return AdaptedPolicy(np.float32(scale) * self._plain, values, np.asarray(spread * draw, np.float32), inner)

        return make(self._tuned(name, _PPO_SCALES, make), vectors)

    @cached_property
    def _plain(self) -> NDArray[np.float32]:
        return _unit_rows(self.problem.embeddings.whole)

    @cached_property
    def _bpr(self) -> NDArray[np.float32]:
        config = self.config
        vectors = item_embeddings(
            self.problem.dataset, self.problem.split.train, model="BPR", dim=64, seed=config.seed,
            threshold=config.threshold,
        )  # fmt: skip
        return _unit_rows(vectors)

    @cached_property
    def _without_items(self) -> Judges:
        """Those who judge, in spaces that know nothing of items' attributes."""
        problem = self.problem
        settings = self.config.prior.model_copy(update={"item_attribute_scale": 0.0})
        embeddings = [*problem.embeddings.folds[: len(self._judges) - 1], problem.embeddings.whole]
        return [
            (
                fit_task_space(
                    problem.rewards, problem.user_vectors, embedding, problem.item_vectors, space.users, settings
                ),
                users,
            )
            for embedding, (space, users) in zip(embeddings, self._judges, strict=True)
        ]

    @cached_property
    def _melu_items(self) -> NDArray[np.float32]:
        # Beside their attributes items show how popular they are: without it the network cannot tell films apart.
        mu = self.problem.space.popularity
        return np.column_stack([self.problem.item_vectors, 3 * mu]).astype(np.float32)

    @cached_property
    def _melu_nets(self) -> dict[int, MeLU]:
        problem = self.problem
        return train_melu(
            problem.rewards,
            problem.user_vectors,
            self._melu_items,
            problem.split.train,
            seed=self.config.seed,
            iterations=_MELU_ITERATIONS,
        )

    def _melu(self, vectors: NDArray[np.float32]) -> OnlinePolicy:
        def make(iterations: int, vectors: NDArray[np.float32]) -> OnlinePolicy:
            return MeLUPolicy(self._melu_nets[iterations], vectors, self._melu_items)

        return make(self._tuned("MeLU", _MELU_ITERATIONS, make), vectors)

    def _tuned(self, key: str, grid: Sequence[Any], make: Callable[[Any, NDArray[np.float32]], OnlinePolicy]) -> Any:
        """Returns the setting of the grid with which validation users get most; ties keep the earlier one."""
        if key not in self._chosen:
            users = self.problem.split.validation
            vectors = self.problem.user_vectors[users]
            self._chosen[key] = max(grid, key=lambda choice: self._reward(make(choice, vectors), users))
        return self._chosen[key]

    def _reward(self, policy: OnlinePolicy, users: NDArray[np.int64]) -> float:
        """Returns what users who judge get together."""
        return float(cold_start_rewards(self.problem, policy, users, self.config.seed, "evaluate", "tune").sum())


def _noisy(noise: float) -> dict[str, Any]:
    return {"noise": noise}


def _unit_rows(embedding: NDArray[Any]) -> NDArray[np.float32]:
    """Returns an embedding [n, E] scaled to rows of mean squared length 1, with nothing fitted on rewards."""
    rows = embedding.astype(np.float32)
    return np.asarray(rows / np.sqrt(np.square(rows).sum(axis=1).mean()), dtype=np.float32)
