"""Where each user stands: step, session, exposure to topics, failures in a row, here or away, gone or not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.dynamics import Dynamics
from simulator.randomness import uniforms

__all__ = ["Visits"]


@dataclass(eq=False, slots=True)
class Visits:
    """The state of N users' visits; changes in place, because a batch of 65,536 users is not copied every step.

    Attributes:
        users: [N] int64.
        dynamics: what is switched on.
        step: [N] int64, steps since the user's beginning, present or not.
        session_step: [N] int64, slates seen in the current session; stays 0 in a bandit.
        clock: [N] int64, steps since the current session's start, present or not.
        sessions: [N] int64, sessions begun.
        slates: [N] int64, slates seen in all.
        lifetimes: [N] int64, slates after which the user is gone, or None.
        failures: [N] int64, slates in a row without reward.
        session_reward: [N] float32, slates with a reward in the current session.
        exposure: [N, T] float32, or None without topics.
        absent: [N] bool, away until the next session, or gone.
        gone: [N] bool, never comes back.
    """

    users: Tensor
    dynamics: Dynamics
    step: Tensor
    session_step: Tensor
    clock: Tensor
    sessions: Tensor
    slates: Tensor
    lifetimes: Tensor | None
    failures: Tensor
    session_reward: Tensor
    exposure: Tensor | None
    absent: Tensor
    gone: Tensor

    @classmethod
    def begin(cls, users: Tensor, dynamics: Dynamics, lifetimes: Tensor | None) -> Visits:
        """Returns users at their beginning."""
        topics = dynamics.topics
        return cls(
            users=users,
            dynamics=dynamics,
            step=torch.zeros_like(users),
            session_step=torch.zeros_like(users),
            clock=torch.zeros_like(users),
            sessions=torch.ones_like(users),
            slates=torch.zeros_like(users),
            lifetimes=lifetimes,
            failures=torch.zeros_like(users),
            session_reward=torch.zeros(len(users), device=users.device),
            exposure=None if topics is None else torch.zeros(len(users), topics.weights.shape[1], device=users.device),
            absent=torch.zeros(len(users), dtype=torch.bool, device=users.device),
            gone=torch.zeros(len(users), dtype=torch.bool, device=users.device),
        )

    def replace(self, rows: Tensor, users: Tensor, lifetimes: Tensor | None) -> None:
        """Puts new users at their beginning in some rows [M]."""
        self.users[rows] = users
        for tensor in (self.step, self.session_step, self.clock, self.slates, self.failures, self.session_reward):
            tensor[rows] = 0
        self.sessions[rows] = 1
        self.absent[rows] = False
        self.gone[rows] = False
        if self.exposure is not None:
            self.exposure[rows] = 0
        if self.lifetimes is not None and lifetimes is not None:
            self.lifetimes[rows] = lifetimes

    def satiated(self, utilities: Tensor, items: Tensor | None) -> Tensor:
        """Returns utilities [N, k] lowered by satiation; of all items without `items` [N, k]."""
        satiation, topics = self.dynamics.satiation, self.dynamics.topics
        if satiation is None or topics is None or self.exposure is None:
            return utilities
        if items is None:
            fed = self.exposure @ topics.weights.T
        else:
            fed = (topics.weights[items] * self.exposure.unsqueeze(1)).sum(dim=2)
        return utilities - satiation.strength * fed

    def advance_bandit(self, shown: Tensor | None, exhausted: Tensor, present: Tensor) -> None:
        """Moves on by one step in a world without sessions."""
        self._expose(shown, present)
        self.step += 1
        self.slates += present
        self.absent |= exhausted
        if self.lifetimes is not None:
            self.gone |= self.slates >= self.lifetimes
            self.absent |= self.gone

    def advance_session(
        self, shown: Tensor | None, clicks: Tensor, exhausted: Tensor, present: Tensor, *, horizon: int, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Moves on by one step and returns which sessions terminated and which were truncated, [N] bool each.

        Args:
            shown: [N, T], topics of the slates, from `topics_of`; None without topics.
            clicks: [N, k] bool.
            exhausted: [N] bool, too few candidates are left.
            present: [N] bool, before this step.
            horizon: steps in a session.
            seed: decides who leaves and who returns.
        """
        rewarded = clicks.any(dim=1)
        self.failures = torch.where(present, torch.where(rewarded, 0, self.failures + 1), self.failures)
        self.session_reward += rewarded & present
        leaves = self._leaves(shown, present, seed)
        self._expose(shown, present)
        self.slates += present
        self.session_step += present
        died = torch.zeros_like(present) if self.lifetimes is None else self.slates >= self.lifetimes
        self.step += 1
        self.clock += 1
        terminated = present & (exhausted | leaves | died)
        self.gone |= died
        self.absent |= terminated | self.gone
        at_horizon = self.clock >= horizon
        truncated = present & at_horizon & ~terminated
        self._next_session(at_horizon, exhausted, leaves | self._away_by_choice(present), seed)
        return terminated, truncated

    def _away_by_choice(self, present: Tensor) -> Tensor:
        """Returns who had left earlier in the session [N] bool."""
        return ~present & ~self.gone

    def topics_of(self, items: Tensor, blank: Tensor | None) -> Tensor | None:
        """Returns the mean topic row of each slate [N, T], from items [N, k]; `blank` [N, k] positions have none."""
        topics = self.dynamics.topics
        if topics is None:
            return None
        rows = topics.weights[items]
        return (rows if blank is None else rows * ~blank.unsqueeze(2)).mean(dim=1)

    def _leaves(self, shown: Tensor | None, present: Tensor, seed: int) -> Tensor:
        leaving = self.dynamics.leaving
        if leaving is None:
            return torch.zeros_like(present)
        overlap = torch.zeros_like(self.session_reward)
        if leaving.boredom > 0 and shown is not None and self.exposure is not None:
            overlap = (shown * self.exposure).sum(dim=1)
        return uniforms(seed, "leave", self.users, self.step) < leaving.probabilities(self.failures, overlap)

    def _expose(self, shown: Tensor | None, present: Tensor) -> None:
        topics = self.dynamics.topics
        if topics is not None and shown is not None and self.exposure is not None:
            added = shown * present.unsqueeze(1)
            self.exposure.mul_(topics.retention).add_(added, alpha=1 - topics.retention)

    def _next_session(self, starts: Tensor, exhausted: Tensor, left: Tensor, seed: int) -> None:
        """Begins a new session where one is due: those who left come back, or are gone."""
        if not bool(starts.any()):
            return
        leaving = self.dynamics.leaving
        if leaving is not None:
            rate = self.session_reward / self.session_step.clamp(min=1)
            returns = uniforms(seed, "return", self.users, self.sessions) < leaving.return_probabilities(rate)
            self.gone |= starts & left & ~returns
        self.absent = torch.where(starts, self.gone | exhausted, self.absent)
        for tensor in (self.session_step, self.clock, self.failures, self.session_reward):
            tensor.masked_fill_(starts, 0)
        self.sessions += starts
