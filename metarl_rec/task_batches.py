"""One iteration's tasks: a roll-out of the meta-policy, cut at random steps into what adapts and what judges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy, History
from metarl_rec.config import RunConfig
from metarl_rec.credit import future_advantages
from metarl_rec.errors import ConfigError
from metarl_rec.fatigue import RETENTIONS
from metarl_rec.inner_loop import SupportBatch
from metarl_rec.inner_params import InnerParams
from metarl_rec.meta_params import MetaParams
from metarl_rec.outer_loop import SessionBatch, TaskBatch
from metarl_rec.populations import TrainingPopulations
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.support import Support, shown_support
from simulator.env import BatchEnv

__all__ = ["rollout_params", "task_batch"]


def rollout_params(config: RunConfig) -> InnerParams:
    """Returns the inner settings with which training plays.

    In sessions the outer loss needs the action that the judged policy drew, so roll-outs sample at its temperature.
    """
    if config.train.form == "session":
        return config.inner.model_copy(update={"temperature": config.train.outer_temperature})
    return config.inner


def task_batch(populations: TrainingPopulations, meta: MetaParams, iteration: int) -> TaskBatch:
    """Returns one iteration's users after a roll-out, each cut at a random step: before it adapts, at it judges.

    In sessions that is a step at which the user is there; who leaves after the first step is left out.

    Args:
        populations: whom to play.
        meta: the current meta-parameters; the roll-out adapts after every interaction with them.
        iteration: decides the fold, the users and every draw.

    Raises:
        ConfigError: everybody left after the first step.
    """
    problem, config = populations.problem, populations.config
    settings = config.train
    session = settings.form == "session"
    group = populations.of(iteration)
    users, shift, space = group.users, group.shift, group.space
    starts = (meta.initialization + meta.attribute_gain * torch.from_numpy(shift)).numpy()
    policy = AdaptedPolicy(
        meta.scaled(space).features,
        space.popularity,
        starts,
        meta.inner_params(rollout_params(config)),
        topics=problem.topics,
    )
    # The world draws anew in every iteration: else all updates would meet the same changes of taste.
    env = populations.env(group.population, users, seed=config.seed + iteration)
    lots = _lots(generator(config.seed, "lengths", iteration), len(users), settings.horizon, session=session)
    moment = _Moments(policy, lots, session=session)
    rollout = play(env, policy, settings.horizon, generator(config.seed, "rollout", iteration), moment.note)
    history, cuts = policy.history, moment.cuts
    if history is None:
        raise RuntimeError("a roll-out has at least one step")
    rows = np.flatnonzero(cuts)
    if len(rows) == 0:
        raise ConfigError(
            f"iteration {iteration}: none of {len(users)} users is there after the first step, so nobody can be "
            "judged; raise train.simulated_users, or let users stay longer in train.world"
        )
    batch = TaskBatch(
        support=SupportBatch.pack(
            [_prefix(history, int(user), int(cuts[user])) for user in rows],
            torch.from_numpy(space.features),
            torch.from_numpy(space.popularity),
        ),
        shift=torch.from_numpy(shift[rows]),
        rewards=torch.from_numpy(moment.rewards[rows]),
        query=torch.from_numpy(moment.open[rows]),
    )
    if not session:
        return batch
    future = future_advantages(rollout, config.inner.discount, settings.session_length)
    topics = np.zeros((len(space.popularity), 1), np.float32) if problem.topics is None else problem.topics
    exposure = moment.exposure
    if exposure is None:
        exposure = np.zeros((len(users), len(RETENTIONS), topics.shape[1]), np.float32)
    state = SessionBatch(
        exposure=torch.from_numpy(exposure[rows]),
        topics=torch.from_numpy(topics),
        actions=torch.from_numpy(rollout.items[rows, cuts[rows], 0].astype(np.int64)),
        future=torch.from_numpy(future[rows, cuts[rows]]),
    )
    return replace(batch, session=state)


def _lots(rng: np.random.Generator, users: int, horizon: int, *, session: bool) -> NDArray[np.float64]:
    """Returns every user's lots [N, T + 1], in [0, 1], for steps 0 to T: the lowest below 1 is where they are cut.

    Judging a session's step needs the action taken there; a bandit can be judged after its last step, too, and who
    plays it is always there, so the step is drawn at once.
    """
    if session:
        lots = rng.random((users, horizon + 1))
        lots[:, [0, -1]] = 1.0
        return lots
    cuts = rng.integers(1, horizon + 1, users)
    return np.asarray(np.arange(horizon + 1) != cuts[:, None], np.float64)


class _Moments:
    """Takes down the state of every user just before the step at which they are cut.

    At which steps a user will be there is not known before; the lowest lot so far makes all of them equally likely.

    Reference: Vitter, "Random Sampling with a Reservoir", ACM TOMS 11, 1985 (a reservoir of one).

    Attributes:
        cuts: [N] int64, 0 where there was no step to cut at.
        rewards: [N, n] float32, P(like) of every item then.
        open: [N, n] bool, what could be shown then.
        exposure: [N, M, T] float32, the policy's memories then, or None.
    """

    def __init__(self, policy: AdaptedPolicy, lots: NDArray[np.float64], *, session: bool) -> None:
        self._policy = policy
        self._lots = lots
        self._session = session
        self._lowest = np.ones(len(lots))
        self.cuts = np.zeros(len(lots), np.int64)
        self.exposure: NDArray[np.float32] | None = None

    def note(self, step: int, env: BatchEnv) -> None:
        """Called before every step."""
        if step == 0:
            self.rewards = np.zeros((len(self.cuts), env.n_items), np.float32)
            self.open = np.zeros((len(self.cuts), env.n_items), np.bool_)
        lot = self._lots[:, step]
        lower = lot < self._lowest
        at = np.flatnonzero(lower & env.present.cpu().numpy() if self._session else lower)
        if len(at) == 0:
            return
        self._lowest[at], self.cuts[at] = lot[at], step
        self.rewards[at] = env.reward_probabilities().cpu().numpy()[at]
        self.open[at] = env.candidates.cpu().numpy()[at]
        if self._policy.exposure is not None:
            if self.exposure is None:
                self.exposure = np.zeros_like(self._policy.exposure.levels)
            self.exposure[at] = self._policy.exposure.levels[at]


def _prefix(history: History, user: int, cut: int) -> Support:
    """Returns what a user's first `cut` steps tell, as far as answers had arrived by then; slates of one."""
    here = np.flatnonzero(history.shown[user, :cut] >= 0)
    known = history.known[user, here] & (history.arrived[user, here] <= cut)
    return shown_support(
        history.shown[user, here],
        history.rewards[user, here],
        history.log_propensities[user, here],
        history.candidates[user],
        known=known,
        usable=history.usable[user, here],
        sessions=history.sessions[user, here],
    )
