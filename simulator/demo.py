"""A small made-up catalogue and its users, for environments that are asked for by name alone."""

from __future__ import annotations

import torch

from simulator.dynamics import Dynamics, Leaving, Satiation, Topics
from simulator.errors import SimulatorError
from simulator.factors import LatentFactorUsers

__all__ = ["demo_dynamics", "demo_users"]

N_TOPICS = 5
_DIM = 8
_USERS = 100_000


def demo_users(n_items: int, seed: int) -> tuple[LatentFactorUsers, Topics]:
    """Returns users of a catalogue in five topics, and the topics; items of a topic are alike, popular ones are few.

    Args:
        n_items: n, at least 5.
        seed: decides items and users.
    """
    if n_items < N_TOPICS:
        raise SimulatorError(f"n_items is {n_items}; give at least {N_TOPICS}")
    generator = torch.Generator().manual_seed(seed)
    topic = torch.arange(n_items) % N_TOPICS
    centres = torch.randn(N_TOPICS, _DIM, generator=generator) * 0.7
    features = centres[topic] + torch.randn(n_items, _DIM, generator=generator) * 0.3
    popularity = 0.1 + 0.5 * torch.rand(n_items, generator=generator).square()
    users = LatentFactorUsers.calibrated(features, popularity, _USERS, seed, spread=0.5)
    return users, Topics(torch.nn.functional.one_hot(topic, N_TOPICS).to(torch.float32))


def demo_dynamics(topics: Topics) -> Dynamics:
    """Returns a world in which topics tire and a bored user leaves."""
    return Dynamics(
        topics=topics,
        satiation=Satiation(strength=2.0),
        leaving=Leaving(hazard=0.02, failure=0.3, boredom=2.0, tolerance=0.4),
    )
