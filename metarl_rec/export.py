"""From meta-parameters to a checkpoint that serves: item encoder, user encoder, trust region, lineage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metarl_rec.adapted_policy import AdaptedPolicy
from metarl_rec.checkpoint import Checkpoint, ItemRecord
from metarl_rec.config import RunConfig
from metarl_rec.divergence import policy_kl
from metarl_rec.inner_params import InnerParams
from metarl_rec.meta_params import MetaParams
from metarl_rec.policies import Feedback
from metarl_rec.prior import LinearEncoder, fit_linear_encoder
from metarl_rec.problem import Problem
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.tasks import TaskSpace
from metarl_rec.topics import TopicEncoder
from metarl_rec.train import TrainResult
from simulator.env import BatchEnv
from simulator.population import LoggedUsers

__all__ = ["build_checkpoint", "meta_params"]

KL_QUANTILE = 0.999
KL_READINGS = (5, 10, 20, 40)


def build_checkpoint(
    problem: Problem, result: TrainResult, config: RunConfig, lineage: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Returns the checkpoint of a trained meta-policy, not saved yet.

    Args:
        problem: one split's fitted parts.
        result: what meta-training gave.
        config: settings; kept in the lineage, so that `evaluate` can rebuild the same split.
        lineage: further provenance to keep.
    """
    meta, space = result.meta, result.meta.scaled(problem.space)
    inner = meta.inner_params(config.inner)
    inner = inner.model_copy(update={"kl_limit_nats": _kl_limit(problem, meta, inner, config)})
    targets = np.column_stack([space.features, space.popularity])
    items = zip(problem.dataset.item_ids, problem.dataset.item_attributes, strict=True)
    encoder = space.user_encoder
    return Checkpoint(
        version="",
        items=tuple(ItemRecord(item_id, attributes) for item_id, attributes in items),
        features=space.features,
        popularity=space.popularity,
        initialization=meta.initialization.numpy().astype(np.float32),
        item_encoder=fit_linear_encoder(problem.item_vectors, targets, config.prior.item_ridge),
        user_encoder=LinearEncoder(
            encoder.mean, (encoder.weight * float(meta.attribute_gain)).astype(np.float32), encoder.offset
        ),
        item_attributes=problem.item_attributes,
        user_attributes=problem.user_attributes,
        inner=inner,
        lineage={
            "config": config.model_dump(mode="json"),
            "dataset": {"name": problem.dataset.name, "digest": problem.dataset.digest},
            "catalogue": {"items": len(problem.dataset.item_ids), "digest": _catalogue_digest(problem)},
            "users": {name: len(getattr(problem.split, name)) for name in ("train", "validation", "test")},
            "log_scale": [round(float(value), 9) for value in meta.log_scale],
            "attribute_gain": float(meta.attribute_gain),
            "best_iteration": result.best_iteration,
            **(lineage or {}),
        },
        topics=_topics(problem, inner, config),
        metrics={
            "validation": {"start": result.start.summary(), "best": result.best.summary()},
            "history": result.history,
        },
    )


def meta_params(checkpoint: Checkpoint, config: RunConfig, space: TaskSpace) -> MetaParams:
    """Returns the meta-parameters behind a checkpoint, for evaluation in the space that it was trained from."""
    start = MetaParams.start(checkpoint.dim, checkpoint.inner, float(checkpoint.lineage["attribute_gain"]))
    tensors = start.tensors() | {
        "initialization": torch.from_numpy(checkpoint.initialization.copy()),
        "log_scale": torch.tensor(checkpoint.lineage.get("log_scale", [0.0] * checkpoint.dim), dtype=torch.float32),
    }
    if config.train.feature_rate > 0:
        fitted = checkpoint.features / np.exp(tensors["log_scale"].numpy())
        tensors["feature_shift"] = torch.from_numpy(fitted - space.features)
    return MetaParams(**tensors)


def _topics(problem: Problem, inner: InnerParams, config: RunConfig) -> TopicEncoder | None:
    """Returns the encoder of the topics that the policy was trained with, where it minds them."""
    if not any(inner.fatigue):
        return None
    return TopicEncoder.fit(problem.dataset.item_attributes, config.train.world.topic_attribute)


def _catalogue_digest(problem: Problem) -> str:
    """Returns sha256 over item ids, attributes and features: two catalogues with one digest score alike."""
    items = list(zip(problem.dataset.item_ids, problem.dataset.item_attributes, strict=True))
    digest = hashlib.sha256(json.dumps(items, sort_keys=True).encode())
    digest.update(problem.space.features.tobytes())
    digest.update(problem.space.popularity.tobytes())
    return digest.hexdigest()


def _kl_limit(problem: Problem, meta: MetaParams, inner: InnerParams, config: RunConfig) -> float:
    """Returns the 99.9th percentile of the KL to the initialization over meta-train users, nats, with a floor of 1e-3.

    Each user plays in the space that has not seen them; honest users reach several nats, so a small constant would bind
    the very people whom adaptation is for.
    """
    steps = config.train.horizon
    readings: list[float] = []
    population = LoggedUsers(problem.rewards, problem.rated)
    for fold, (space, members) in enumerate(problem.folds):
        shift = space.user_encoder(problem.user_vectors[members])
        starts = (meta.initialization.numpy() + float(meta.attribute_gain) * shift).astype(np.float32)
        policy = _Recorder(meta.scaled(space).features, space.popularity, starts, inner, topics=problem.topics)
        env = BatchEnv(population, torch.from_numpy(members), horizon=steps, seed=config.seed)
        play(env, policy, steps, generator(config.seed, "kl", fold))
        readings.extend(policy.readings)
    return max(1e-3, float(np.quantile(np.asarray(readings), KL_QUANTILE)))


class _Recorder(AdaptedPolicy):
    """Adapts as usual and notes every user's KL at the steps of KL_READINGS."""

    readings: list[float]

    def begin(self, rng: np.random.Generator) -> None:
        super().begin(rng)
        self.readings = []
        self._base = self._popularity + self._starts @ self._features.T

    def observe(self, feedback: Feedback) -> None:
        super().observe(feedback)
        if self.history is None or self.history.shown.shape[1] not in KL_READINGS:
            return
        values = self._popularity + self.weights @ self._features.T
        rest = self.history.candidates.copy()
        np.put_along_axis(rest, self.history.shown.astype(np.int64), False, axis=1)
        for user in range(len(values)):
            self.readings.append(policy_kl(values[user], self._base[user], rest[user], self._inner.temperature))
