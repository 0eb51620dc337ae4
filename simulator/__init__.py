"""User simulator: every user a task, in batches, with randomness that does not depend on the order of play.

A population says how likely each user likes each item; a choice model what they do with a slate; dynamics what changes
meanwhile; an environment plays users of it all. Ten lines:

>>> import torch
>>> from simulator import BatchEnv, Dynamics, LatentFactorUsers, Leaving, Topics
>>> features, popularity = torch.tensor([[1.0], [0.0], [-1.0], [0.5]]), torch.tensor([0.5, 0.4, 0.3, 0.2])
>>> population = LatentFactorUsers.calibrated(features, popularity, n_users=1000, seed=1)
>>> bored = Dynamics(topics=Topics(torch.eye(4)), leaving=Leaving(hazard=0.05, failure=0.5))
>>> env = BatchEnv(population, torch.arange(1000), form="session", horizon=3, discount=0.9, dynamics=bored, seed=1)
>>> observation = env.reset()
>>> observation, answers = env.step(torch.zeros(1000, 1, dtype=torch.int64))
>>> bool(observation.candidates[:, 0].any())  # nobody is shown item 0 again
False
>>> abs(float(answers.rewards.mean()) - 0.5) < 0.05  # its popularity
True
>>> 0.04 < float(answers.terminated.float().mean()) < 0.12  # some have left
True

What there is:

- Populations (a distribution over tasks each): `LoggedUsers`, `LatentFactorUsers` (and `fit_latent_factor_users`),
  `FactorUsers` with your own factors, `BernoulliBandits`, `TabularMDPs`; `UserTypes` mixes adversarial, all-negative
  and bot-like users into any of them.
- Choice models: `Independent`, `MultinomialLogit`, `PositionBased`, `Cascade`; beside them `StarRating` and
  `DwellTime`.
- `Dynamics`: `Satiation`, `Drift`, `Leaving` (boredom, failures, coming back), `FeedbackLoss`, lifetimes.
- `BatchEnv` plays thousands of users at once; `TabularEnv` plays MDPs. Everything on the population's device.
- Gymnasium ids, after `import simulator.gym`: `metarl/Recommend-v0`, `metarl/Bandit-v0`, `metarl/TabularMDP-v0`.
"""

from simulator.bandits import BernoulliBandits
from simulator.choice import Cascade, ChoiceModel, Independent, MultinomialLogit, PositionBased
from simulator.dynamics import Drift, Dynamics, FeedbackLoss, Leaving, Satiation, Topics
from simulator.env import BatchEnv, returns_to_go
from simulator.errors import SimulatorError
from simulator.factors import FactorUsers, LatentFactorUsers, calibrated_intercepts
from simulator.grades import DwellTime, StarRating
from simulator.mdp import TabularEnv, TabularMDPs, optimal_values
from simulator.population import LoggedUsers, Population
from simulator.types import Observation, Response
from simulator.user_types import UserTypes

__all__ = [
    "BatchEnv",
    "BernoulliBandits",
    "Cascade",
    "ChoiceModel",
    "Drift",
    "DwellTime",
    "Dynamics",
    "FactorUsers",
    "FeedbackLoss",
    "Independent",
    "LatentFactorUsers",
    "Leaving",
    "LoggedUsers",
    "MultinomialLogit",
    "Observation",
    "Population",
    "PositionBased",
    "Response",
    "Satiation",
    "SimulatorError",
    "StarRating",
    "TabularEnv",
    "TabularMDPs",
    "Topics",
    "UserTypes",
    "calibrated_intercepts",
    "optimal_values",
    "returns_to_go",
]
