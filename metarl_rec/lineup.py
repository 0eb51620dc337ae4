"""Who plays: every policy of a comparison by name, its own settings tuned on the split's validation users."""

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
from metarl_rec.protocol import ADAPTED, NOISE_GRID, POLICIES
from metarl_rec.seeding import generator
from metarl_rec.tasks import TaskSpace, fit_task_space

__all__ = ["Lineup"]

Maker = Callable[[NDArray[np.float32]], OnlinePolicy]
_CAUTION = 2.0
_UCB_DIM = 32
_NO_FATIGUE = (0.0, 0.0, 0.0)
_BONUSES = (0.05, 0.2, 0.5)
_SCALES = (0.1, 0.2, 0.4)
_LOGIT_SCALES = (0.5, 1.0, 2.0)
_FORGETTING = (0.0, 0.01, 0.03, 0.1)


class Lineup:
    """The policies of one split.

    What a baseline needs beside the split's parts (another prior, a trained network, a width) is made when it is first
    asked for, on meta-train users, and chosen by the reward of validation users in the cold-start protocol.

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
            name: one of `protocol.POLICIES`.
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
        """Returns what was tuned on validation users so far, by policy."""
        return dict(self._chosen)

    @cached_property
    def _makers(self) -> dict[str, Maker]:
        problem, topics = self.problem, self.problem.topics
        space = self.meta.scaled(problem.space)
        inner = self.meta.inner_params(self.config.inner)
        scratch_inner = self.config.inner.model_copy(update={"fatigue": _NO_FATIGUE})

        def adapted(vectors: NDArray[np.float32], inner: InnerParams = inner, *, greedy: bool = False) -> OnlinePolicy:
            starts = self._starts(vectors)
            return AdaptedPolicy(space.features, space.popularity, starts, inner, greedy=greedy, topics=topics)

        makers: dict[str, Maker] = {
            "random": lambda vectors: RandomPolicy(),
            "popularity": lambda vectors: FixedPolicy(np.tile(space.popularity, (len(vectors), 1))),
            "LinUCB": self._lin_ucb,
            "logistic UCB": self._logistic_ucb,
            "BPR fold-in": self._fold_in,
            "MeLU": lambda vectors: MeLUPolicy(self._melu, vectors, self._melu_items),
            # The same PPO, without what meta-learning gives: no population values, no whitened features.
            "PPO from scratch": lambda vectors: AdaptedPolicy(
                self._plain, np.zeros_like(space.popularity), self._scratch(len(vectors)), scratch_inner
            ),
            # One policy for everybody, trained on all meta-train users together, is their mean reward per item.
            "PPO, joint pre-training": lambda vectors: AdaptedPolicy(
                self._plain, space.popularity, np.zeros((len(vectors), self._plain.shape[1]), np.float32), scratch_inner
            ),
            "meta-policy": lambda vectors: FixedPolicy(
                space.popularity + self._starts(vectors) @ space.features.T, inner.temperature
            ),
            "meta-policy, greedy": lambda vectors: FixedPolicy(
                space.popularity + self._starts(vectors) @ space.features.T
            ),
            "HB linear, SVD 10": self._plain_hb,
            "HB linear, no item attributes": lambda vectors: self._hb(
                "HB linear, no item attributes", vectors, self._without_items
            ),
            "HB linear, UCB": self._hb_ucb,
            "HB linear, Thompson": lambda vectors: self._hb("HB linear, greedy", vectors, thompson=True),
            "HB linear, forgetting": self._hb_forgetting,
            "HB linear, greedy": lambda vectors: self._hb("HB linear, greedy", vectors),
            ADAPTED: adapted,
            "adapted, cautious": partial(adapted, inner=inner.model_copy(update={"caution": _CAUTION})),
            "adapted, greedy": partial(adapted, greedy=True),
        }
        missing = set(POLICIES) - {*makers, "oracle"}
        if missing:
            raise RuntimeError(f"no maker for {missing} on {problem.dataset.name}")
        return makers

    def _starts(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.problem.space.starts(vectors, self.meta.initialization.numpy(), float(self.meta.attribute_gain))

    def _prior_means(self, vectors: NDArray[np.float32], space: TaskSpace) -> NDArray[np.float32]:
        """Returns the baselines' prior means: they know user attributes, too, with the gain before meta-training."""
        return space.starts(vectors, np.zeros(space.features.shape[1]), self.config.prior.attribute_gain)

    def _hb(
        self, key: str, vectors: NDArray[np.float32], space: TaskSpace | None = None, *, thompson: bool = False
    ) -> OnlinePolicy:
        space = space or self.problem.space

        def make(noise: float, vectors: NDArray[np.float32]) -> OnlinePolicy:
            means = self._prior_means(vectors, space)
            return HierarchicalBayesPolicy(space.features, space.popularity, means, noise)

        noise = self._tuned(key, NOISE_GRID, make)
        if not thompson:
            return make(noise, vectors)
        means = self._prior_means(vectors, space)
        return HierarchicalBayesPolicy(space.features, space.popularity, means, noise, thompson=True)

    def _hb_ucb(self, vectors: NDArray[np.float32]) -> OnlinePolicy:
        self._hb("HB linear, greedy", vectors)
        noise, space = self._chosen["HB linear, greedy"], self.problem.space

        def make(bonus: float, vectors: NDArray[np.float32]) -> OnlinePolicy:
            means = self._prior_means(vectors, space)
            return HierarchicalBayesPolicy(space.features, space.popularity, means, noise, bonus=bonus)

        return make(self._tuned("HB linear, UCB", _BONUSES, make), vectors)

    def _hb_forgetting(self, vectors: NDArray[np.float32]) -> OnlinePolicy:
        space = self.problem.space

        def make(choice: tuple[float, float], vectors: NDArray[np.float32]) -> OnlinePolicy:
            means = self._prior_means(vectors, space)
            return HierarchicalBayesPolicy(space.features, space.popularity, means, choice[0], forgetting=choice[1])

        grid = [(noise, forgetting) for forgetting in _FORGETTING for noise in NOISE_GRID]
        return make(self._tuned("HB linear, forgetting", grid, make), vectors)

    def _plain_hb(self, vectors: NDArray[np.float32]) -> OnlinePolicy:
        """The twenty-line bandit: the ten strongest directions as they are, noise .15, nothing tuned."""
        table = self.problem.rewards[self.problem.split.train]
        prior = fit_prior(table, self.problem.embeddings.whole, shrinkage=0.0, max_rank=10)
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

        grid = [(scale, bonus) for scale in _SCALES for bonus in _BONUSES]
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

    def _scratch(self, users: int) -> NDArray[np.float32]:
        # Small random weights, the usual start of a policy head: values of a hundredth, so logits of about one.
        draw = generator(self.config.seed, "scratch").standard_normal((users, self._plain.shape[1]))
        return np.asarray(0.01 * draw, np.float32)

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
    def _without_items(self) -> TaskSpace:
        problem = self.problem
        settings = self.config.prior.model_copy(update={"item_attribute_scale": 0.0})
        return fit_task_space(
            problem.rewards,
            problem.user_vectors,
            problem.embeddings.whole,
            problem.item_vectors,
            problem.split.train,
            settings,
        )

    @cached_property
    def _melu_items(self) -> NDArray[np.float32]:
        # Beside their attributes items show how popular they are: without it the network cannot tell films apart.
        mu = self.problem.space.popularity
        return np.column_stack([self.problem.item_vectors, 3 * mu]).astype(np.float32)

    @cached_property
    def _melu(self) -> MeLU:
        problem = self.problem
        return train_melu(
            problem.rewards, problem.user_vectors, self._melu_items, problem.split.train, seed=self.config.seed
        )

    def _tuned(self, key: str, grid: Sequence[Any], make: Callable[[Any, NDArray[np.float32]], OnlinePolicy]) -> Any:
        """Returns the setting of the grid with which validation users get most; ties keep the earlier one."""
        if key not in self._chosen:
            problem, seed = self.problem, self.config.seed
            users = problem.split.validation

            def score(choice: Any) -> float:
                policy = make(choice, problem.user_vectors[users])
                return float(cold_start_rewards(problem, policy, users, seed, "evaluate", "tune").sum())

            self._chosen[key] = max(grid, key=score)
        return self._chosen[key]


def _unit_rows(embedding: NDArray[Any]) -> NDArray[np.float32]:
    """Returns an embedding [n, E] scaled to rows of mean squared length 1, with nothing fitted on rewards."""
    rows = embedding.astype(np.float32)
    return np.asarray(rows / np.sqrt(np.square(rows).sum(axis=1).mean()), dtype=np.float32)
