"""What PPO's policy-gradient term is worth in sessions, with ratios over the values less fatigue: what was shown from.

    python -m tests.learning.session_ratios --workdir W --out F

The service forms no ratio once fatigue has taken anything off: that would need every transition's own penalties of all
items. Here they are kept, so that a ratio is that of the policy that really drew, in the state in which it drew, and
advantages are the session's discounted returns. Paired with the same policy without the term.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metarl_rec.adapted_policy import AdaptedPolicy, History
from metarl_rec.inner_loop import preconditioner
from metarl_rec.inner_params import InnerParams
from metarl_rec.losses import advantages, clipped_surrogate, transition_precision
from metarl_rec.policies import Decision, View
from metarl_rec.populations import fit_prior_on
from metarl_rec.preparing import split_problem
from metarl_rec.protocols import drift_worlds
from metarl_rec.protocols.result import measured
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.train import meta_train
from metarl_rec.workspace import Workspace
from tests.learning.moving_study import study

WORLDS = ("satiation", "sessions")
WITHOUT = "value term only"
ARMS: dict[str, dict[str, Any]] = {
    WITHOUT: {"policy_coef": 0.0},
    "as it ships": {"policy_coef": 1.0},
    "x 10": {"policy_coef": 10.0},
    "x 10, discount 0": {"policy_coef": 10.0, "discount": 0.0},
    "x 100": {"policy_coef": 100.0},
}
"""Changes; the policy-gradient term's coefficient is in multiples of what ships."""


class FatiguedRatios(AdaptedPolicy):
    """The adapted policy with ratios over values less fatigue, in torch."""

    def begin(self, rng: np.random.Generator) -> None:
        """Returns every user to their starting point."""
        super().begin(rng)
        self._logits_off: list[NDArray[np.float32]] = []
        self._open: list[NDArray[np.bool_]] = []
        self.formed, self.silenced = 0, 0

    def act(self, view: View) -> Decision:
        """Keeps what fatigue takes off all items, and what was on offer."""
        if self.exposure is None:
            raise RuntimeError("a policy without fatigue has ratios anyway")
        self._logits_off.append(self.exposure.penalty(self._inner.fatigue))
        self._open.append(view.candidates.copy())
        return super().act(view)

    def _adapt(self, history: History) -> None:
        inner, known = self._inner, torch.from_numpy(history.known)
        features, mu = torch.from_numpy(self._features), torch.from_numpy(self._popularity)
        items = torch.from_numpy(history.shown.astype(np.int64)).clamp_min(0)
        rewards, start = torch.from_numpy(history.rewards), torch.from_numpy(self._starts)
        rows, base = features[items], mu[items]
        omega = transition_precision(torch.tensor(inner.value_weight, dtype=torch.float32), rewards, base) * known
        precondition = preconditioner(rows, omega, inner.preconditioner)
        sessions = torch.from_numpy(history.sessions)
        continues = torch.zeros_like(known)
        continues[:, :-1] = known[:, :-1] & known[:, 1:] & (sessions[:, :-1] == sessions[:, 1:])
        off = torch.from_numpy(np.stack(self._logits_off, axis=1)) / inner.temperature
        off[~torch.from_numpy(np.stack(self._open, axis=1))] = torch.inf
        log_drawn = torch.from_numpy(history.log_propensities)
        weights = start
        for step in inner.step_sizes:
            errors = (rewards - base - torch.einsum("nbd,nd->nb", rows, weights)) * known
            gradient = start - weights + torch.einsum("nb,nbd->nd", omega * errors, rows)
            if inner.policy_coef:
                policy = torch.softmax(((mu + weights @ features.T) / inner.temperature).unsqueeze(1) - off, dim=2)
                drawn = policy.gather(2, items.unsqueeze(2)).squeeze(2).clamp_min(1e-30).log()
                log_ratio = torch.where(known, drawn - log_drawn, torch.zeros_like(drawn)).requires_grad_()
                gains = advantages(errors, continues, inner.discount)
                surrogate = clipped_surrogate(log_ratio, gains, inner.clip)
                # A log-ratio's gradient is that of the drawn item's log-probability: its features less their mean.
                (pull,) = torch.autograd.grad((surrogate * known).sum(), log_ratio)
                pull = inner.policy_coef / inner.temperature * pull
                gradient = gradient + torch.einsum("nb,nbd->nd", pull, rows)
                gradient = gradient - torch.bmm(pull.unsqueeze(1), policy).squeeze(1) @ features
                self.formed += int(known.sum())
                self.silenced += int((known & (pull == 0)).sum())
            weights = weights + step * precondition(gradient)
        self.weights = weights.numpy().astype(np.float32)


def arms(inner: InnerParams) -> Iterator[tuple[str, InnerParams]]:
    """Returns every arm's settings."""
    for name, change in ARMS.items():
        yield name, inner.model_copy(update={**change, "policy_coef": change["policy_coef"] * inner.policy_coef})


def played(workspace: Workspace, world: str, split: int, users: int) -> dict[str, Any]:
    """Returns each arm's reward of every user, drawn from a prior fitted on the split's validation users."""
    settings = drift_worlds.Settings()
    config = drift_worlds.config_of(settings, world, split)
    problem = split_problem(workspace, config)
    result = meta_train(problem, config)
    inner = result.meta.inner_params(config.inner)
    space = result.meta.scaled(problem.space)
    starts = np.tile(result.meta.initialization.numpy(), (users, 1)).astype(np.float32)
    prior = fit_prior_on(problem.space, problem.rewards[problem.split.validation])
    out: dict[str, Any] = {"world": world, "split": split, "inner": inner.model_dump(mode="json"), "rewards": {}}
    out["clipped"] = {}
    for name, arm in arms(inner):
        # A seed that no training and no validation has.
        seed = split + 1_700_000_003
        env = drift_worlds.moving_env(world, prior, problem.topics, users, seed)
        policy = FatiguedRatios(space.features, space.popularity, starts, arm, topics=problem.topics)
        rollout = play(env, policy, settings.steps, generator(split, "session ratios"))
        out["rewards"][name] = rollout.rewards.sum(axis=(1, 2)).astype(int).tolist()
        out["clipped"][name] = policy.silenced / policy.formed if policy.formed else None
        print(world, split, name, round(float(np.mean(out["rewards"][name])), 2), flush=True)
    return out


def main() -> None:
    """Plays every arm, prints the table and writes each user's rewards."""
    parts = study(__doc__, WORLDS, played, splits=2, users=200)
    print("| world | arm | reward | minus the same without the term | clipped |\n|---|---|---|---|---|")
    for world in WORLDS:
        here = [part for part in parts if part["world"] == world]
        for name in here[0]["rewards"]:
            own = np.concatenate([part["rewards"][name] for part in here])
            gap = measured(own - np.concatenate([part["rewards"][WITHOUT] for part in here]), sign=True)
            clipped = here[0]["clipped"][name]
            share = "" if clipped is None else f"{100 * clipped:.0f} %"
            print(f"| {world} | {name} | {own.mean():.2f} | {gap} | {share} |")


if __name__ == "__main__":
    main()
