"""How the past should fade: exponentially against the prior, as it ships, or as the Kalman filter has it.

    python -m tests.learning.forgetting_forms --workdir W --out F

Gaussian posteriors of the same prior, in their dual form, greedy, in the drift protocol's worlds; users are drawn from
a prior fitted on a split's validation users. With c_j the correlation of today's taste with that of j steps ago:

- kalman: the exact posterior of the stationary process, kernel c^|i - j| x_i . x_j;
- fading: transition j counts exp(-rate j) in the likelihood, the prior stays (what the inner loop does);
- marginal: each transition by itself is exact, y_j ~ N(mu + c_j x_j . w, noise + (1 - c_j^2) |x_j|^2), and what they
  share beyond today's taste is left out.

The study tunes a form's noise and rate on the users that it shows, alike for all; it is no judgement.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metarl_rec.policies import Decision, Feedback, View, choose
from metarl_rec.populations import fit_prior_on
from metarl_rec.preparing import split_problem
from metarl_rec.protocols import drift_worlds
from metarl_rec.protocols.result import measured
from metarl_rec.rollout import play
from metarl_rec.seeding import generator
from metarl_rec.workspace import Workspace
from tests.learning.moving_study import study

WORLDS = ("drift", "abrupt drift")
KALMAN = "kalman"
RATES = {
    KALMAN: (0.01, 0.02, 0.04, 0.08),
    "fading": (0.03, 0.06, 0.1, 0.15, 0.2),
    "marginal": (0.01, 0.02, 0.04, 0.08),
}
"""Forms with the rates to choose from."""
NOISES = (0.15, 0.2, 0.3, 0.5)


class FadingPosterior:
    """The posterior mean of today's taste under one form, for N users who are always there and answer at once.

    Args:
        features: [n, D].
        popularity: [n].
        users: N.
        form: of RATES.
        noise: residual variance, > 0.
        rate: how fast the past fades, > 0.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        popularity: NDArray[np.float32],
        users: int,
        form: str,
        noise: float,
        rate: float,
    ) -> None:
        self._features, self._popularity = features.astype(np.float64), popularity.astype(np.float64)
        self._users, self._form, self._noise, self._rate = users, form, noise, rate

    def begin(self, rng: np.random.Generator) -> None:
        """Forgets every history."""
        self._rng = rng
        self._items: list[NDArray[np.int64]] = []
        self._errors: list[NDArray[np.float64]] = []

    def weights(self) -> NDArray[np.float64]:
        """Returns [N, D]: the posterior mean of what a taste differs from the prior's mean, one step on."""
        if not self._errors:
            return np.zeros((self._users, self._features.shape[1]))
        rows, errors = self._features[np.stack(self._items, axis=1)], np.stack(self._errors, axis=1)
        steps = errors.shape[1]
        gram = rows @ rows.transpose(0, 2, 1)
        ages = np.arange(steps - 1, -1, -1)
        noise, here, now = np.full((self._users, steps), self._noise), np.ones((steps, steps)), np.ones(steps)
        if self._form == "fading":
            noise = noise * np.exp(self._rate * ages)
        elif self._form == KALMAN:
            now = (1.0 - self._rate) ** (ages + 1)
            here = (1.0 - self._rate) ** np.abs(ages[:, None] - ages[None, :])
        else:
            now = (1.0 - self._rate) ** (ages + 1)
            noise = noise + (1.0 - now**2) * np.einsum("nii->ni", gram)
            here = np.outer(now, now)
        system = here * gram
        system[:, np.arange(steps), np.arange(steps)] += noise
        duals = now * np.linalg.solve(system, errors[:, :, None])[:, :, 0]
        weights: NDArray[np.float64] = np.einsum("nt,ntd->nd", duals, rows)
        return weights

    def act(self, view: View) -> Decision:
        """Takes the best item."""
        values = self._popularity + self.weights() @ self._features.T
        decision = choose(values.astype(np.float32), view, None, self._rng)
        self._items.append(decision.items[:, 0].astype(np.int64))
        return decision

    def observe(self, feedback: Feedback) -> None:
        """Keeps the rewards of the newest step."""
        rewards = np.zeros(self._users)
        rewards[feedback.users] = feedback.rewards[:, 0]
        self._errors.append(rewards - self._popularity[self._items[-1]])


def played(workspace: Workspace, world: str, split: int, users: int) -> dict[str, Any]:
    """Returns every choice's reward of every user in one world."""
    settings = drift_worlds.Settings()
    problem = split_problem(workspace, drift_worlds.config_of(settings, world, split))
    prior = fit_prior_on(problem.space, problem.rewards[problem.split.validation])
    rows = []
    for form, rates in RATES.items():
        for noise, rate in product(NOISES, rates):
            # A seed that no training, no choice and no judgement has.
            seed = split + 1_800_000_001
            env = drift_worlds.moving_env(world, prior, problem.topics, users, seed)
            policy = FadingPosterior(problem.space.features, problem.space.popularity, users, form, noise, rate)
            rollout = play(env, policy, settings.steps, generator(split, "forgetting forms"))
            rewards = rollout.rewards.sum(axis=(1, 2)).astype(int).tolist()
            rows.append({"form": form, "noise": noise, "rate": rate, "rewards": rewards})
            print(world, split, form, noise, rate, round(float(np.mean(rewards)), 2), flush=True)
    return {"world": world, "split": split, "rows": rows}


def main() -> None:
    """Plays every choice, prints each form's best and writes each user's rewards."""
    parts = study(__doc__, WORLDS, played, splits=1, users=800)
    print("| world | form | best noise, rate | reward | minus the Kalman filter's best |\n|---|---|---|---|---|")
    for world in WORLDS:
        rewards: dict[tuple[str, float, float], list[int]] = {}
        for row in (row for part in parts if part["world"] == world for row in part["rows"]):
            rewards.setdefault((row["form"], row["noise"], row["rate"]), []).extend(row["rewards"])
        best = {form: max((key for key in rewards if key[0] == form), key=lambda k: sum(rewards[k])) for form in RATES}
        exact = np.array(rewards[best[KALMAN]])
        for form, key in best.items():
            own = np.array(rewards[key])
            gap = measured(own - exact, sign=True)
            print(f"| {world} | {form} | {key[1]}, {key[2]} | {own.mean():.2f} | {gap} |")


if __name__ == "__main__":
    main()
