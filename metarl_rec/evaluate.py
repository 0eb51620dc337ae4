"""Cold start on held-out users: the full-catalogue protocol, with every baseline on the same users.

After NICF (Zou et al., SIGIR 2020): each test user plays 40 steps; every step a policy shows one item of the whole
catalogue, never one twice; the reward is 1 where the user rated it at least 4, else 0. Baselines get the same side
information (user attributes in the prior mean); their noise is tuned on validation users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.baselines import HierarchicalBayesPolicy
from metarl_rec.config import RunConfig
from metarl_rec.meta_params import MetaParams
from metarl_rec.policies import FixedPolicy, OnlinePolicy, RandomPolicy
from metarl_rec.problem import Problem
from metarl_rec.protocol import ADAPTED, NOISE_GRID, POLICIES, STEPS
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from simulator.env import BatchEnv
from simulator.population import LoggedUsers

__all__ = ["evaluate_problem", "make_policies", "tune_noise"]


def evaluate_problem(
    problem: Problem,
    meta: MetaParams,
    config: RunConfig,
    *,
    on_policy: Callable[[str], None] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Returns each policy's rewards [N, 40] on the split's test users.

    Args:
        problem: one split's fitted parts.
        meta: trained meta-parameters.
        config: settings; the seed decides every draw.
        on_policy: called with a policy's name before it plays.
    """
    noise = tune_noise(problem, config)
    users = problem.split.test
    shift = problem.space.user_encoder(problem.user_vectors[users])
    oracle = FixedPolicy(problem.rewards[users].astype(np.float32))
    policies = make_policies(problem, meta, config, shift, noise, oracle)
    rewards = {}
    for name in POLICIES:
        if on_policy is not None:
            on_policy(name)
        rewards[name] = _play(problem, policies[name], users, config.seed, name)
    return rewards


def make_policies(
    problem: Problem,
    meta: MetaParams,
    config: RunConfig,
    shift: NDArray[np.float32],
    noise: float,
    oracle: OnlinePolicy,
) -> Mapping[str, OnlinePolicy]:
    """Returns the policies of a comparison by name.

    Args:
        problem: one split's fitted parts.
        meta: meta-parameters of ours.
        config: settings.
        shift: [N, D] float32, what the users' attributes add to w0, before the gain; zeros where they have none.
        noise: the hierarchical-Bayes baselines' residual variance.
        oracle: the policy that knows the answers.
    """
    space = problem.space
    inner = meta.inner_params(config.inner)
    starts = (meta.initialization.numpy() + np.float32(meta.attribute_gain) * shift).astype(np.float32)
    # The baseline's prior mean knows the user attributes too, with the gain that was not meta-trained.
    prior_means = (np.float32(config.prior.attribute_gain) * shift).astype(np.float32)
    popularity = np.broadcast_to(space.popularity, (len(shift), len(space.popularity))).astype(np.float32)
    plain = _plain_features(problem)
    # Small random weights, the usual start of a policy head: values of a hundredth, so logits of about one.
    scratch = 0.01 * generator(config.seed, "scratch").standard_normal((len(shift), plain.shape[1]))
    topics = problem.topics
    return {
        "random": RandomPolicy(),
        "popularity": FixedPolicy(popularity),
        # The same PPO, without what meta-learning gives: no population values, no whitened features, random weights.
        "PPO from scratch": AdaptedPolicy(
            plain,
            np.zeros_like(space.popularity),
            scratch.astype(np.float32),
            config.inner.model_copy(update={"fatigue": (0.0, 0.0, 0.0)}),
        ),
        "meta-policy": FixedPolicy(space.popularity + starts @ space.features.T, inner.temperature),
        "HB linear, Thompson": HierarchicalBayesPolicy(
            space.features, space.popularity, prior_means, noise, thompson=True
        ),
        "HB linear, greedy": HierarchicalBayesPolicy(space.features, space.popularity, prior_means, noise),
        ADAPTED: AdaptedPolicy(space.features, space.popularity, starts, inner, topics=topics),
        "adapted, greedy": AdaptedPolicy(space.features, space.popularity, starts, inner, greedy=True, topics=topics),
        "oracle": oracle,
    }


def tune_noise(problem: Problem, config: RunConfig) -> float:
    """Returns the variance of NOISE_GRID with which greedy hierarchical Bayes does best on validation users."""
    users = problem.split.validation
    prior_means = problem.space.starts(
        problem.user_vectors[users], np.zeros(problem.space.features.shape[1]), config.prior.attribute_gain
    )

    def score(noise: float) -> float:
        policy = HierarchicalBayesPolicy(problem.space.features, problem.space.popularity, prior_means, noise)
        return float(_play(problem, policy, users, config.seed, "tune").sum())

    return max(NOISE_GRID, key=score)


def _play(
    problem: Problem, policy: OnlinePolicy, users: NDArray[np.int64], seed: int, name: str
) -> NDArray[np.float32]:
    env = BatchEnv(LoggedUsers(problem.rewards, problem.rated), torch.from_numpy(users), horizon=STEPS, seed=seed)
    return play(env, policy, STEPS, generator(seed, "evaluate", name)).rewards[:, :, 0]


def _plain_features(problem: Problem) -> NDArray[np.float32]:
    """Returns the embedding [n, E] float32 scaled to rows of mean squared length 1, with nothing fitted on rewards."""
    embedding = problem.embedding.astype(np.float32)
    return np.asarray(embedding / np.sqrt(np.square(embedding).sum(axis=1).mean()), dtype=np.float32)
