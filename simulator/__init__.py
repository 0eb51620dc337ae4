"""User simulator: every user a task, in batches, with randomness that does not depend on the order of play.

A population says how likely each user likes each item; an environment plays users of it. Ten lines:

>>> import torch
>>> from simulator import BatchEnv, LatentFactorUsers, LogisticResponse
>>> features = torch.tensor([[1.0], [0.0], [-1.0], [0.5]])
>>> popularity = torch.tensor([0.5, 0.4, 0.3, 0.2])
>>> response = LogisticResponse(intercept=0.0, population=1.0, personal=2.0)
>>> population = LatentFactorUsers(features, popularity, response, n_users=1000, seed=1)
>>> env = BatchEnv(population, torch.arange(1000), horizon=2, seed=1)
>>> observation = env.reset()
>>> observation, answers = env.step(torch.zeros(1000, 1, dtype=torch.int64))
>>> bool(observation.candidates[:, 0].any())  # nobody is shown item 0 again
False
>>> abs(float(answers.rewards.mean()) - 0.5) < 0.05
True
"""

from simulator.choice import LogisticResponse, fit_logistic_response
from simulator.env import BatchEnv, returns_to_go
from simulator.errors import SimulatorError
from simulator.population import LatentFactorUsers, LoggedUsers, Population, fit_latent_factor_users
from simulator.types import Observation, Response

__all__ = [
    "BatchEnv",
    "LatentFactorUsers",
    "LoggedUsers",
    "LogisticResponse",
    "Observation",
    "Population",
    "Response",
    "SimulatorError",
    "fit_latent_factor_users",
    "fit_logistic_response",
    "returns_to_go",
]
